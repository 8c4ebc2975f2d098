"""Runs checked statements of tenants in threads; puts the engine's complaints in plain words."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from topology.settings import Settings
from topology.store.client import Engine, Limits
from topology.tenants import Tenant

# Queries that run at once, in all and of one tenant, and that wait of one tenant.
MAX_RUNNING = 4
MAX_RUNNING_OF_TENANT = 2
MAX_WAITING_OF_TENANT = 16
MAX_WAIT_S = 10.0

_TIME_CODES = frozenset({"TIMEOUT_EXCEEDED", "TOO_SLOW"})
_SIZE_CODES = frozenset({"TOO_MANY_ROWS_OR_BYTES", "TOO_MANY_ROWS", "TOO_MANY_BYTES"})
_NOISE = re.compile(
    r"Code: \d+\. |DB::Exception: | \(version [^)]*\)|: While executing \w+\.?|"
    r" FORMAT (JSONCompact|CSVWithNames|ArrowStream|Parquet)\b|"
    r"\b__table\d+\.|(: )?[Ii]n scope .*?(?=\. Maybe you meant|$)|`?\bobservai`?\.",
    re.DOTALL,
)


class QueryFailed(Exception):
    """A query that gave no result: the text in plain words, the engine's code, the HTTP status."""

    def __init__(self, message: str, code: str, status: HTTPStatus) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True)
class Format:
    """A result's format: the engine's name and the HTTP media type."""

    engine_name: str
    media_type: str


FORMATS = {
    "json": Format("JSONCompact", "application/json"),
    "csv": Format("CSVWithNames", "text/csv; charset=utf-8"),
    "arrow": Format("ArrowStream", "application/vnd.apache.arrow.stream"),
    "parquet": Format("Parquet", "application/vnd.apache.parquet"),
}


class _EngineResult(msgspec.Struct):
    meta: msgspec.Raw
    data: msgspec.Raw


class _JsonResult(msgspec.Struct):
    columns: msgspec.Raw
    rows: msgspec.Raw
    elapsed_ms: float


