"""The commands `observai dead-letters ...`."""

import json
from typing import TYPE_CHECKING

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from ops.dead_letters import Letter
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
