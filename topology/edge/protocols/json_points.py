"""JSON: a body of points, answered with what was accepted and what was refused."""

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from pipeline.admission import Rejection
from pipeline.json_ingest import decode_points
from pipeline.json_series import JsonSeries, announcement_of_point
from pipeline.refusals import Refusals, refuse_times
from schemas.series import series_block
from topology.edge.compression import GZIP, PLAIN, ZSTD
from topology.edge.endpoint import Endpoint
from topology.edge.intake import Intake, Registry
from topology.tenants import Tenant

PATHS = ("/api/v1/ingest", "/functions/v1/ingest")
_ERRORS_SHOWN = 1000


class JsonPoints:
    """Reads `{"metrics": [...]}`; remembers ids by the text of labels."""

    name = "json"
    encodings = PLAIN | GZIP | ZSTD

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._series = JsonSeries(registry.budget.json_bytes)
        registry.memory["json_series"] = self._series.n_bytes

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body. Raises MalformedBody."""
        known, limits = self._registry.known, self._registry.limits(tenant)
        refusals = Refusals(_ERRORS_SHOWN)
        batch = decode_points(body.data, now_ms)
        seed = self._registry.seed(tenant)
        ids, refused = self._series.resolve(seed, batch.points, batch.indexes, limits)
        for one in batch.rejections + refused:
            refusals.add(one.index, one.reason, one.message)
        sound = np.flatnonzero(ids)
        out_of_time = Refusals(_ERRORS_SHOWN)
        good = sound[refuse_times(batch.times_ms[sound], now_ms, limits, out_of_time)]
        refusals.counts += out_of_time.counts
        for one in out_of_time.examples:
            index = int(batch.indexes[sound[one.index]])
            refusals.examples.append(Rejection(index, one.reason, one.message))
        unknown = good[known.unknown(ids[good], now_ms)]
        # One announcement a series: the last of its points that came.
        newest = {int(ids[at]): batch.points[at] for at in unknown.tolist()}
        intake = Intake(
            tenant, ids[good], batch.times_ms[good], batch.values[good], refusals=refusals
        )
        if newest:
            announcements = [announcement_of_point(*item) for item in newest.items()]
            block = series_block(tenant.name, now_ms, tenant.retention_days, announcements)
            intake.new_series.append(block)
            intake.new_keys.append(block.series_ids)
        return intake

    def answer(self, intake: Intake) -> Response:
        """Count what was accepted and name what was refused; 400 where nothing was accepted."""
        refusals = intake.refusals
        answer: dict[str, object] = {
            "accepted": len(intake.series_ids),
            "rejected": len(refusals),
            "errors": [
                {"index": one.index, "reason": one.reason, "message": one.message}
                for one in refusals.in_order()
            ],
        }
        if len(refusals) > len(refusals.examples):
            answer["errors_omitted"] = len(refusals) - len(refusals.examples)
        all_refused = bool(len(refusals)) and not len(intake.series_ids)
        return JSONResponse(answer, status_code=400 if all_refused else 200)


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    points = JsonPoints(registry)
    return [Endpoint(path, lambda _: points) for path in PATHS]
