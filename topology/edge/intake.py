"""From a request's body to what is published of it and what is refused."""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import cramjam
import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Limits, Reason, Rejection, find_fault, refuse_times
from pipeline.errors import MalformedBody
from pipeline.hashing import tenant_hash
from pipeline.json_ingest import decode_points
from pipeline.json_series import JsonSeries, announcement_of_point
from pipeline.known_series import KnownSeries
from pipeline.label_cache import LabelCache
from pipeline.remote_write import WriteRequest, decode_write_request, labels_of
from pipeline.series_labels import are_plain, lay_out
from pipeline.wire import read_varint
from schemas.series import Announcement, SeriesBlock, series_block
from topology.budget import EdgeBudget
from topology.keys import Tenant
from topology.settings import Settings

_DAY_MS = 86_400_000
# A body up to this size is decompressed into one and the same place.
_SCRATCH_BYTES = 2 << 20


class BodyTooLarge(Exception):
    """The body exceeds a limit; the text names it."""


@dataclass(slots=True)
class Intake:
    """What one request gives.

    series_ids: uint64 (n,). times_ms: int64 (n,). values: float64 (n,), of the good samples.
    new_series: what is to be announced before the samples are acknowledged.
    """

    tenant: Tenant
    series_ids: NDArray[np.uint64]
    times_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    new_series: list[SeriesBlock] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)

    def rejected_by_reason(self) -> Counter[str]:
        """Count the refused samples by reason."""
        return Counter(str(rejection.reason) for rejection in self.rejections)


