"""JSON: a body of points, answered with what was accepted and what was refused."""

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from pipeline.json_ingest import JsonBatch, JsonReader
from pipeline.json_points import UNREADABLE, announcement_of_point, labels_of_point
from schemas.series import series_block
from topology.edge.compression import GZIP, PLAIN, ZSTD
from topology.edge.endpoint import AT_ONCE_BYTES, Endpoint
from topology.edge.intake import Intake, Registry
from topology.tenants import Tenant

PATHS = ("/api/v1/ingest", "/functions/v1/ingest")
_ERRORS_SHOWN = 1000
_LINE_TYPES = {
    f"application/{name}" for name in ("x-ndjson", "ndjson", "jsonl", "jsonlines", "x-jsonlines")
}


class PointRefused(msgspec.Struct, frozen=True):
    """A point that is not taken, by its place in the body, from 0."""

    index: int
    reason: str
    message: str


class Ingested(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the points of a body; errors_omitted: refused ones that are not named."""

    accepted: int
    rejected: int
    errors: list[PointRefused]
    errors_omitted: int = 0


class JsonPoints:
    """Reads `{"metrics": [...]}`, a list of points, or one point a line."""

    name = "json"
    at_once_bytes = AT_ONCE_BYTES
    encodings = PLAIN | GZIP | ZSTD

    def __init__(self, registry: Registry, reader: JsonReader, *, are_lines: bool = False) -> None:
        self._registry = registry
        self._reader = reader
        self._are_lines = are_lines

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body. Raises MalformedBody."""
        registry = self._registry
        batch = self._reader.read(
            body, registry.seed(tenant), now_ms, registry.limits(tenant), are_lines=self._are_lines
        )
        good = np.flatnonzero(batch.ids)
        ids, keys = batch.ids[good], batch.keys[good]
        columns = (ids, batch.times_ms[good], batch.values[good])
        intake = Intake(tenant, *columns, refusals=batch.refusals, places=good)
        intake.labels_of = lambda places: [_labels_of(batch, at) for at in places]
        # One announcement a series and its metadata: the last of its points that came.
        unknown = np.flatnonzero(registry.known.unknown(keys, now_ms))
        newest = dict(zip(keys[unknown].tolist(), unknown.tolist(), strict=True))
        if newest:
            announcements = [
                announcement_of_point(int(ids[at]), batch.point_of(int(good[at])))
                for at in newest.values()
            ]
            block = series_block(tenant.name, now_ms, tenant.retention_days, announcements)
            intake.new_series.append(block)
            intake.new_keys.append(np.array(list(newest), dtype=np.uint64))
        return intake

    def answer(self, intake: Intake) -> Response:
        """Count what was accepted and name what was refused; 400 where nothing was accepted."""
        refusals = intake.refusals
        answer = Ingested(
            accepted=len(intake.series_ids),
            rejected=len(refusals),
            errors=[
                PointRefused(one.index, one.reason, one.message) for one in refusals.in_order()
            ],
            errors_omitted=len(refusals) - len(refusals.examples),
        )
        all_refused = bool(len(refusals)) and not len(intake.series_ids)
        status = 400 if all_refused else 200
        return Response(msgspec.json.encode(answer), status, media_type="application/json")


def _labels_of(batch: JsonBatch, at: int) -> dict[str, str]:
    try:
        return labels_of_point(batch.point_of(at))
    except UNREADABLE:
        return {}


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    reader = JsonReader(registry.budget.max_series // 2, _ERRORS_SHOWN)
    registry.memory["json_series"] = reader.n_bytes
    points = JsonPoints(registry, reader)
    lines = JsonPoints(registry, reader, are_lines=True)

    def choose(request: Request) -> JsonPoints:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        return lines if media_type in _LINE_TYPES else points

    return [Endpoint(path, choose) for path in PATHS]
