"""JSON: a body of points, answered with what was accepted and what was refused."""

import numpy as np
from numpy.typing import NDArray
from starlette.responses import JSONResponse, Response

from pipeline.admission import Rejection, refuse_times
from pipeline.json_ingest import decode_points
from pipeline.json_series import JsonSeries, announcement_of_point
from topology.edge.compression import GZIP, PLAIN, ZSTD
from topology.edge.endpoint import Endpoint
from topology.edge.intake import Intake, Registry
from topology.keys import Tenant

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
        batch = decode_points(body.data, now_ms)
        seed = self._registry.seed(tenant)
        ids, rejections = self._series.resolve(seed, batch.points, batch.indexes, limits)
        in_time, refused = refuse_times(batch.times_ms, now_ms, limits)
        good = in_time & (ids != 0)
        rejections = batch.rejections + rejections
        rejections += [
            Rejection(int(batch.indexes[one.index]), one.reason, one.message)
            for one in refused
            if ids[one.index]
        ]
        rejections.sort(key=lambda rejection: rejection.index)
        unknown = np.flatnonzero(good)[known.unknown(ids[good], now_ms)]
        # One announcement a series: the last of its points that came.
        newest = {int(ids[at]): batch.points[at] for at in unknown.tolist()}
        announcements = [announcement_of_point(*item) for item in newest.items()]
        new_series = self._registry.announce(tenant, now_ms, announcements)
        columns = (ids[good], batch.times_ms[good], batch.values[good])
        return Intake(tenant, *columns, new_series, rejections)

    def answer(self, intake: Intake) -> Response:
        """Count what was accepted and name what was refused; 400 where nothing was accepted."""
        rejections = intake.rejections
        answer: dict[str, object] = {
            "accepted": len(intake.series_ids),
            "rejected": len(rejections),
            "errors": [
                {"index": one.index, "reason": one.reason, "message": one.message}
                for one in rejections[:_ERRORS_SHOWN]
            ],
        }
        if len(rejections) > _ERRORS_SHOWN:
            answer["errors_omitted"] = len(rejections) - _ERRORS_SHOWN
        all_refused = bool(rejections) and not len(intake.series_ids)
        return JSONResponse(answer, status_code=400 if all_refused else 200)


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    points = JsonPoints(registry)
    return [Endpoint(path, lambda _: points) for path in PATHS]
