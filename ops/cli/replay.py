"""The command `observai replay`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of

if TYPE_CHECKING:
    from ops.replay.command import Outcome
    from ops.replay.compare import Comparison, Difference
    from ops.replay.live import Live
    from topology.settings import Settings

From = Annotated[str, typer.Option("--from", help="windows from this time on")]
To = Annotated[str, typer.Option("--to", help="up to this time")]


def replay(  # noqa: PLR0913, PLR0917 - one argument per option
    from_: From,
    to: To,
    into: str = typer.Option("replay", help="name of the replay, and of its tables"),
    source: str = typer.Option(
        "auto", help="log: what Kafka still has; store: stored samples; auto: the log if it has all"
    ),
    compare: bool = typer.Option(
        True,
        "--compare/--no-compare",
        help="with the live store's windows",
    ),
    settle: float = typer.Option(30, help="seconds that differences may last, as live goes on"),
    resume: bool = typer.Option(False, "--resume", help="go on with a replay that was stopped"),
    overwrite: bool = typer.Option(False, "--overwrite", help="remove one of that name first"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Run samples of the past through the same engine again, into tables of their own.

    Compares the windows byte by byte with those of the live store. Exit code 0 if all are the
    same, 1 if one differs, 2 if it could not be done or nothing was there to compare.
    Times: RFC 3339, or how long ago. Query the tables with `observai sql --replay NAME`.

    \b
    Examples:
      observai replay --from 2h --to 1h
      observai replay --from 2026-01-31T08:00:00Z --to 2026-01-31T12:00:00Z --into incident_42
      observai replay --from 7d --to 6d --source store --no-compare
      observai replay --from 2026-01-31T08:00:00Z --to 2026-01-31T12:00:00Z --resume
    """
    import asyncio
    import time

    from ops import places
    from ops.cli.errors import EXIT_UNDECIDED, explained
    from ops.replay.command import LOG, STORE, Replay, ReplayError, Wish
    from ops.times import parse_time_ms

    if source not in {"auto", LOG, STORE}:
        raise typer.BadParameter(f"{source!r} is none of auto, {LOG}, {STORE}")
    now_ms = time.time_ns() // 1_000_000
    times_ms = (parse_time_ms(from_, now_ms), parse_time_ms(to, now_ms))
    given = settings_of(data_dir, None, None, config)
    with explained(EXIT_UNDECIDED):
        settings = places.find_beside(given, url).settings
        if settings is None and source == LOG:
            raise ReplayError(
                "--source log: no Kafka is known, set OBSERVAI_KAFKA to its HOST:PORT"
            )
        wanted = STORE if settings is None else None if source == "auto" else source
        live = _find_live(given, url, key, is_needed=compare or wanted == STORE)
        wish = Wish(*times_ms, into, wanted, resume, overwrite, settle)
        work = Replay(settings or given, wish, live, _say)
        try:
            outcome = asyncio.run(work.run(compares=compare))
        except KeyboardInterrupt:
            _say("stopped" + ("; the same with --resume goes on" if work.can_resume() else ""))
            raise
    if as_json:
        print(json.dumps(_as_json(outcome)))
    else:
        _show(outcome)
    raise typer.Exit(_exit_code(outcome))


def _find_live(
    settings: "Settings", url: str | None, key: str | None, *, is_needed: bool
) -> "Live | None":
    """Return the live store. Raises ApiError where it is needed and does not answer."""
    from ops import query
    from ops.api import ApiError
    from ops.replay.live import Live

    try:
        live = Live(query.service(settings, url, key))
        if is_needed:
            live.tenants()
    except ApiError:
        if is_needed:
            raise
        return None
    return live


def _exit_code(outcome: "Outcome") -> int:
    from ops.cli.errors import EXIT_UNDECIDED

    found = outcome.comparison
    if found is None or found.is_same():
        return 0
    return 1 if found.n_compared else EXIT_UNDECIDED


def _say(text: str) -> None:
    print(f"replay: {text}", file=sys.stderr, flush=True)


def _show(outcome: "Outcome") -> None:
    print(
        f"{outcome.n_samples:,} samples of {outcome.event_s:,.0f} s from the {outcome.source} in "
        f"{outcome.seconds:.2f} s: {outcome.samples_per_s():,.0f} a second, "
        f"{outcome.times_real_speed():,.0f} times real speed"
    )
    if outcome.n_unreadable:
        print(f"{outcome.n_unreadable} records could not be read and were passed over")
    if outcome.n_refused:
        print(f"{outcome.n_refused} blocks of rows were refused by the store")
    print(f'query them with: observai sql --replay {outcome.prefix} "SELECT ..."')
    if outcome.comparison is not None:
        _show_comparison(outcome.comparison)


def _show_comparison(found: "Comparison") -> None:
    for one in found.differences:
        print(_line_of(one))
    n_wrong = found.n_compared - found.n_equal
    if n_wrong > len(found.differences):
        print(f"... and {n_wrong - len(found.differences)} more")
    print(
        f"{_word_of(found)}: {found.n_compared:,} windows compared, "
        f"{found.n_equal:,} equal, {found.n_different:,} different, "
        f"{found.n_only_live:,} only live, {found.n_only_replay:,} only in the replay"
    )


def _word_of(found: "Comparison") -> str:
    if not found.n_compared:
        return "NOTHING TO COMPARE"
    return "ok" if found.is_same() else "NOT THE SAME"


def _line_of(one: "Difference") -> str:
    from ops.times import show_time

    key = one.key
    columns = ", ".join(
        f"{name}: live {mine!r}, replay {other!r}" for name, (mine, other) in one.columns.items()
    )
    window = f"{show_time(key['start_s'] * 1000)} of {key['width_s']} s"
    place = f"tenant {key['tenant']}, series {key['series_id']}, window {window}"
    return f"{one.kind}: {place}{': ' + columns if columns else ''}"


def _as_json(outcome: "Outcome") -> dict[str, Any]:
    found = outcome.comparison
    shown: dict[str, Any] = {
        "replay": outcome.prefix,
        "source": outcome.source,
        "store": outcome.store,
        "samples": outcome.n_samples,
        "unreadable_records": outcome.n_unreadable,
        "refused_blocks": outcome.n_refused,
        "seconds": outcome.seconds,
        "event_seconds": outcome.event_s,
        "samples_per_s": outcome.samples_per_s(),
        "times_real_speed": outcome.times_real_speed(),
        "comparison": None,
    }
    if found is not None:
        shown["comparison"] = {
            "compared": found.n_compared,
            "equal": found.n_equal,
            "different": found.n_different,
            "only_live": found.n_only_live,
            "only_replay": found.n_only_replay,
            "differences": [
                {"kind": one.kind, **one.key, "columns": one.columns} for one in found.differences
            ],
        }
    return shown
