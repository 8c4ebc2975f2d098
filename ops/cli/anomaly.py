"""The commands `observai anomaly ...`."""

import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of

if TYPE_CHECKING:
    from ops.anomaly.backtest_rollups import Request
    from ops.query import Service

anomaly = typer.Typer(
    name="anomaly", help="Anomaly scores: backtests.", no_args_is_help=True, rich_markup_mode=None
)


@anomaly.command()
def backtest(  # noqa: PLR0913, PLR0917 - one argument per option
    from_dir: Path | None = typer.Argument(None, metavar="DATA_DIR", help="folder of *.csv files"),
    to_dir: Path | None = typer.Argument(None, metavar="OUT_DIR", help="where scores are written"),
    metric: str | None = typer.Option(None, help="score stored rollups of this metric instead"),
    from_: str = typer.Option(
        "7d", "--from", help="a time like 2026-01-31T08:00:00Z, or how long ago: 90s, 15m, 2h, 7d"
    ),
    to: str | None = typer.Option(None, "--to", help="likewise [default: now]"),
    width: int = typer.Option(60, help="width of the rollups in seconds: 10, 60, 300 or 3600"),
    rules: Path | None = typer.Option(
        None, help="rules to try, a file like OBSERVAI_ANOMALY_RULES, in place of those that hold"
    ),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run the scorer that runs live over files, or over stored rollups.

    Files: every *.csv below DATA_DIR, first column time (ISO 8601 or an epoch), second value, one
    window a row, becomes the same path below OUT_DIR with columns timestamp, value, anomaly_score
    (what would have alarmed), score, expected, lower, upper. Rollups: prints what would have
    alarmed, with a picture of each series that would have, by the rules that hold for the key's
    tenant. Windows are scored in order, each by what came before it only.

    \b
    Examples:
      observai anomaly backtest data scores
      observai anomaly backtest --metric node_load1 --from 7d
      observai anomaly backtest --metric http_requests_total --from 2d --to 1d --width 300 --json
      observai anomaly backtest --metric node_load1 --rules anomaly.toml
    """
    from ops import query
    from ops.anomaly.backtest_files import backtest_files
    from ops.anomaly.backtest_rollups import Request
    from ops.times import parse_time_ms

    if metric is None:
        if from_dir is None or to_dir is None:
            raise typer.BadParameter("give DATA_DIR and OUT_DIR, or --metric")
        done = backtest_files(from_dir, to_dir, _say)
        bad = f", {done.n_bad:,} rows without a score" if done.n_bad else ""
        counts = f"{done.n_files} files, {done.n_rows:,} windows, {done.n_alarms:,} alarms"
        print(f"{counts}{bad}: {to_dir}")
        raise typer.Exit(1 if done.n_unread else 0)
    if from_dir is not None:
        raise typer.BadParameter("give either folders or --metric")
    now_ms = round(time.time() * 1000)
    until_ms = now_ms if to is None else parse_time_ms(to, now_ms)
    request = Request(metric, width, parse_time_ms(from_, now_ms) // 1000, until_ms // 1000)
    if request.from_s >= request.until_s:
        raise typer.BadParameter("--from must be before --to")
    service = query.service(settings_of(data_dir, None, None, config), url, key)
    _of_rollups(service, request, rules, as_json=as_json)


def _of_rollups(
    service: "Service", request: "Request", rules: Path | None, *, as_json: bool
) -> None:
    from ops.anomaly.backtest_rollups import backtest_rollups
    from ops.anomaly.followed import read_followed
    from ops.anomaly.report import as_jsonable, lines

    followed = read_followed(service, rules)
    if not followed.is_scored(request.width_s):
        _say(
            f"windows of {request.width_s} s are not scored for tenant {followed.tenant}: "
            "[widths] of OBSERVAI_ANOMALY_RULES says which are"
        )
    found = backtest_rollups(service, followed, request)
    if as_json:
        print(json.dumps(as_jsonable(request, found)))
        return
    print("\n".join(lines(request, found, shutil.get_terminal_size((100, 24)).columns)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
