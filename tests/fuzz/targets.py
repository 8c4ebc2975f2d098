"""Decoders beside slow references: the official protobuf, and plain parsers of texts."""

import json
import struct
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from xxhash import xxh64_intdigest

from pipeline.admission import Limits, Reason
from pipeline.decoded import Decoded
from pipeline.errors import MalformedBody
from pipeline.exposition.decode import ExpositionReader
from pipeline.families import MAX_NAME_BYTES, MAX_UNIT_BYTES, decode_families
from pipeline.hashing import series_id_of, tenant_hash
from pipeline.influx.decode import InfluxReader
from pipeline.json_ingest import JsonBatch, JsonReader
from pipeline.label_cache import LabelCache
from pipeline.otlp.decode import OtlpReader
from pipeline.otlp.json_body import to_protobuf
from pipeline.otlp.labels import Naming
from pipeline.remote_write import decode_write_request
from pipeline.remote_write_2 import decode_request
from schemas.series import MetricType
from tests.decoding import all_labels
from tests.fuzz import corpus
from tests.fuzz.campaign import Outcome, Target
from tests.json_reference import read_json_reference
from tests.vectors import exposition, influx, otlp
from tests.vectors.remote_write import LenientMetadata, LenientRequest, LenientRequest2

TENANT = "default"
SEED = tenant_hash(TENANT)
NOW_MS = 1_700_000_000_000
# Taken is whatever a decoder takes; what is refused for its size or time is tested elsewhere.
LIMITS = Limits(1000, 1 << 16, 1 << 60, 1 << 60)
_WORD = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9


def _array(body: bytes) -> Any:
    return np.frombuffer(body, dtype=np.uint8)


def _spread(h: int) -> int:
    h = (h ^ h >> 33) * _P2 & _WORD
    h = (h ^ h >> 29) * _P3 & _WORD
    return h ^ h >> 32


def _id_of(pairs: list[tuple[bytes, bytes]]) -> int:
    """Return the id of a series by its labels as sent; those without a value do not count."""
    total = xxh64_intdigest(TENANT.encode())
    for name, value in pairs:
        if value:
            h = xxh64_intdigest(name)
            h = (h << 27 | h >> 37) & _WORD
            total += _spread((h * _P1 + xxh64_intdigest(value)) & _WORD)
    return _spread(total & _WORD) or 1


def _bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _columns(decoded: Decoded) -> list[tuple[int, int, int]]:
    """Return the id, time and bits of the value of each sample."""
    ids = decoded.series_ids[decoded.sample_series].tolist()
    bits = decoded.values.view(np.uint64).tolist()
    return list(zip(ids, decoded.times_ms.tolist(), bits, strict=True))


def _families(messages: list[bytes]) -> list[tuple[bytes, int, bytes]]:
    """Return name, type and unit of each MetricMetadata that says either of them."""
    found = []
    for message in messages:
        one = _parsed(LenientMetadata, message)
        if one is None or not 0 < len(one.metric_family_name) <= MAX_NAME_BYTES:
            continue
        kind = one.type if 0 <= one.type <= max(MetricType) else 0
        unit = one.unit if len(one.unit) <= MAX_UNIT_BYTES else b""
        if kind or unit:
            found.append((one.metric_family_name, kind, unit))
    return found


class RemoteWrite:
    """prometheus.WriteRequest, with a cache of labels that is small enough to overflow."""

    name = "remote_write"
    dictionary = corpus.PROTOBUF_WORDS

    def __init__(self) -> None:
        self._cache = LabelCache(50)

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound bodies."""
        return corpus.remote_write()

    def check(self, body: bytes) -> Outcome:
        """Compare samples and ids with the official runtime's."""
        expected = _parsed(LenientRequest, body)
        try:
            request = decode_write_request(_array(body), SEED, self._cache)
        except MalformedBody:
            return Outcome.REFUSED if expected is None else Outcome.NARROWER
        found = request.samples
        assert expected is not None, "taken, but not by the official runtime"
        rows = [
            (_id_of([(one.name, one.value) for one in series.labels]), sample)
            for series in expected.timeseries
            for sample in series.samples
        ]
        assert _columns(found) == [(of, one.timestamp, _bits(one.value)) for of, one in rows]
        assert len(found.series_ids) == len(expected.timeseries)
        families = decode_families(_array(body), request.metadata_spans)
        texts = [
            (body[a:b], kind, body[c:d])
            for (a, b, c, d), kind in zip(
                families.bounds.tolist(), families.types.tolist(), strict=True
            )
        ]
        told = _families(list(expected.metadata))
        if texts == told:
            return Outcome.ALIKE
        # The official runtime reads groups, too: such a message is passed over here.
        rest = iter(told)
        assert all(one in rest for one in texts), "a family that is not in the body"
        return Outcome.NARROWER


