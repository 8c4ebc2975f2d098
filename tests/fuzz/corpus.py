"""Sound bodies of every format, small ones, and the words that mean something in it."""

import json
import math

from google.protobuf import json_format

from tests.vectors import otlp as vector
from tests.vectors.otlp import CUMULATIVE, DELTA, T_NS, Request, make_request
from tests.vectors.remote_write import (
    LABELS,
    SAMPLES,
    Family,
    Series2,
    write_request,
    write_request_2,
)

T_MS = T_NS // 10**6
PROTOBUF_WORDS = (
    *(bytes([number << 3 | kind]) for number in (1, 2, 3, 4, 5, 6, 7, 9) for kind in (0, 1, 2, 5)),
    b"\x0a\x00",
    b"\x12\x00",
    b"__name__",
    b"\x0b\x0c",
    b"\x00\x00\x00\x00\x00\x00\xf8\x7f",
    b"\x02\x00\x00\x00\x00\x00\xf0\x7f",
)
JSON_WORDS = (
    *(b'{ } [ ] , : " \\ null true false {} [] ""'.split()),
    b"\n",
    b'"name"',
    b'"value"',
    b'"timestamp"',
    b'"labels"',
    b'"asDouble"',
    b'"asInt"',
    b'"timeUnixNano"',
    b'"count":"1"',
    b"\\u0041",
    b"\\ud800",
    b"\xc3\xbc",
    b'"2026-01-01T00:00:00Z"',
)
INFLUX_WORDS = (
    b",",
    b"=",
    b" ",
    b"\\ ",
    b"\\",
    b'"',
    b"\n",
    b"i",
    b"u",
    b"t",
    b"false",
    b"#",
    b"\r",
)
EXPOSITION_WORDS = (
    *(b'{ } " , = # \\n \\\\ NaN +Inf _total _created _bucket'.split()),
    b" ",
    b"\t",
    b"\n",
    b"# TYPE a counter\n",
    b"# UNIT a seconds\n",
    b"# EOF\n",
    b' # {t="1"} 1',
)


def remote_write() -> list[bytes]:
    """Return WriteRequests."""
    many = [{"__name__": "m", "i": str(i)} for i in range(20)]
    return [
        write_request(LABELS, SAMPLES),
        write_request([{"__name__": "up"}], [[(T_MS, 1.0)]]),
        write_request(many, [[(T_MS + i, i / 3)] for i in range(20)]),
        write_request([{}], [[]]),
        write_request([], [], [Family("up", 2, "", "Help"), Family("http_requests", 1, "bytes")]),
        write_request([{"__name__": "up"}], [[(T_MS, 1.0)]], [Family("a", 7, "ü" * 200)]),
        b"",
    ]


def remote_write_2() -> list[bytes]:
    """Return write.v2.Requests."""
    counter = Series2({"__name__": "a_total", "job": "j"}, [(T_MS, 3.0, T_MS - 5)], 1, "seconds")
    gauge = Series2({"__name__": "b", "room": "Küche"}, [(T_MS, math.inf, 0), (T_MS + 1, -0.0, 0)])
    return [
        write_request_2([counter, gauge]),
        write_request_2([gauge]),
        write_request_2([Series2({"__name__": "c", "i": str(i)}, []) for i in range(9)]),
    ]


