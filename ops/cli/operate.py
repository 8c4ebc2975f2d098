"""Commands about a deployment as a whole: its store and its partitions."""

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