class Queries:
    """Runs read-only statements, a bounded number at once, each through its tenant's handle."""

    def __init__(
        self, settings: Settings, tenant_of: Callable[[str], Tenant | None] = lambda _: None
    ) -> None:
        """Take queries once opened; tenant_of: gives a tenant, which may have limits of its own."""
        self._tenant_of = tenant_of
        self._engine: Engine | None = None
        self._settings = settings
        self._threads = ThreadPoolExecutor(MAX_RUNNING, "query")
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._n_of_tenant: Counter[str] = Counter()

    def open(self, engine: Engine) -> None:
        """Take queries from now on."""
        self._engine = engine

    async def run(
        self,
        tenant: str,
        sql: str,
        format_name: str,
        parameters: dict[str, Any] | None = None,
    ) -> bytes:
        """Run a checked statement, or one of ours; return the response's body.

        Raises QueryFailed.
        """
        if self._n_of_tenant[tenant] >= MAX_RUNNING_OF_TENANT + MAX_WAITING_OF_TENANT:
            raise QueryFailed(
                f"{self._n_of_tenant[tenant]} queries of tenant {tenant!r} run or wait already",
                "TOO_MANY_SIMULTANEOUS_QUERIES",
                HTTPStatus.SERVICE_UNAVAILABLE,
            )
        slots = self._slots.setdefault(tenant, asyncio.Semaphore(MAX_RUNNING_OF_TENANT))
        self._n_of_tenant[tenant] += 1
        try:
            async with _within(slots, MAX_WAIT_S):
                return await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._run, tenant, sql, format_name, parameters
                )
        finally:
            self._n_of_tenant[tenant] -= 1
            if not self._n_of_tenant[tenant]:
                del self._n_of_tenant[tenant], self._slots[tenant]

    async def operate(
        self, sql: str, parameters: dict[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run a statement of ours over all tenants; return its rows. Raises QueryFailed."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._operate, sql, parameters
        )

    def _limits_of(self, name: str) -> Limits | None:
        """Return the tenant's own limits, None for those of the engine's handles."""
        tenant, settings = self._tenant_of(name), self._settings
        if tenant is None:
            return None
        return Limits(
            tenant.query_timeout_s or settings.query_timeout_s,
            tenant.query_memory_bytes or settings.query_memory_bytes,
            tenant.query_max_rows or settings.query_max_rows,
        )

    def close(self) -> None:
        """End the running queries and drop those that wait."""
        if self._engine is not None and self._n_of_tenant:
            self._engine.interrupt_queries()
        self._engine = None
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _operate(self, sql: str, parameters: dict[str, Any] | None) -> list[tuple[Any, ...]]:
        try:
            return self._opened().operate(
                lambda client: [tuple(row) for row in client.query(sql, parameters).result_rows]
            )
        except ClickHouseError as error:
            raise explain(error, self._settings) from error

    def _opened(self) -> Engine:
        if self._engine is None:
            raise QueryFailed("the store is not open", "CLOSED", HTTPStatus.SERVICE_UNAVAILABLE)
        return self._engine

    def _run(
        self, tenant: str, sql: str, format_name: str, parameters: dict[str, Any] | None
    ) -> bytes:
        started_s = time.perf_counter()
        engine, limits = self._opened(), self._limits_of(tenant)
        try:
            with engine.reader(tenant, limits) as client:
                body = client.raw_query(sql, parameters, fmt=FORMATS[format_name].engine_name)
        except ClickHouseError as error:
            raise explain(error, self._settings, limits) from error
        if format_name != "json":
            return bytes(body)
        try:
            result = msgspec.json.decode(body, type=_EngineResult)
        except msgspec.DecodeError as error:
            # The engine breaks off a result that it has begun when it fails late.
            raise QueryFailed(
                f"the engine broke the result off ({error}): ask for format=csv, or write the "
                "condition as WHERE or HAVING",
                "INCOMPLETE_RESULT",
                HTTPStatus.BAD_REQUEST,
            ) from None
        elapsed_ms = round((time.perf_counter() - started_s) * 1000, 3)
        return msgspec.json.encode(_JsonResult(result.meta, result.data, elapsed_ms))


@asynccontextmanager
async def _within(slots: asyncio.Semaphore, wait_s: float) -> AsyncIterator[None]:
    """Hold one of the slots. Raises QueryFailed where none becomes free in time."""
    try:
        await asyncio.wait_for(slots.acquire(), wait_s)
    except TimeoutError:
        raise QueryFailed(
            f"the tenant's {MAX_RUNNING_OF_TENANT} running queries did not end within "
            f"{wait_s:.0f} s: try again",
            "TOO_MANY_SIMULTANEOUS_QUERIES",
            HTTPStatus.SERVICE_UNAVAILABLE,
        ) from None
    try:
        yield
    finally:
        slots.release()


def explain(error: ClickHouseError, settings: Settings, own: Limits | None = None) -> QueryFailed:
    """Say what went wrong without the engine's trimmings, and name the setting of a limit."""
    limits = own or Limits(
        settings.query_timeout_s, settings.query_memory_bytes, settings.query_max_rows
    )
    code = (error.name if isinstance(error, DatabaseError) else None) or "UNKNOWN"
    if code in _TIME_CODES:
        text = (
            f"the query took longer than query_timeout_s={limits.timeout_s}: "
            "ask for a shorter time range or for one metric"
        )
        return QueryFailed(text, code, HTTPStatus.REQUEST_TIMEOUT)
    if code == "MEMORY_LIMIT_EXCEEDED" and "(total)" in str(error):
        text = (
            "what the store does now needs more than three quarters of "
            f"memory_bytes={settings.memory_bytes}: try again later, or ask for less time"
        )
        return QueryFailed(text, code, HTTPStatus.SERVICE_UNAVAILABLE)
    if code == "MEMORY_LIMIT_EXCEEDED":
        text = (
            f"the query needs more than query_memory_bytes={limits.memory_bytes}: "
            "ask for a shorter time range, or group by fewer columns"
        )
        return QueryFailed(text, code, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if code in _SIZE_CODES:
        text = (
            f"the result has more than query_max_rows={limits.max_rows} rows, or too "
            "many bytes: add a LIMIT, or aggregate"
        )
        return QueryFailed(text, code, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return QueryFailed(_plain(str(error), code), code, HTTPStatus.BAD_REQUEST)


def _plain(text: str, code: str) -> str:
    cleaned = _NOISE.sub("", text.replace(f"({code})", "")).strip(" .\n")
    return f"{cleaned or 'the engine refused the query'} ({code})"
