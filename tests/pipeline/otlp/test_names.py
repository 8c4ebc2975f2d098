"""Names as the OpenTelemetry-Prometheus compatibility specification has them."""

import pytest

from pipeline.otlp.names import label_name, metric_name, unit_words


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("http.server.request.duration", "s", "", "http_server_request_duration_seconds"),
        ("requests", "", "counter", "requests_total"),
        ("requests.total", "1", "counter", "requests_total"),
        ("total_requests", "{request}", "counter", "requests_total"),
        ("cpu.usage", "1", "gauge", "cpu_usage_ratio"),
        ("cpu_usage_ratio", "1", "gauge", "cpu_usage_ratio"),
        ("items", "1", "", "items"),
        ("throughput", "By/s", "gauge", "throughput_bytes_per_second"),
        ("requests", "1/s", "counter", "requests_per_second_total"),
        ("memory.usage", "By/{page}", "gauge", "memory_usage_bytes"),
        ("response_time_seconds", "s", "gauge", "response_time_seconds"),
        ("battery", "%", "gauge", "battery_percent"),
        ("volume", "TiBy", "gauge", "volume_tebibytes"),
        ("a__b..c", "x@y#z", "gauge", "a_b_c_x_y_z"),
        ("custom", "unit@with/odd chars", "gauge", "custom_unit_with_per_odd_chars"),
        ("3rd.party", "", "gauge", "_3rd_party"),
        ("ns:name", "", "gauge", "ns:name"),
        ("_leading.and.trailing_", "", "gauge", "leading_and_trailing"),
        ("Küche", "", "gauge", "K_che"),
        ("@#$", "", "gauge", ""),
    ],
)
def test_metric_names(name: str, unit: str, kind: str, expected: str) -> None:
    got = metric_name(name, unit, is_gauge=kind == "gauge", is_counter=kind == "counter")

    assert got == expected


@pytest.mark.parametrize(
    ("unit", "words"),
    [("By/s", ["bytes", "per_second"]), ("{packets}", []), ("", []), ("1", []), ("/", [])],
)
def test_units(unit: str, words: list[str]) -> None:
    assert unit_words(unit) == words


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("http.method", "http_method"),
        ("2xx", "key_2xx"),
        ("_private", "key_private"),
        ("__reserved__", "__reserved__"),
        ("größe", "gr_e"),
        ("a.b--c", "a_b_c"),
        ("__x", "key_x"),
        ("", ""),
    ],
)
def test_label_names(key: str, name: str) -> None:
    assert label_name(key) == name
