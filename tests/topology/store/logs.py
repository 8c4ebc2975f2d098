"""The log of a deployment and its store without Kafka: what an applier is given, also twice."""

from collections.abc import Iterable
from dataclasses import replace

from aiokafka import TopicPartition

from pipeline.windows import PartitionWindows, WindowConfig
from schemas.samples import SampleBlock, encode_samples
from schemas.topics import Topic
from tests.pipeline.model_store import Held, Key, held
from topology.clock import now_ms
from topology.metrics import Metrics
from topology.store.applier import Applier
from topology.store.batch import Batch
from topology.store.client import Engine
from topology.store.progress import Progress
from topology.store.window_tables import Span, read_windows
from topology.store.writer import Writer
from topology.worker.emission import records_of

ALWAYS_MS = (0, (2**32 - 1) * 1000)
TOPICS = (Topic.SAMPLES, Topic.ROLLUPS, Topic.RECOMPUTE)


class Log:
    """Records of one partition of each topic, as edge and worker write them."""

    def __init__(self, tenant: str) -> None:
        self.records: dict[Topic, list[bytes]] = {topic: [] for topic in TOPICS}
        self._tenant = tenant
        self._windows = PartitionWindows(WindowConfig())

    def write(self, block: SampleBlock) -> None:
        """Append a record of samples, and what its windows give."""
        one = replace(block, tenant=self._tenant) if len(block) else block
        offset = len(self.records[Topic.SAMPLES])
        self.records[Topic.SAMPLES].append(encode_samples([one]))
        for topic, record in records_of(self._windows.feed([one]), 0, offset):
            self.records[topic].append(record)


class Store:
    """The store role over an open engine; `restart` forgets all that is not committed."""

    def __init__(self, engine: Engine, log: Log) -> None:
        self._engine = engine
        self._log = log
        self.committed: dict[Topic, int] = dict.fromkeys(TOPICS, 0)
        self.now_ms = now_ms()
        self.restart()

    def restart(self) -> None:
        """Begin again at the committed offsets."""
        self._read = dict(self.committed)
        self._progress = Progress(Topic.SAMPLES)
        for topic, offset in self.committed.items():
            self._progress.begin(TopicPartition(topic, 0), offset)
        # No time for windows: of each lane one step a round.
        writer = Writer(self._engine, Metrics(), lambda: self.now_ms)
        self._applier = Applier(writer, self._progress, live_s=0, backfill_s=0)

    def round(self, topics: Iterable[Topic], n_records: int, n_steps: int | None = None) -> None:
        """Read so many records of each topic and apply them; n_steps: killed after so many."""
        batch = Batch(0.0)
        for topic in topics:
            at = self._read[topic]
            for offset, record in enumerate(self._log.records[topic][at : at + n_records], at):
                batch.add(topic, TopicPartition(topic, 0), offset, record)
            self._read[topic] = min(at + n_records, len(self._log.records[topic]))
        for at_step, step in enumerate(self._applier.steps(batch)):
            if at_step == n_steps:
                self.restart()
                return
            step()
        assert self._applier.take_refused() == []
        offsets = self._progress.committable()
        self._progress.committed(offsets)
        self.committed |= {Topic(place.topic): offset for place, offset in offsets.items()}

    def has_work(self) -> bool:
        """Whether windows wait."""
        return self._applier.has_work()

    def finish(self) -> None:
        """Read the rest and do all work; then all is committed."""
        ends = {topic: len(records) for topic, records in self._log.records.items()}
        while self._read != ends or self.has_work():
            self.round(TOPICS, 50)
        assert self.committed == ends


def stored(engine: Engine, tenant: str, width_ms: int) -> dict[Key, Held]:
    """Return what the relation shows of a width, with sketches."""
    windows = read_windows(engine.writer, Span([tenant], *ALWAYS_MS), width_ms // 1000)
    shown = [rows.where(rows.rows["count"] > 0) for _, rows in windows]
    return held(shown[0]) if shown else {}
