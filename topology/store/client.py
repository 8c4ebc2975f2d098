"""Handles to the store: one that writes, and read-only ones of tenants with limits from birth."""

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from topology.store.engine_config import (
    OPERATOR_FILTER,
    OPERATOR_TABLES,
    ROW_FILTER,
    TENANT_SETTING,
    TENANT_TABLES,
    Bounds,
    write_engine_config,
)

DATABASE = "observai"

_Result = TypeVar("_Result")
# Of a handle: its tenant, None for the operator's, and what a query may use.
_Label = tuple[str | None, "Limits | None"]

# Rows of one key share a day but not a retention, where that was changed between them: FINAL
# has to merge across partitions. Time is in the key, so a condition on it may choose the partitions
# before FINAL.
_READ_SETTINGS: dict[str, Any] = {
    "do_not_merge_across_partitions_select_final": 0,
    "defer_partition_pruning_after_final": 0,
}
# One thread and one part at a time keep a block's rows in their order: the last of one key wins.
_WRITE_SETTINGS: dict[str, Any] = {
    **_READ_SETTINGS,
    "async_insert": 0,
    # A block may repeat a key until its part is merged, which FINAL reads rightly; dropping repeats
    # before the write cost half of an insert.
    "optimize_on_insert": 0,
    "max_insert_threads": 1,
    "max_query_size": 64 << 20,
    "max_ast_elements": 10_000_000,
    "max_expanded_ast_elements": 10_000_000,
}
_READER_SETTINGS: dict[str, Any] = {
    "date_time_output_format": "iso",
    "output_format_json_quote_64bit_integers": 0,
    "output_format_json_quote_denormals": 1,
    "output_format_arrow_string_as_string": 1,
    # What PromQL is made of (timeSeries*ToGrid); the engine has them off by default.
    "enable_time_series_aggregate_functions": 1,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query of a tenant may use."""

    timeout_s: int = 30
    memory_bytes: int = 1 << 30
    max_rows: int = 1_000_000
    max_result_bytes: int = 512 << 20

    def settings(self) -> dict[str, Any]:
        """Return the settings that a tenant's handle is born with."""
        return {
            "max_execution_time": self.timeout_s,
            # Let a query use its time: no guess beforehand that it might not suffice.
            "timeout_before_checking_execution_speed": 0,
            "max_memory_usage": self.memory_bytes,
            "max_result_rows": self.max_rows,
            "max_result_bytes": self.max_result_bytes,
            "result_overflow_mode": "throw",
        }


class StoreUnavailable(Exception):
    """The engine cannot be opened or reached; the text says why."""


class Engine:
    """The open store. Embedded, one process owns the path, and this object the process's engine."""

    def __init__(
        self, url: str, limits: Limits, *, bounds: Bounds | None = None, max_readers: int = 24
    ) -> None:
        """Open the store at chdb://PATH or clickhouse://..., making its database if missing.

        bounds: of an embedded engine. max_readers: handles of tenants kept open; one takes
        some 2 MB.
        Raises StoreUnavailable.
        """
        self._url = url
        self._limits = limits
        self._bounds = bounds or Bounds()
        self._max_readers = max_readers
        self._idle: OrderedDict[tuple[_Label, int], Client] = OrderedDict()
        self._n_made = 0
        self._lock = threading.Lock()
        self.embedded = url.startswith("chdb://")
        self._database = DATABASE if self.embedded else _database_of(url)
        try:
            self._arguments = self._connection()
            maker = self._connect("default", {})
            maker.command(f"CREATE DATABASE IF NOT EXISTS {self._database}")
            maker.close()
            self.writer = self._connect(self._database, _WRITE_SETTINGS)
        except (ClickHouseError, OSError) as error:
            raise StoreUnavailable(f"cannot open the store at {_redacted(url)}: {error}") from error

    def renew_writer(self) -> None:
        """Replace the writer's handle: one that has failed is not used again, see `_lent`."""
        old, self.writer = self.writer, self._connect(self._database, _WRITE_SETTINGS)
        old.close()

    @property
    def database(self) -> str:
        """Database that holds all tables."""
        return self._database

    def protect(self) -> None:
        """Put the row policies on a server's tables; embedded, the users file holds them."""
        if self.embedded:
            return
        filters = dict.fromkeys(TENANT_TABLES, ROW_FILTER)
        filters |= dict.fromkeys(OPERATOR_TABLES, OPERATOR_FILTER)
        for table, condition in filters.items():
            self.writer.command(
                f"CREATE ROW POLICY IF NOT EXISTS tenant_only ON {self._database}.{table} "
                f"USING {condition} TO ALL"
            )

    def reader(self, tenant: str, limits: Limits | None = None) -> AbstractContextManager[Client]:
        """Lend a read-only handle that sees the tenant's rows only, for one query at a time.

        limits: of the tenant, None for those that hold for all.
        """
        limits = limits or self._limits
        return self._lent((tenant, limits), partial(self._make_reader, tenant, limits))

    def operate(self, work: Callable[[Client], _Result]) -> _Result:
        """Do work on a handle of its own that sees all rows: the writer's is the archive's."""
        make = partial(self._connect, self._database, _WRITE_SETTINGS)
        with self._lent((None, None), make) as client:
            return work(client)

    def purge_allocator(self) -> None:
        """Make the embedded engine give its free pages back."""
        self.operate(lambda client: client.command("SYSTEM JEMALLOC PURGE"))

    def interrupt_queries(self) -> None:
        """Make running queries of tenants end with an error soon."""
        statement = f"KILL QUERY WHERE Settings['{TENANT_SETTING}'] != '' ASYNC"
        self.operate(lambda client: client.command(statement))

    def close(self) -> None:
        """Close all handles. No query or insert may run."""
        with self._lock:
            readers = list(self._idle.values())
            self._idle.clear()
        for client in (*readers, self.writer):
            client.close()

    @contextmanager
    def _lent(self, label: _Label, make: Callable[[], Client]) -> Iterator[Client]:
        """Lend an idle handle of the tenant, None for the operator's, or a new one."""
        client = self._take_idle(label) or make()
        try:
            yield client
        except BaseException:
            # The embedded engine keeps what a failed query had written, and would put it before
            # the next one's result.
            client.close()
            raise
        self._give_back(label, client)

    def _take_idle(self, label: _Label) -> Client | None:
        with self._lock:
            for key in reversed(self._idle):
                if key[0] == label:
                    return self._idle.pop(key)
        return None

    def _make_reader(self, tenant: str, limits: Limits) -> Client:
        if not tenant:
            # An empty name is the operator's: it would see every tenant.
            raise ValueError("a tenant's name is needed")
        settings = {
            **_READ_SETTINGS,
            **_READER_SETTINGS,
            **limits.settings(),
            TENANT_SETTING: tenant,
            # The last one: no setting can be changed after it.
            "readonly": 1,
        }
        return self._connect(self._database, settings)

    def _give_back(self, label: _Label, client: Client) -> None:
        with self._lock:
            self._n_made += 1
            self._idle[label, self._n_made] = client
            surplus = [
                self._idle.popitem(last=False)[1]
                for _ in range(len(self._idle) - self._max_readers)
            ]
        for old in surplus:
            old.close()

    def _connect(self, database: str, settings: dict[str, Any]) -> Client:
        return clickhouse_connect.get_client(
            **self._arguments, database=database, settings=settings
        )

    def _connection(self) -> dict[str, Any]:
        if not self.embedded:
            return {
                "dsn": self._url,
                "autogenerate_session_id": False,
                "send_receive_timeout": 60 + self._limits.timeout_s,
            }
        path = Path(self._url.removeprefix("chdb://")).absolute()
        folder = path.with_name(path.name + "-config")
        config = write_engine_config(folder, self._database, self._bounds)
        return {
            "interface": "chdb",
            "path": str(path),
            "chdb_options": {"config-file": str(config)},
        }


def _database_of(url: str) -> str:
    name = urlsplit(url).path.strip("/") or DATABASE
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise StoreUnavailable(f"{name!r} is no name of a database, for example {DATABASE}")
    return name


def _redacted(url: str) -> str:
    return re.sub(r"//[^@/]*@", "//...@", url)
