"""The commands `observai tenant ...`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of

if TYPE_CHECKING:
    from pathlib import Path

    from ops.admin import Admin

tenant = typer.Typer(
    name="tenant",
    help="Add, list, change and remove tenants. The key is one of tenant `default`, scope admin.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="letters, digits and _.-, at most 63")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="NAME=VALUE, a limit that goes before the tier's; may be repeated"),
]


@tenant.command()
def add(  # noqa: PLR0913, PLR0917 - one argument per option
    name: Name,
    tier: str = typer.Option("free", help="free, pro, team, enterprise, or one of OBSERVAI_TIERS"),
    limits: Set = None,
    restore: bool = typer.Option(False, "--restore", help="bring a removed tenant back"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Add a tenant.

    \b
    Examples:
      observai tenant add acme --tier pro
      observai tenant add acme --tier pro --set retention_days=90 --set fine_windows=true
    """
    from ops.admin import parse_limits

    body = {"name": name, "tier": tier, "overrides": parse_limits(limits or []), "restore": restore}
    answer = admin_of(data_dir, url, key, config).ask("POST", "/tenants", body)
    _show([answer], as_json, one=True)


@tenant.command("list")
def list_(
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the tenants with what holds for each.

    \b
    Examples:
      observai tenant list
      observai tenant list --json
    """
    _show(admin_of(data_dir, url, key, config).ask("GET", "/tenants"), as_json)


@tenant.command("set")
def set_(  # noqa: PLR0913, PLR0917 - one argument per option
    name: Name,
    tier: str | None = typer.Option(None, help="another tier"),
    limits: Set = None,
    unset: Annotated[
        list[str] | None,
        typer.Option("--unset", help="NAME of a limit that is to be the tier's again"),
    ] = None,
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Change a tenant's tier or limits; all processes follow within two seconds.

    \b
    Examples:
      observai tenant set acme --tier team
      observai tenant set acme --set max_labels=40 --unset retention_days
    """
    from ops.admin import parse_limits, quoted

    body = {"tier": tier, "set": parse_limits(limits or []), "unset": unset or []}
    admin = admin_of(data_dir, url, key, config)
    _show([admin.ask("PATCH", f"/tenants/{quoted(name)}", body)], as_json, one=True)


@tenant.command()
def remove(  # noqa: PLR0913, PLR0917 - one argument per option
    name: Name,
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Remove a tenant: its keys stop within two seconds, its samples expire as they would have.

    \b
    Example:
      observai tenant remove acme
    """
    from ops.admin import quoted

    admin_of(data_dir, url, key, config).ask("DELETE", f"/tenants/{quoted(name)}")
    print(json.dumps({"removed": name}) if as_json else f"removed {name}")


@tenant.command()
def tiers(
    data_dir: DataDir = None,
    url: StoreUrl = None,
    key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Show the tiers and their limits.

    \b
    Example:
      observai tenant tiers
    """
    from ops.cli.output import show_records

    found = admin_of(data_dir, url, key, config).ask("GET", "/tiers")
    if as_json:
        print(json.dumps(found))
        return
    names = list(dict.fromkeys(name for tier in found for name in tier["limits"]))
    rows = [{"limit": n} | {tier["name"]: tier["limits"].get(n) for tier in found} for n in names]
    show_records(rows, ["limit", *(tier["name"] for tier in found)])


def admin_of(
    data_dir: "Path | None", url: str | None, key: str | None, config: "Path | None"
) -> "Admin":
    """Return the admin API that the options name."""
    from ops import query
    from ops.admin import Admin

    return Admin(query.service(settings_of(data_dir, None, None, config), url, key))


def _show(tenants: list[dict[str, Any]], as_json: bool, *, one: bool = False) -> None:
    from ops.cli.output import show_records

    if as_json:
        print(json.dumps(tenants[0] if one else tenants))
        return
    rows = [{"name": it["name"], "tier": it["tier"], **it["limits"]} for it in tenants]
    show_records(rows, list(rows[0]) if rows else ["name", "tier"])