class RemoteWrite2:
    """io.prometheus.write.v2.Request."""

    name = "remote_write_2"
    dictionary = corpus.PROTOBUF_WORDS

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound bodies."""
        return corpus.remote_write_2()

    def check(self, body: bytes) -> Outcome:
        """Compare samples, starts and ids with the official runtime's."""
        expected = _parsed(LenientRequest2, body)
        try:
            found = decode_request(_array(body), SEED)
        except MalformedBody:
            return Outcome.REFUSED if expected is None else Outcome.NARROWER
        assert expected is not None, "taken, but not by the official runtime"
        rows, starts = [], []
        for series in expected.timeseries:
            of = _id_by_references(list(expected.symbols), list(series.labels_refs))
            rows += [(of, one.timestamp, _bits(one.value)) for one in series.samples]
            created = series.created_timestamp
            starts += [one.start_timestamp or created for one in series.samples]
        assert _columns(found) == rows
        assert found.starts_ms.tolist() == (starts if len(found.starts_ms) else [])
        assert len(found.starts_ms) or not any(starts)
        return Outcome.ALIKE


def _id_by_references(symbols: list[bytes], references: list[int]) -> int:
    if len(references) % 2 or any(one >= len(symbols) for one in references):
        return 0
    words = [symbols[one] for one in references]
    return _id_of(list(zip(words[::2], words[1::2], strict=True)))


