"""The commands `observai key ...`."""

import json
from typing import Annotated, Any

import typer

from ops.cli.options import AsJson, ConfigFile, DataDir, Key, StoreUrl, settings_of
from ops.cli.tenant import admin_of

key = typer.Typer(
    name="key",
    help="Create, list, revoke and rotate API keys. The key used has the scope admin.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

KeyId = Annotated[str, typer.Argument(help="id of a key, as `observai key list` shows it")]
OfTenant = Annotated[
    str | None, typer.Option("--tenant", help="whose [default: that of the key used]")
]


@key.command()
def create(  # noqa: PLR0913, PLR0917 - one argument per option
    scope: Annotated[
        list[str], typer.Option("--scope", help="write, read or admin; may be repeated")
    ],
    tenant: OfTenant = None,
    expires: str | None = typer.Option(None, help="after so long: 12h, 90d [default: never]"),
    note: str = typer.Option("", help="what it is for"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    with_key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it: this once, it is stored nowhere.

    \b
    Examples:
      observai key create --tenant acme --scope write
      observai key create --tenant acme --scope write --scope read --expires 90d --json
    """
    from ops.times import parse_span_s

    body: dict[str, Any] = {"scopes": scope, "tenant": tenant, "note": note}
    if expires is not None:
        body["expires_s"] = parse_span_s(expires)
    _show_made(admin_of(data_dir, url, with_key, config).ask("POST", "/keys", body), as_json)


@key.command("list")
def list_(  # noqa: PLR0913, PLR0917 - one argument per option
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="whose [default: all that the key used may see]")
    ] = None,
    dead: bool = typer.Option(False, "--all", help="revoked and expired ones, too"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    with_key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List keys: never their text, but when each was used last.

    \b
    Examples:
      observai key list --tenant acme
      observai key list --all --json
    """
    from ops.cli.output import show_records

    admin = admin_of(data_dir, url, with_key, config)
    found = admin.ask("GET", "/keys", tenant=tenant, all="true" if dead else None)
    if as_json:
        print(json.dumps(found))
        return
    names = ["id", "tenant", "scopes", "state", "created", "expires", "last_used", "note"]
    show_records([one | {"scopes": " ".join(one["scopes"])} for one in found], names)


@key.command()
def revoke(  # noqa: PLR0913, PLR0917 - one argument per option
    key_id: KeyId,
    data_dir: DataDir = None,
    url: StoreUrl = None,
    with_key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: within two seconds it opens nothing any more.

    \b
    Example:
      observai key revoke 5f2a91c0b7de
    """
    from ops.admin import quoted

    admin_of(data_dir, url, with_key, config).ask("DELETE", f"/keys/{quoted(key_id)}")
    print(json.dumps({"revoked": key_id}) if as_json else f"revoked {key_id}")


@key.command()
def rotate(  # noqa: PLR0913, PLR0917 - one argument per option
    key_id: KeyId,
    overlap: str = typer.Option("1d", help="how long the old key goes on; 0s: not at all"),
    data_dir: DataDir = None,
    url: StoreUrl = None,
    with_key: Key = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key of the same scopes, and let the old one end after an overlap.

    \b
    Examples:
      observai key rotate 5f2a91c0b7de
      observai key rotate 5f2a91c0b7de --overlap 0s --json
    """
    from ops.admin import quoted
    from ops.times import parse_span_s

    body = {"overlap_s": parse_span_s(overlap)}
    admin = admin_of(data_dir, url, with_key, config)
    _show_made(admin.ask("POST", f"/keys/{quoted(key_id)}/rotate", body), as_json)


@key.command("forget-secret")
def forget_secret(
    confirmed: bool = typer.Option(False, "--yes", help="all keys end by this"),
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> None:
    """Give up the secret that keys are digested under, after it has leaked: all keys end.

    Then stop all processes, set another OBSERVAI_KEY_SECRET (or delete DATA_DIR/key.secret and
    DATA_DIR/default.key), start them again, and make new keys with the one in DATA_DIR/default.key.

    \b
    Example:
      observai key forget-secret --yes
    """
    import asyncio

    from ops import key_secret, places

    if not confirmed:
        raise typer.BadParameter("every API key ends by this: add --yes")
    settings, _ = places.find(settings_of(data_dir, None, None, config))
    asyncio.run(key_secret.forget(settings))
    print("forgotten: stop all processes, change the secret, and start them again")


def _show_made(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(made))
        return
    print(made["key"])
    ends = f", until {made['expires']}" if made["expires"] else ""
    typer.echo(
        f"key {made['id']} of tenant {made['tenant']} ({', '.join(made['scopes'])}){ends}; "
        "it is shown this once",
        err=True,
    )
    if "replaces" in made:
        typer.echo(f"key {made['replaces']} ends {made['old_expires']}", err=True)
