"""Options that commands share, and the settings that follow from them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from topology.settings import Settings

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="folder of all state [default: ./observai-data]")
]
Host = Annotated[
    str | None, typer.Option("--host", help="address to listen on [default: 127.0.0.1]")
]
Port = Annotated[int | None, typer.Option("--port", help="base port [default: 8080]")]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="TOML file of settings; the environment wins")
]
Slot = Annotated[
    str | None,
    typer.Option("--slot", help="name of this process among those of its role [default: 0]"),
]
StoreUrl = Annotated[
    str | None, typer.Option("--url", help="URL of a store role, instead of --data-dir")
]
Key = Annotated[
    str | None, typer.Option("--key", help="API key [default: the one in the data directory]")
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON, for scripts")]


def settings_of(
    data_dir: Path | None,
    host: str | None,
    port: int | None,
    config: Path | None,
    **further: object,
) -> "Settings":
    """Build the settings: options win over the environment, that over the file."""
    # As everywhere in the command line: loaded when needed.
    from topology.settings import load_settings

    settings = load_settings(config, data_dir=data_dir, host=host, port=port, **further)
    if settings.tls_cert is not None:
        from ops.api import trust_own_certificate

        trust_own_certificate(settings)
    return settings
