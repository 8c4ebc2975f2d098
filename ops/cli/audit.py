"""The command `observai audit`."""

import json
import time

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl
from ops.cli.tenant import admin_of


def audit(  # noqa: PLR0913, PLR0917 - one argument per option
    tenant: str | None = typer.Option(
        None, "--tenant", help="about whom [default: all that the key used may see]"
    ),
    from_: str = typer.Option(
        "30d", "--from", help="a time like 2026-01-31T08:00:00Z, or how long ago: 90s, 15m, 2h, 7d"
    ),
    limit: int = typer.Option(100, min=1, max=10_000, help="so many entries, the newest"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what administrators did and bursts of refused logins, the newest first.

    \b
    Examples:
      observai audit
      observai audit --tenant acme --from 7d --json
    """
    from ops.cli.output import show_records
    from ops.times import parse_time_ms

    from_ms = parse_time_ms(from_, round(time.time() * 1000))
    admin = admin_of(data_dir, url, key, config)
    found = admin.ask("GET", "/audit", tenant=tenant, from_ms=from_ms, limit=limit)
    if as_json:
        print(json.dumps(found))
        return
    names = ["time", "tenant", "actor", "address", "action", "target", "details"]
    show_records(found, names)
