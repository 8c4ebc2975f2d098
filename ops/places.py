"""Where a deployment is: what a command asks, and how it finds that."""

from collections.abc import Mapping
from dataclasses import dataclass

from ops import api
from topology.settings import Settings


@dataclass(frozen=True, slots=True)
class Places:
    """Where the parts of a deployment are.

    settings: name the broker; None where it is not known, as with a store's URL alone. urls: of
    its processes by name, where known.
    """

    settings: Settings | None
    urls: Mapping[str, str]


def find(settings: Settings) -> tuple[Settings, Mapping[str, str]]:
    """Return settings that name the broker, and URLs of the `up` that runs on the data directory.

    Raises ApiError where none runs and the settings name no broker either.
    """
    run = api.read_run(settings.data_dir)
    if run is not None:
        urls = run["urls"]
        assert isinstance(urls, dict)
        return settings.model_copy(update={"kafka": run["kafka"]}), urls
    if settings.kafka is None:
        raise api.ApiError(
            f"no `observai up` runs on {settings.data_dir}: give the --data-dir of one that runs, "
            "or set OBSERVAI_KAFKA to a broker's HOST:PORT"
        )
    return settings, {}


def find_beside(settings: Settings, store_url: str | None) -> Places:
    """Return the places that belong to a store's URL, or to the data directory without one.

    Raises ApiError as `find` does.
    """
    if store_url is None:
        return Places(*find(settings))
    run = api.read_run(settings.data_dir) or {}
    urls = run.get("urls")
    if isinstance(urls, dict) and urls.get("store") == store_url.rstrip("/"):
        return Places(*find(settings))
    # Another deployment than that of the data directory.
    return Places(settings if settings.kafka else None, {})
