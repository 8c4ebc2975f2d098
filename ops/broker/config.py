"""Configuration files of the embedded broker."""

from pathlib import Path
from string import Template

from topology.settings import BROKER_PORT, CONTROLLER_PORT, Settings

# The largest record batch; above it stands only the producer's own max_request_size.
MESSAGE_MAX_BYTES = 8 << 20

# One node serves as broker and controller. Where a value differs from Kafka's default, it is for
# a short start and a quiet idle: few threads and internal partitions, and no idle record every
# 500 ms (1 % of a core). The short session lets a killed broker return after 5 s instead of 14 s.
# The cleaner: checkpoints of a megabyte every few seconds must not pile up.
_PROPERTIES = Template("""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$broker_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$broker_port
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$log_dir
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
broker.session.timeout.ms=2500
broker.heartbeat.interval.ms=1000
metadata.max.idle.interval.ms=10000
message.max.bytes=$message_max_bytes
num.network.threads=1
num.io.threads=4
background.threads=2
num.recovery.threads.per.data.dir=2
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
log.cleaner.io.buffer.size=1048576
log.retention.check.interval.ms=60000
log.segment.delete.delay.ms=10000
""")

_LOG4J = Template("""\
<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="ERROR" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="$log_file" filePattern="$log_file.%i">
      <PatternLayout pattern="%d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %c{1} %m%n"/>
      <SizeBasedTriggeringPolicy size="10MB"/>
      <DefaultRolloverStrategy max="5"/>
    </RollingFile>
    <Console name="console" target="SYSTEM_ERR">
      <PatternLayout pattern="%p %c{1} %m%n%ex{short}"/>
    </Console>
  </Appenders>
  <Loggers>
    <Root level="WARN">
      <AppenderRef ref="file"/>
      <AppenderRef ref="console" level="ERROR"/>
    </Root>
  </Loggers>
</Configuration>
""")


def write_configuration(settings: Settings, folder: Path, log_dir: Path, log_file: Path) -> None:
    """Write server.properties and log4j2.xml into the folder."""
    properties = _PROPERTIES.substitute(
        broker_port=settings.port + BROKER_PORT,
        controller_port=settings.port + CONTROLLER_PORT,
        log_dir=log_dir,
        message_max_bytes=MESSAGE_MAX_BYTES,
    )
    (folder / "server.properties").write_text(properties)
    (folder / "log4j2.xml").write_text(_LOG4J.substitute(log_file=log_file))