class Decoder:
    """Reads bodies of all tenants; remembers which series have been announced."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        budget = EdgeBudget.of(settings.memory_bytes)
        self.known = KnownSeries(budget.max_series)
        self._label_cache = LabelCache(budget.max_series)
        self._cache_lock = threading.Lock()
        self._scratch = np.empty(_SCRATCH_BYTES, dtype=np.uint8)
        self._scratch_lock = threading.Lock()
        self._seeds: dict[str, np.uint64] = {}
        self._json_series = JsonSeries(budget.json_bytes)

    def decoded_size(self, compressed: bytes) -> int:
        """Return how many bytes a snappy block is to become. Raises MalformedBody, BodyTooLarge."""
        head = np.frombuffer(compressed[:10], dtype=np.uint8)
        length, after = read_varint(head, 0, len(head))
        if after < 0:
            raise MalformedBody("not a snappy block: its length is missing")
        if length > self._settings.max_decoded_bytes:
            raise BodyTooLarge(
                f"body of {length} bytes after decompression: at most "
                f"{self._settings.max_decoded_bytes} (max_decoded_bytes)"
            )
        return int(length)

    def read_remote_write(self, compressed: bytes, tenant: Tenant, now_ms: int) -> Intake:
        """Read a remote write 1.0 body, snappy block. Raises MalformedBody, BodyTooLarge."""
        with self._decompressed(compressed) as body:
            return self._read_write_request(body, tenant, now_ms)

    @contextmanager
    def _decompressed(self, compressed: bytes) -> Iterator[NDArray[np.uint8]]:
        """Lend the body of a snappy block, mostly in memory that was used before.

        Fresh memory has to be cleared by the system: that took four times as long as the bytes.
        """
        size = self.decoded_size(compressed)
        is_lent = size <= _SCRATCH_BYTES and self._scratch_lock.acquire(blocking=False)
        buffer = self._scratch if is_lent else np.empty(size, dtype=np.uint8)
        try:
            try:
                body = buffer[: cramjam.snappy.decompress_raw_into(compressed, buffer.data)]
            except cramjam.DecompressionError as error:
                raise MalformedBody(f"not a snappy block: {error}") from None
            # Read-only like every other body: compiled code takes that for another type.
            body.flags.writeable = False
            yield body
        finally:
            if is_lent:
                self._scratch_lock.release()

    def _read_write_request(self, body: NDArray[np.uint8], tenant: Tenant, now_ms: int) -> Intake:
        request = self._decode(body, self._seed(tenant))
        limits = self._limits(tenant)
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

    def _decode(self, body: NDArray[np.uint8], seed: np.uint64) -> WriteRequest:
        # A large body is read in a thread: of two at once, one does without the cache.
        if not self._cache_lock.acquire(blocking=False):
            return decode_write_request(body, seed)
        try:
            return decode_write_request(body, seed, self._label_cache)
        finally:
            self._cache_lock.release()

    def read_json(self, body: bytes, tenant: Tenant, now_ms: int) -> Intake:
        """Read a JSON body. Raises MalformedBody."""
        limits = self._limits(tenant)
        batch = decode_points(body, now_ms)
        seed = self._seed(tenant)
        ids, rejections = self._json_series.resolve(seed, batch.points, batch.indexes, limits)
        in_time, refused = refuse_times(batch.times_ms, now_ms, limits)
        good = in_time & (ids != 0)
        rejections = batch.rejections + rejections
        rejections += [
            Rejection(int(batch.indexes[one.index]), one.reason, one.message)
            for one in refused
            if ids[one.index]
        ]
        rejections.sort(key=lambda rejection: rejection.index)
        unknown = np.flatnonzero(good)[self.known.unknown(ids[good], now_ms)]
        # One announcement a series: the last of its points that came.
        newest = {int(ids[at]): batch.points[at] for at in unknown.tolist()}
        announcements = [announcement_of_point(*item) for item in newest.items()]
        new_series = _announce(tenant, now_ms, announcements)
        columns = (ids[good], batch.times_ms[good], batch.values[good])
        return Intake(tenant, *columns, new_series, rejections)

    def _meet_series(
        self, body: NDArray[np.uint8], request: WriteRequest, tenant: Tenant, now_ms: int
    ) -> tuple[list[SeriesBlock], dict[int, tuple[Reason, str]]]:
        """Return announcements of the unknown series that are sound, and faults of the others."""
        # A series without a sample is nothing to announce, however many a body claims.
        n_samples = np.bincount(request.sample_series, minlength=len(request.series_ids))
        with_samples = np.flatnonzero(n_samples)
        unknown = with_samples[self.known.unknown(request.series_ids[with_samples], now_ms)]
        if not len(unknown):
            return [], {}
        limits = self._limits(tenant)
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
        blocks = _announce(tenant, now_ms, announcements)
        if plain.any():
            chosen = unknown[plain]
            laid_out = lay_out(body, request.spans[chosen])
            head = (tenant.name, now_ms, tenant.retention_days, request.series_ids[chosen])
            n = len(chosen)
            blocks.append(SeriesBlock(*head, *laid_out, np.zeros(n, dtype=np.uint8), [""] * n))
        return blocks, faults

    def memory_bytes(self) -> dict[str, int]:
        """Return the memory of what is remembered, by part."""
        return {
            "known_series": self.known.n_bytes(),
            "label_cache": self._label_cache.slots.nbytes,
            "json_series": self._json_series.n_bytes(),
        }

    def _seed(self, tenant: Tenant) -> np.uint64:
        seed = self._seeds.get(tenant.name)
        if seed is None:
            seed = self._seeds[tenant.name] = tenant_hash(tenant.name)
        return seed

    def _limits(self, tenant: Tenant) -> Limits:
        return Limits(
            self._settings.max_labels,
            self._settings.max_label_bytes,
            self._settings.max_future_s * 1000,
            tenant.retention_days * _DAY_MS,
        )


def _announce(tenant: Tenant, now_ms: int, announcements: list[Announcement]) -> list[SeriesBlock]:
    if not announcements:
        return []
    return [series_block(tenant.name, now_ms, tenant.retention_days, announcements)]


def summarize(rejections: Sequence[Rejection], n_samples: int) -> str:
    """Say in a few lines how many samples were refused and why, with the first as examples."""
    counts = Counter(str(rejection.reason) for rejection in rejections)
    reasons = ", ".join(f"{reason}: {count}" for reason, count in counts.most_common())
    examples = "\n".join(f"sample {one.index}: {one.message}" for one in rejections[:5])
    return f"{len(rejections)} of {n_samples} samples refused ({reasons})\n{examples}\n"


def _with_series(rejection: Rejection, body: NDArray[np.uint8], request: WriteRequest) -> Rejection:
    """Name the series in the message, so that its sender can be found."""
    try:
        labels = dict(labels_of(body, request.spans[request.sample_series[rejection.index]]))
    except UnicodeDecodeError:
        return rejection
    metric = labels.pop("__name__", "")
    return Rejection(rejection.index, rejection.reason, f"{metric}{labels}: {rejection.message}")
