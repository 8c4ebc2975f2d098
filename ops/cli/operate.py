"""Commands about a deployment as a whole: its store, its partitions and their checkpoints."""

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, settings_of


def migrate(data_dir: DataDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Apply the store's migrations that are not applied yet; the store role does so at its start.

    \b
    Example:
      OBSERVAI_STORE=clickhouse://user:pw@ch:8123/db observai migrate
    """
    from ops.cli.output import show_migrations
    from ops.migrate import apply
    from topology.store.client import Engine, Limits

    settings = settings_of(data_dir, None, None, config)
    applied = apply(Engine(settings.store_url, Limits()).writer)
    show_migrations(applied, as_json=as_json)


def partitions(
    data_dir: DataDir = None,
    config: ConfigFile = None,
    grow: int | None = typer.Option(None, min=1, max=1024, help="number of partitions to have"),
    as_json: AsJson = False,
) -> None:
    """Show the partitions and who reads how many; --grow adds some while everything runs.

    Waits until edges, workers and the store follow, and checks it: exit code 1 if they do not,
    2 if that cannot be told.

    \b
    Examples:
      observai partitions
      observai partitions --grow 8
    """
    import asyncio

    from ops import partitions as ops
    from ops import places
    from ops.cli.errors import EXIT_UNDECIDED, explained
    from ops.cli.output import progress, show_partitions

    given = settings_of(data_dir, None, None, config)
    with explained(EXIT_UNDECIDED):
        settings, urls = places.find(given)
        if grow is None:
            found = asyncio.run(ops.look(settings, urls))
        else:
            asyncio.run(ops.grow(settings, grow))
            found = asyncio.run(ops.wait_followed(settings, urls, grow, progress))
    show_partitions(found, as_json=as_json)
    raise typer.Exit(1 if found.missing() else 0)


def checkpoints(
    data_dir: DataDir = None,
    config: ConfigFile = None,
    drop: bool = typer.Option(False, "--drop", help="give up the state that cannot be read"),
    partition: int | None = typer.Option(
        None, min=0, help="with --drop: give up this partition's state, whatever it is"
    ),
    as_json: AsJson = False,
) -> None:
    """Show the workers' checkpoints; --drop gives up those that this build cannot read.

    A worker does not begin a partition whose state it cannot read: it would begin in the middle
    of the log. After a downgrade start the newer build, or give the state up here and start the
    workers again: they go back by as much as a window can be open, and windows that began before
    are computed from the stored samples. Scores are learned anew. Exit code 1 if there is one that
    cannot be read.

    \b
    Examples:
      observai checkpoints
      observai checkpoints --drop
    """
    import asyncio

    from ops import checkpoints as ops
    from ops import places
    from ops.cli.errors import EXIT_UNDECIDED, explained
    from ops.cli.output import show_checkpoints

    given = settings_of(data_dir, None, None, config)
    with explained(EXIT_UNDECIDED):
        settings, _ = places.find(given)
        if partition is not None and not drop:
            raise typer.BadParameter("--partition goes with --drop")
        dropped = asyncio.run(ops.drop_all(settings, partition)) if drop else {}
        found = asyncio.run(ops.look_at_all(settings))
    show_checkpoints(found, dropped, as_json=as_json)
    raise typer.Exit(int(any(one.is_lost for one in found.values())))