def _requests() -> list[Request]:
    head = {"time_unix_nano": T_NS, "start_time_unix_nano": T_NS - 10**9}
    pairs = [
        {"key": "http.method", "value": {"string_value": "GET"}},
        {"key": "code", "value": {"int_value": 200}},
        {"key": "list", "value": {"array_value": {"values": [{"double_value": 0.5}]}}},
    ]
    gauge = {"data_points": [{**head, "as_double": 1.5, "attributes": pairs}]}
    points = [{**head, "as_int": 3}, {**head, "as_int": -4, "flags": 1}]
    total = {"aggregation_temporality": CUMULATIVE, "is_monotonic": True, "data_points": points}
    histogram = {
        "aggregation_temporality": DELTA,
        "data_points": [
            {**head, "count": 3, "sum": 4.5, "bucket_counts": [1, 2], "explicit_bounds": [1.0]}
        ],
    }
    buckets = {"offset": -1, "bucket_counts": [1, 0, 2]}
    exponential = {
        "aggregation_temporality": CUMULATIVE,
        "data_points": [
            {**head, "count": 4, "scale": 1, "zero_count": 1, "positive": buckets, "negative": {}}
        ],
    }
    quantiles = [{"quantile": 0.5, "value": 2.0}]
    summary = {"data_points": [{**head, "count": 2, "sum": 3.0, "quantile_values": quantiles}]}
    metrics = [
        {"name": "g", "unit": "s", "gauge": gauge},
        {"name": "c", "unit": "By", "sum": total},
        {"name": "h", "histogram": histogram},
        {"name": "e", "exponential_histogram": exponential},
        {"name": "s", "summary": summary},
    ]
    service = {"key": "service.name", "value": {"string_value": "shop"}}
    resource = {"attributes": [service, pairs[0]]}
    return [
        make_request([{"resource": resource, "scope_metrics": [{"metrics": [one]}]}])
        for one in metrics
    ] + [make_request([{"resource": resource, "scope_metrics": [{"metrics": metrics}]}])]


def otlp() -> list[bytes]:
    """Return ExportMetricsServiceRequests."""
    return [*(one.SerializeToString() for one in _requests()), vector.request({"name": "none"})]


def otlp_json() -> list[bytes]:
    """Return the same as JSON."""
    return [json_format.MessageToJson(one, indent=None).encode() for one in _requests()]


def influx() -> list[bytes]:
    """Return bodies of line protocol."""
    lines = [
        "cpu,host=a,cpu=cpu0 idle=98.5,user=1i,up=t 1700000000123",
        'log,host=b\\ c text="a, \\"b\\"\nc=d",n=5u 1700000000124',
        "we\\,ird\\ na\\=me,t\\=ag=v\\,al value=-1.5e-3",
        "# a comment",
        "m,a=1,b=2 f=1,g=2,h=FALSE",
    ]
    return ["\n".join(lines).encode(), *(one.encode() for one in lines), b"a v=1\r\nb v=2\r\n"]


def exposition(*, is_open_metrics: bool) -> list[bytes]:
    """Return texts in one of the two formats."""
    at = "1700000000.123" if is_open_metrics else "1700000000123"
    more = ' # {trace="x"} 1 1' if is_open_metrics else ""
    text = (
        "# HELP a Help \\n of it\n# TYPE a counter\n# UNIT a seconds\n"
        f'a_total{{x="1",y="a \\"b\\" \\\\ \\n"}} 3 {at}{more}\na_created{{x="1"}} 1700000000\n'
        f'# TYPE h histogram\nh_bucket{{le="+Inf"}} 2\nh_sum 1e3 {at}\nh_count 2\n'
        '{"quoted.name", z="ü"} NaN\nb +Inf\n# EOF\n'
    )
    return [text.encode(), *(line.encode() for line in text.split("\n"))]


def json_points() -> list[bytes]:
    """Return bodies of JSON points."""
    points = [
        {"name": "a", "value": 1.5, "timestamp": T_MS, "labels": {"x": "1", "y": "ü\n"}},
        {"name": "b", "value": -3, "timestamp": "2023-11-14T22:13:20.123Z", "tags": {"n": 5}},
        {"name": "c", "value": 1e300, "timestamp": T_MS / 1000, "type": "gauge", "unit": "s"},
        {"name": "d", "value": 0},
    ]
    return [
        json.dumps({"metrics": points}).encode(),
        json.dumps(points, indent=1).encode(),
        "\n".join(map(json.dumps, points)).encode(),
        *(json.dumps([one], ensure_ascii=False).encode() for one in points),
    ]
