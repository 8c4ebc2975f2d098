"""The command `observai anomaly warm`."""

import json
import sys

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of


def warm(  # noqa: PLR0913, PLR0917 - one argument per option
    days: int = typer.Option(14, min=1, max=3650, help="how many days of stored rollups"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Learn the models of anomaly scores from stored rollups, in place of waiting for days.

    For a new version whose models are others, or after they were lost. Everything goes on
    meanwhile; start the workers again after it, and they go on with what was learned. Scores that
    are stored stay as they are. An operator's key is needed (default tenant, scope admin).

    \b
    Examples:
      observai anomaly warm
      observai anomaly warm --days 3
    """
    import asyncio
    from dataclasses import asdict

    from ops import places, query
    from ops.anomaly.warm import warm as learn
    from ops.cli.errors import explained
    from ops.replay.live import Live

    given = settings_of(data_dir, None, None, config)
    with explained():
        settings, _ = places.find(given)
        live = Live(query.service(given, url, key))
        found = asyncio.run(learn(settings, live, days, _say))
    if as_json:
        rows = [{"partition": number} | asdict(one) for number, one in found.items()]
        print(json.dumps({"partitions": rows}))
        return
    n_series = sum(one.n_series for one in found.values())
    n_windows = sum(one.n_windows for one in found.values())
    print(f"{n_series:,} series learned from {n_windows:,} windows: start the workers again")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
