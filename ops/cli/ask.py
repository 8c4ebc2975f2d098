"""Commands that ask for what is stored: by SQL, or as it comes."""

import sys
from typing import TYPE_CHECKING

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of

if TYPE_CHECKING:
    from ops.query import Service
    from ops.replay.query import ReplayService
    from topology.settings import Settings


def sql(  # noqa: PLR0913, PLR0917 - one argument per option
    statement: str = typer.Argument(help="one SELECT, or - to read it from standard input"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    output_format: str = typer.Option(
        "table", "--format", help="table, json, csv, arrow or parquet"
    ),
    replay: str | None = typer.Option(None, help="query the tables of this replay instead"),
    tenant: str = typer.Option("default", help="whose rows of the replay"),
    as_json: AsJson = False,
) -> None:
    """Query series, samples and rollups with SQL.

    A table on a terminal, tab-separated values elsewhere.

    \b
    Examples:
      observai sql "SELECT * FROM samples ORDER BY time DESC LIMIT 10"
      observai sql "SELECT metric, count() FROM samples GROUP BY metric" --json
      observai sql "SELECT * FROM rollups" --format parquet > rollups.parquet
      observai sql "SELECT * FROM rollups" --replay incident_42
    """
    from ops import query
    from ops.cli.output import show_table

    text = sys.stdin.read() if statement == "-" else statement
    settings = settings_of(data_dir, None, None, config)
    service: Service | ReplayService = (
        query.service(settings, url, key) if replay is None else _replayed(settings, replay, tenant)
    )
    wanted = "json" if as_json else output_format
    if wanted != "table":
        result = service.run(text, wanted)
        needs_newline = wanted == "json" and not result.endswith(b"\n")
        sys.stdout.buffer.write(result + b"\n" * needs_newline)
        return
    show_table(service.table(text))


def tail(  # noqa: PLR0913, PLR0917 - one argument per option
    metric: str = typer.Argument("", help="only this metric"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    count: int = typer.Option(0, help="stop after this many samples; 0: at Ctrl-C"),
    as_json: AsJson = False,
) -> None:
    """Print samples as they become queryable.

    \b
    Examples:
      observai tail
      observai tail cpu_seconds_total --count 5 --json
    """
    from ops import query
    from ops.cli.output import show_sample

    service = query.service(settings_of(data_dir, None, None, config), url, key)
    for shown, sample in enumerate(query.follow(service, metric), start=1):
        show_sample(sample, as_json=as_json)
        if shown == count:
            return


def _replayed(settings: "Settings", replay: str, tenant: str) -> "ReplayService":
    # Loads the store's engine, which no other query of the command line needs.
    from ops.replay.query import ReplayService

    return ReplayService(settings, replay, tenant)
