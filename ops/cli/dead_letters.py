"""The commands `observai dead-letters ...`."""

import json
from typing import TYPE_CHECKING

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from ops.dead_letters import Letter
    from ops.skip import Stretch
    from topology.settings import Settings

dead_letters = typer.Typer(
    name="dead-letters",
    help="Show records that no stage could read or store, and put back what can be read now.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
_NAMES = ["time", "topic", "partition", "offset", "bytes", "stages", "reason", "stays"]


@dead_letters.command("list")
def list_(
    topic: str | None = typer.Option(None, "--topic", help="of this topic only, such as samples"),
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the dead letters that Kafka has, with the reason, and why one could not be put back.

    \b
    Examples:
      observai dead-letters list
      observai dead-letters list --topic samples --json
    """
    _, letters = _look(data_dir, config, topic)
    _show(letters, as_json)


@dead_letters.command()
def replay(
    dry_run: bool = typer.Option(False, "--dry-run", help="say what would be done, and do nothing"),
    topic: str | None = typer.Option(None, "--topic", help="of this topic only, such as samples"),
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Put records back where they were, if this build can read them; the others stay.

    Their samples count as late: their windows are computed again. Doing it twice changes nothing.

    \b
    Examples:
      observai dead-letters replay --dry-run
      observai dead-letters replay --topic samples
    """
    import asyncio

    from ops import dead_letters as ops

    settings, letters = _look(data_dir, config, topic)
    if dry_run:
        _show(letters, as_json)
        return
    done = asyncio.run(ops.put_back(settings, letters))
    n_left = sum(one.stays is not None for one in letters)
    if as_json:
        print(json.dumps({"put_back": done, "stay": n_left}))
        return
    by_topic = ", ".join(f"{topic}: {count}" for topic, count in sorted(done.items()))
    print(f"put back {done.total()} records ({by_topic or 'none'}), {n_left} stay")


@dead_letters.command()
def skip(  # noqa: PLR0913, PLR0917 - one argument per option
    topic: str = typer.Argument(help="such as samples"),
    partition: int = typer.Argument(min=0),
    to: int | None = typer.Option(None, "--to", min=1, help="the first offset to be kept"),
    dry_run: bool = typer.Option(False, "--dry-run", help="say what would be done, and do nothing"),
    even_newer: bool = typer.Option(
        False, "--even-newer", help="pass over records of a newer format, too"
    ),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Let a stopped partition go on: what cannot be read before an offset becomes dead letters.

    What can be read is kept. All readers follow within two seconds, after a restart, too; each
    record is counted as `skipped`, and the audit says who did it. Refused where nothing stands in
    the way, and for records of a newer format: start the newer build, or give --even-newer.

    \b
    Examples:
      observai dead-letters skip samples 2 --dry-run
      observai dead-letters skip samples 2 --to 1042
    """
    import asyncio

    from ops import places
    from ops import skip as ops
    from ops.cli.tenant import admin_of
    from ops.partitions import PartitionsError

    settings, _ = places.find(settings_of(data_dir, None, None, config))
    found = asyncio.run(ops.look(settings, topic, partition, to))
    why_not = found.why_not(even_newer=even_newer)
    if not dry_run and to is None:
        raise typer.BadParameter("give --to OFFSET; --dry-run shows which one would do")
    is_done = not dry_run and why_not is None
    if is_done:
        asked = {"topic": topic, "partition": partition, "until_offset": to}
        admin_of(data_dir, url, key, config).ask("POST", "/skips", asked)
    if as_json:
        print(json.dumps(found.shown() | {"why_not": why_not, "is_done": is_done}))
    else:
        _show_stretch(found)
    if why_not is not None:
        raise PartitionsError(why_not)
    if is_done and not as_json:
        print("allowed: the readers follow; `observai doctor` shows whether one still stands")


def _show_stretch(found: "Stretch") -> None:
    bad = found.unreadable + found.newer
    print(
        f"{found.topic} partition {found.partition}: {found.n_records} records from offset "
        f"{found.from_offset} to before {found.until_offset} (the log ends at {found.end_offset})"
    )
    done = ", ".join(f"{reader} before {offset}" for reader, offset in found.committed.items())
    print(f"done by {done or 'nobody'}")
    print(
        f"{bad} cannot be read, {found.newer} of them of a newer format, {found.cut} too long to "
        "be kept whole"
    )
    for reason, count in found.reasons.items():
        print(f"  {count} x {reason}")
    if found.last is not None:
        print(f"the first at {found.first}, the last at {found.last}: --to {found.last + 1}")


def _look(
    data_dir: "Path | None", config: "Path | None", topic: str | None
) -> tuple["Settings", list["Letter"]]:
    import asyncio

    from ops import dead_letters as ops
    from ops import places

    settings, _ = places.find(settings_of(data_dir, None, None, config))
    letters = asyncio.run(ops.look(settings))
    return settings, [one for one in letters if topic in {None, one.letter.topic}]


def _show(letters: list["Letter"], as_json: bool) -> None:
    from ops.cli.output import show_records
    from ops.times import show_time

    shown = [one.shown() for one in letters]
    if as_json:
        print(json.dumps(shown))
        return
    rows = [one | {"time": show_time(one["time_ms"])} for one in shown]
    show_records([one | {"stages": ",".join(one["stages"])} for one in rows], _NAMES)
