"""Which number of a window is scored."""

import pytest

from pipeline.anomaly.values import Value, value_of


@pytest.mark.parametrize(
    ("metric", "type_", "value"),
    [
        ("node_load1", "", Value.MEAN),
        ("node_load1", "gauge", Value.MEAN),
        ("http_requests_total", "", Value.RATE),
        ("rpc_seconds_sum", "", Value.RATE),
        ("rpc_seconds_count", "summary", Value.RATE),
        ("requests", "counter", Value.RATE),
        ("workers_total", "gauge", Value.MEAN),
        ("rpc_seconds_bucket", "", Value.NONE),
        ("rpc_seconds_bucket", "histogram", Value.NONE),
        ("rpc_seconds", "summary", Value.MEAN),
    ],
)
def test_the_type_decides_and_where_it_is_unknown_the_name(
    metric: str, type_: str, value: Value
) -> None:
    assert value_of(metric, type_) is value