def _parsed(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except DecodeError:
        return None


class Otlp:
    """ExportMetricsServiceRequest."""

    name = "otlp"
    dictionary = corpus.PROTOBUF_WORDS

    def __init__(self) -> None:
        self._reader = OtlpReader(50, Naming())

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound bodies."""
        return corpus.otlp()

    def check(self, body: bytes) -> Outcome:
        """Compare samples, ids and the number of refused points with the official runtime's."""
        expected, is_text = None, True
        try:
            expected = otlp.read(body)
        except UnicodeDecodeError:
            is_text = False
        except DecodeError:
            pass
        try:
            found = self._reader.read(_array(body), SEED, 0, 1 << 62)
        except MalformedBody:
            return Outcome.REFUSED if expected is None else Outcome.NARROWER
        labels = all_labels(found.decoded)
        assert [series_id_of(SEED, one) for one in labels] == found.decoded.series_ids.tolist()
        is_without_text = any(one.reason is Reason.BAD_LABELS for one in found.faults)
        if not is_text or (expected is None and is_without_text):
            # What is no text costs its own points, though more may be wrong with their attributes.
            return Outcome.WIDER
        assert expected is not None, "taken, but not by the official runtime"
        points = found.decoded.points.tolist()
        rows = [row for row, at in zip(_columns(found.decoded), points, strict=True) if at >= 0]
        assert sorted(rows) == sorted(
            (series_id_of(SEED, one), at, bits) for one, at, bits, _ in expected.samples
        )
        assert sum(one.n_points for one in found.faults) == expected.n_refused
        return Outcome.ALIKE


class OtlpJson:
    """The same as JSON; what no sample depends on is passed over here, but not by the runtime."""

    name = "otlp_json"
    dictionary = corpus.JSON_WORDS

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound bodies."""
        return corpus.otlp_json()

    def check(self, body: bytes) -> Outcome:
        """Compare what both make of the body, read by the official runtime."""
        expected = _from_json(body)
        try:
            found = to_protobuf(body)
        except MalformedBody:
            return Outcome.REFUSED if expected is None else Outcome.NARROWER
        taken = otlp.read(found, with_scope=True)
        if expected is None:
            return Outcome.WIDER
        assert taken == otlp.read(expected, with_scope=True)
        return Outcome.ALIKE


def _from_json(body: bytes) -> bytes | None:
    try:
        request = json_format.Parse(body, otlp.Request(), ignore_unknown_fields=True)
        return request.SerializeToString()
    except (json_format.ParseError, UnicodeError, RecursionError, ValueError, TypeError):
        return None


class Influx:
    """Line protocol: the same samples, and the same lines refused."""

    name = "influx"
    dictionary = corpus.INFLUX_WORDS

    def __init__(self) -> None:
        self._reader = InfluxReader(50)

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound bodies."""
        return corpus.influx()

    def check(self, body: bytes) -> Outcome:
        """Compare with a plain parser where the body is UTF-8."""
        found = self._reader.read(_array(body), SEED, "ms", NOW_MS)
        labels = all_labels(found.decoded)
        assert [series_id_of(SEED, one) for one in labels] == found.decoded.series_ids.tolist()
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return Outcome.WIDER
        # One that ends no line is a space here, and part of a name for the plain parser.
        if b"\r" in body.replace(b"\r\n", b"\n"):
            return Outcome.WIDER
        expected = influx.parse(text, "ms")
        samples = [(of, NOW_MS if at is None else at, value) for of, at, value in expected.samples]
        if len(samples) == len(labels):
            columns = (labels, found.decoded.times_ms.tolist(), found.decoded.values.tolist())
            assert list(zip(*columns, strict=True)) == samples
            assert [one.line for one in found.faults] == expected.bad[: len(found.faults)]
            return Outcome.ALIKE
        # The plain parser makes something of broken tags; all else is as it says.
        assert len(samples) > len(labels)
        assert {one.line for one in found.faults} >= set(expected.bad[:100])
        return Outcome.NARROWER


class Exposition:
    """Text exposition in one of its formats: the same samples, and the same lines refused."""

    dictionary = corpus.EXPOSITION_WORDS

    def __init__(self, *, is_open_metrics: bool) -> None:
        self.name = "open_metrics" if is_open_metrics else "exposition"
        self._is_open_metrics = is_open_metrics
        self._reader = ExpositionReader(50)

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound bodies."""
        return corpus.exposition(is_open_metrics=self._is_open_metrics)

    def check(self, body: bytes) -> Outcome:
        """Compare with a plain parser where the body is UTF-8."""
        found = self._reader.read(
            _array(body), SEED, NOW_MS, {}, is_open_metrics=self._is_open_metrics
        )
        labels = all_labels(found.decoded)
        assert [series_id_of(SEED, one) for one in labels] == found.decoded.series_ids.tolist()
        # What follows a carriage return is passed over here, and read by the plain parser.
        if b"\r" in body:
            return Outcome.WIDER
        try:
            text = body.decode()
        except UnicodeDecodeError:
            return Outcome.WIDER
        expected = exposition.parse(text, is_open_metrics=self._is_open_metrics)
        columns = (
            labels,
            found.decoded.times_ms.tolist(),
            map(repr, found.decoded.values.tolist()),
        )
        assert list(zip(*columns, strict=True)) == [
            (of, NOW_MS if at is None else at, repr(value))
            for of, at, value, _, _ in expected.samples
        ]
        assert [one.line for one in found.faults] == expected.bad[: len(found.faults)]
        return Outcome.ALIKE


class Json:
    """JSON points: each that is taken is what a plain reference makes of it."""

    name = "json"
    dictionary = corpus.JSON_WORDS

    def __init__(self) -> None:
        self._reader = JsonReader(50, 1000)

    @cached_property
    def corpus(self) -> list[bytes]:
        """Sound bodies."""
        return corpus.json_points()

    def check(self, body: bytes) -> Outcome:
        """Compare with json.loads and a plain reference."""
        points = _json_points(body)
        try:
            found = self._reader.read(_array(body), SEED, NOW_MS, LIMITS)
        except MalformedBody:
            is_none = points is None or all(one is None for one in points)
            return Outcome.REFUSED if is_none else Outcome.NARROWER
        if points is None or len(points) != len(found.ids):
            # Of a list with one broken point the others are taken; json.loads takes none.
            return Outcome.WIDER
        return _compare_points(found, points)


def _json_points(body: bytes) -> list[Any] | None:
    """Return the points of a body, None for what json.loads does not take."""
    try:
        text = body.decode()
        whole = json.loads(text, object_pairs_hook=_object)
    except (UnicodeDecodeError, RecursionError):
        return None
    except json.JSONDecodeError:
        return _points_of_lines(text)
    if isinstance(whole, dict) and "metrics" in whole:
        whole = whole["metrics"]
    if isinstance(whole, dict):
        return [whole]
    return whole if isinstance(whole, list) else None


def _object(members: list[tuple[str, Any]]) -> Any:
    """Return what json makes of an object, or a text where a member stands twice."""
    found = dict(members)
    return found if len(found) == len(members) else "twice"


def _points_of_lines(text: str) -> list[Any] | None:
    points = []
    if text.lstrip().startswith(("[", '{"metrics"')):
        return None  # a broken list, and no lines
    for line in filter(str.strip, text.split("\n")):
        try:
            points.append(json.loads(line, object_pairs_hook=_object))
        except (json.JSONDecodeError, RecursionError):
            points.append(None)
    return points


def _compare_points(found: JsonBatch, points: list[Any]) -> Outcome:
    rows = zip(
        points, found.ids.tolist(), found.times_ms.tolist(), found.values.tolist(), strict=True
    )
    outcome = Outcome.ALIKE
    for point, of, at, value in rows:
        expected = read_json_reference(point, NOW_MS, LIMITS)
        if not of:
            outcome = outcome if expected is None else Outcome.NARROWER
            continue
        assert expected is not None, f"taken, but not by the reference: {point!r}"
        assert (of, at) == (series_id_of(SEED, expected.labels), expected.time_ms), point
        # But for the sign of zero: json.loads makes an integer of -0.
        assert value == expected.value, point
    return outcome


TARGETS: dict[str, Callable[[], Target]] = {
    "remote_write": RemoteWrite,
    "remote_write_2": RemoteWrite2,
    "otlp": Otlp,
    "otlp_json": OtlpJson,
    "influx": Influx,
    "exposition": lambda: Exposition(is_open_metrics=False),
    "open_metrics": lambda: Exposition(is_open_metrics=True),
    "json": Json,
}
