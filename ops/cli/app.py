"""The command line `observai`.

Imports stand inside the commands: `observai --help` and `observai sql` must not load numba,
Kafka clients and chDB.
"""

import typer

from ops.cli import ask, operate
from ops.cli.anomaly import anomaly
from ops.cli.audit import audit
from ops.cli.dead_letters import dead_letters
from ops.cli.key import key
from ops.cli.options import (
    AsJson,
    ConfigFile,
    DataDir,
    Host,
    Port,
    Slot,
    settings_of,
)
from ops.cli.replay import replay
from ops.cli.tenant import tenant
from ops.cli.verify import verify
from ops.cli.warm import warm

app = typer.Typer(
    name="observai",
    help="Metrics pipeline in one command: HTTP edge, Kafka, window stage, ClickHouse engine.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def up(  # noqa: PLR0913, PLR0917 - one argument per option
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    config: ConfigFile = None,
    workers: int | None = typer.Option(None, help="number of workers [default: 1]"),
    edges: int | None = typer.Option(None, help="number of edges [default: 1]"),
) -> None:
    """Run everything on this machine: Kafka and the processes of each role.

    Prints one line `ready ...` with every URL when all is ready. Ctrl-C or SIGTERM stops it.

    \b
    Examples:
      observai up
      observai up --data-dir /var/lib/observai --host 0.0.0.0 --port 9000
      observai up --workers 2 --edges 2
    """
    from ops.supervise.up import run_up

    settings = settings_of(data_dir, host, port, config, workers=workers, edges=edges)
    raise typer.Exit(run_up(settings))


@app.command()
def edge(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    config: ConfigFile = None,
    slot: Slot = None,
) -> None:
    """Run the edge alone: takes samples by HTTP and publishes them to Kafka.

    \b
    Example:
      OBSERVAI_KAFKA=kafka:9092 observai edge --host 0.0.0.0
    """
    from topology.edge.main import edge as main
    from topology.runtime import run_role

    raise typer.Exit(run_role("edge", settings_of(data_dir, host, port, config, slot=slot), main))


@app.command()
def worker(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    config: ConfigFile = None,
    slot: Slot = None,
) -> None:
    """Run a worker alone: closes windows over the samples in Kafka.

    \b
    Example:
      OBSERVAI_KAFKA=kafka:9092 observai worker --slot 1
    """
    from topology.runtime import run_role
    from topology.worker.main import worker as main

    raise typer.Exit(run_role("worker", settings_of(data_dir, host, port, config, slot=slot), main))


@app.command()
def store(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    config: ConfigFile = None,
    slot: Slot = None,
) -> None:
    """Run the store alone: archives topics into ClickHouse and answers queries.

    \b
    Example:
      OBSERVAI_KAFKA=kafka:9092 OBSERVAI_STORE=clickhouse://user:pw@ch:8123/db observai store
    """
    from functools import partial

    from ops.migrate import apply
    from topology.runtime import run_role
    from topology.store.main import store as main

    settings = settings_of(data_dir, host, port, config, slot=slot)
    raise typer.Exit(run_role("store", settings, partial(main, migrate=apply)))


@app.command()
def notifier(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    config: ConfigFile = None,
    slot: Slot = None,
) -> None:
    """Run the notifier alone.

    \b
    Example:
      OBSERVAI_KAFKA=kafka:9092 observai notifier
    """
    from topology.notifier import notifier as main
    from topology.runtime import run_role

    raise typer.Exit(
        run_role("notifier", settings_of(data_dir, host, port, config, slot=slot), main)
    )


@app.command()
def doctor(
    data_dir: DataDir = None, port: Port = None, config: ConfigFile = None, as_json: AsJson = False
) -> None:
    """Check the set-up, and the running deployment if there is one; exit 1 if a check fails.

    \b
    Examples:
      observai doctor
      observai doctor --data-dir /var/lib/observai --json
    """
    from ops.cli.output import show_checks
    from ops.doctor import examine

    checks = examine(settings_of(data_dir, None, port, config))
    show_checks(checks, as_json=as_json)
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


@app.command()
def demo(
    keep: bool = typer.Option(False, "--keep", help="leave it running afterwards"),
    port: Port = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Send a recording of a real machine and live metrics through everything, and check the sums.

    \b
    Examples:
      observai demo
      observai demo --keep --port 9000
    """
    from ops.demo.run import run_demo

    settings = settings_of(None, None, port, config)
    raise typer.Exit(run_demo(settings, keep=keep, as_json=as_json))


@app.command()
def setup(config: ConfigFile = None) -> None:
    """Fetch Kafka, and compile what would otherwise be compiled at the first start.

    \b
    Example:
      observai setup
    """
    from ops.setup import run_setup

    run_setup(settings_of(None, None, None, config))


@app.command()
def version(as_json: AsJson = False) -> None:
    """Print the versions of this program and of what it runs.

    \b
    Example:
      observai version --json
    """
    from ops.cli.output import show_versions

    show_versions(as_json=as_json)


app.command()(ask.sql)
app.command()(ask.tail)
app.command()(operate.migrate)
app.command()(operate.partitions)
app.command()(operate.checkpoints)
app.command()(replay)
app.command()(verify)
anomaly.command()(warm)
app.add_typer(anomaly)
app.command()(audit)
app.add_typer(dead_letters)
app.add_typer(tenant)
app.add_typer(key)


def main() -> None:
    """Run the command; errors that concern the user are one line, not a traceback."""
    import logging

    from ops.cli.errors import explained

    # What a library warns of would go to stderr beside the one line; roles set up their own logs.
    logging.getLogger().addHandler(logging.NullHandler())
    with explained():
        app()


if __name__ == "__main__":
    main()
