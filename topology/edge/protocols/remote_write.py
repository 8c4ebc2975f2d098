"""Prometheus remote write 1.0, as a snappy block or zstd."""

import threading
from http import HTTPStatus

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pipeline.admission import Reason, Rejection, find_fault, refuse_times
from pipeline.label_cache import LabelCache
from pipeline.remote_write import WriteRequest, decode_write_request, labels_of
from pipeline.series_labels import are_plain, lay_out
from schemas.series import Announcement, SeriesBlock
from topology.edge.compression import SNAPPY, ZSTD, Encoding
from topology.edge.endpoint import Endpoint
from topology.edge.intake import Intake, Registry, summarize
from topology.http import Refused
from topology.keys import Tenant

_REMOTE_WRITE_2 = "io.prometheus.write.v2"


class RemoteWrite:
    """Reads prometheus.WriteRequest; remembers ids by the bytes of labels."""

    name = "remote_write"
    # Senders that leave the header out send snappy, as Prometheus takes it, too.
    encodings = {"": Encoding.SNAPPY} | SNAPPY | ZSTD

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._label_cache = LabelCache(registry.budget.max_series)
        self._cache_lock = threading.Lock()
        registry.memory["label_cache"] = lambda: self._label_cache.slots.nbytes

    def read(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        """Read a body. Raises MalformedBody."""
        request = self._decode(body, self._registry.seed(tenant))
        limits = self._registry.limits(tenant)
        new_series, faults = self._meet_series(body, request, tenant, now_ms)
        good, rejections = refuse_times(request.times_ms, now_ms, limits)
        for at in range(min(len(rejections), 10)):
            rejections[at] = _with_series(rejections[at], body, request)
        if faults:
            is_faulty = np.zeros(len(request.series_ids), dtype=np.bool_)
            is_faulty[list(faults)] = True
            refused = np.flatnonzero(is_faulty[request.sample_series] & good).tolist()
            good[refused] = False
            of_series = request.sample_series[refused].tolist()
            rejections += [
                Rejection(index, *faults[at]) for index, at in zip(refused, of_series, strict=True)
            ]
        if request.n_histograms:
            text = "native histograms are not taken; send classic buckets"
            rejections += [
                Rejection(len(good) + at, Reason.NATIVE_HISTOGRAM, text)
                for at in range(request.n_histograms)
            ]
        ids = request.series_ids[request.sample_series]
        if rejections:
            columns = (ids[good], request.times_ms[good], request.values[good])
            return Intake(tenant, *columns, new_series, rejections)
        return Intake(tenant, ids, request.times_ms, request.values, new_series)

    def answer(self, intake: Intake) -> Response:
        """Answer 204, or 400 in words where samples were refused; the others of it are kept."""
        if intake.rejections:
            n_samples = len(intake.series_ids) + len(intake.rejections)
            return PlainTextResponse(summarize(intake.rejections, n_samples), status_code=400)
        return Response(status_code=204)

    def _decode(self, body: NDArray[np.uint8], seed: np.uint64) -> WriteRequest:
        # A large body is read in a thread: of two at once, one does without the cache.
        if not self._cache_lock.acquire(blocking=False):
            return decode_write_request(body, seed)
        try:
            return decode_write_request(body, seed, self._label_cache)
        finally:
            self._cache_lock.release()

    def _meet_series(
        self, body: NDArray[np.uint8], request: WriteRequest, tenant: Tenant, now_ms: int
    ) -> tuple[list[SeriesBlock], dict[int, tuple[Reason, str]]]:
        """Return announcements of the unknown series that are sound, and faults of the others."""
        # A series without a sample is nothing to announce, however many a body claims.
        n_samples = np.bincount(request.sample_series, minlength=len(request.series_ids))
        with_samples = np.flatnonzero(n_samples)
        known = self._registry.known
        unknown = with_samples[known.unknown(request.series_ids[with_samples], now_ms)]
        if not len(unknown):
            return [], {}
        limits = self._registry.limits(tenant)
        plain = are_plain(body, request.spans[unknown], limits)
        announcements: list[Announcement] = []
        faults: dict[int, tuple[Reason, str]] = {}
        for series in unknown[~plain].tolist():
            try:
                labels = labels_of(body, request.spans[series])
            except UnicodeDecodeError:
                faults[series] = Reason.BAD_LABELS, "a label's name or value is not UTF-8"
                continue
            fault = find_fault(labels, limits)
            if fault is not None:
                faults[series] = fault
                continue
            announcements.append(Announcement(int(request.series_ids[series]), dict(labels)))
        blocks = self._registry.announce(tenant, now_ms, announcements)
        if plain.any():
            chosen = unknown[plain]
            laid_out = lay_out(body, request.spans[chosen])
            head = (tenant.name, now_ms, tenant.retention_days, request.series_ids[chosen])
            n = len(chosen)
            blocks.append(SeriesBlock(*head, *laid_out, np.zeros(n, dtype=np.uint8), [""] * n))
        return blocks, faults


def endpoints(registry: Registry) -> list[Endpoint]:
    """Return the rows of this protocol."""
    version_1 = RemoteWrite(registry)

    def choose(request: Request) -> RemoteWrite:
        if _REMOTE_WRITE_2 in request.headers.get("content-type", ""):
            message = "remote write 2.0 is not taken; send prometheus.WriteRequest (1.0)"
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
        return version_1

    return [Endpoint("/api/v1/write", choose)]


def _with_series(rejection: Rejection, body: NDArray[np.uint8], request: WriteRequest) -> Rejection:
    """Name the series in the message, so that its sender can be found."""
    try:
        labels = dict(labels_of(body, request.spans[request.sample_series[rejection.index]]))
    except UnicodeDecodeError:
        return rejection
    metric = labels.pop("__name__", "")
    return Rejection(rejection.index, rejection.reason, f"{metric}{labels}: {rejection.message}")
