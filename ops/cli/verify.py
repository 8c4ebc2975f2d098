"""The command `observai verify`."""

import sys
import time
from typing import TYPE_CHECKING

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of

if TYPE_CHECKING:
    from collections.abc import Callable

_REDRAW_S, _SAY_EVERY_S = 0.1, 2.0


def verify(  # noqa: PLR0913, PLR0917 - one argument per option
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    from_: str = typer.Option(
        "2h", "--from", help="a time like 2026-01-31T08:00:00Z, or how long ago: 90s, 15m, 2h, 7d"
    ),
    to: str | None = typer.Option(None, "--to", help="likewise [default: what is closed by now]"),
    tenant: str | None = typer.Option(
        None, "--tenant", help="[default: the key's]; another one needs an admin key of `default`"
    ),
    series: int = typer.Option(100, min=0, help="so many series, drawn by the seed; 0 for all"),
    seed: int | None = typer.Option(
        None, min=0, max=(1 << 63) - 1, help="draws the series [default: of the clock]"
    ),
    settle: float = typer.Option(
        120, min=0, help="seconds to wait for late records that are still to be computed"
    ),
    repair: bool = typer.Option(
        False, "--repair", help="have windows that differ computed again from the stored samples"
    ),
    as_json: AsJson = False,
) -> None:
    """Check that windows equal their samples, and that all that was logged is stored.

    Windows of every width and column are computed again by SQL over the stored samples. Samples
    that Kafka took since --from are held against the stored ones, bit by bit; logged = stored +
    repeated + dead-lettered. What differs is looked at twice. Exit code 0 if nothing differs, 1
    if something does, 2 if it could not be verified or records are still to be computed.

    \b
    Examples:
      observai verify
      observai verify --from 2026-01-31T08:00:00Z --to 2026-01-31T12:00:00Z --series 1000
      observai verify --from 1d --series 0 --json
      observai verify --from 1d --series 0 --repair
    """
    import asyncio
    import secrets

    import msgspec

    from ops import places, query
    from ops.cli.errors import EXIT_UNDECIDED, explained
    from ops.times import parse_time_ms
    from ops.verify import report, run

    now_ms = round(time.time() * 1000)
    request = run.Request(
        tenant,
        parse_time_ms(from_, now_ms),
        None if to is None else parse_time_ms(to, now_ms),
        series,
        secrets.randbits(32) if seed is None else seed,
        settle,
        repair,
    )
    settings = settings_of(data_dir, None, None, config)
    with explained(EXIT_UNDECIDED):
        beside = places.find_beside(settings, url)
        service = query.service(settings, url, key)
        found = asyncio.run(run.verify(service, beside, request, _say()))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    if as_json:
        print(msgspec.json.encode(found.as_json()).decode())
    else:
        print("\n".join(report.lines(found)))
    raise typer.Exit(EXIT_UNDECIDED if found.is_undecided else int(not found.ok))


def _say() -> "Callable[[str], None]":
    """Return what tells of the progress: on a terminal on one line, elsewhere every few seconds."""
    is_terminal = sys.stderr.isatty()
    last_s = time.monotonic()

    def say(text: str) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s < (_REDRAW_S if is_terminal else _SAY_EVERY_S):
            return
        last_s = now_s
        print(
            f"\r\x1b[K{text}" if is_terminal else text,
            end="" if is_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )

    return say
