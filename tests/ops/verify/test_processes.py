"""What processes say on /metrics decides what can be judged."""

import pytest

from ops import api
from ops.verify.processes import closed_until_s, edges

WORKER = """\
# HELP observai_stage_lag_seconds Age
# TYPE observai_stage_lag_seconds gauge
observai_stage_lag_seconds{partition="0",stage="window"} 2.0
observai_stage_lag_seconds{partition="1",stage="window"} 0.0
# HELP observai_watermark_lag_seconds How far
# TYPE observai_watermark_lag_seconds gauge
observai_watermark_lag_seconds{partition="0"} 11.0
observai_watermark_lag_seconds{partition="1"} 12.0
"""
EDGE = """\
# HELP process_start_time_seconds Start
# TYPE process_start_time_seconds gauge
process_start_time_seconds %d
# HELP observai_samples_accepted_total Samples
# TYPE observai_samples_accepted_total counter
observai_samples_accepted_total{protocol="json",tenant="t"} 10.0
observai_samples_accepted_total{protocol="remote_write",tenant="t"} 5.0
observai_samples_accepted_total{protocol="json",tenant="other"} 7.0
# HELP observai_samples_rejected_total Samples
# TYPE observai_samples_rejected_total counter
observai_samples_rejected_total{reason="future",tenant="t"} 2.0
"""


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Pages of /metrics by URL."""
    served: dict[str, str] = {}

    def request(method: str, url: str, timeout_s: float) -> api.Answer:
        assert (method, timeout_s) == ("GET", 5)
        if url not in served:
            raise ConnectionRefusedError("refused")
        return api.Answer(200, served[url].encode())

    monkeypatch.setattr(api, "request", request)
    return served


def test_windows_are_closed_behind_the_slowest_partition(pages: dict[str, str]) -> None:
    """Its lag and its watermark's together, and five seconds on the way to the store."""
    pages["http://w/metrics"] = WORKER

    assert closed_until_s({"worker": "http://w", "edge": "http://e"}, 1000.0) == 1000 - 13 - 5


def test_without_a_worker_to_ask_two_minutes_are_allowed() -> None:
    assert closed_until_s({}, 1000.0) == 880


def test_edges_are_added_up_for_the_tenant(pages: dict[str, str]) -> None:
    """Since the first of them began."""
    pages["http://a/metrics"], pages["http://b/metrics"] = EDGE % 50, EDGE % 40

    found = edges({"edge": "http://a", "edge-1": "http://b", "store": "http://s"}, "t")

    assert found is not None
    assert (found.since_s, found.accepted, found.rejected) == (40, 30, {"future": 4})
    assert edges({"store": "http://s"}, "t") is None


def test_a_process_that_is_away_is_named(pages: dict[str, str]) -> None:
    """With what to do."""
    assert not pages

    with pytest.raises(api.ApiError, match="no answer from edge-1 at http://b"):
        edges({"edge-1": "http://b"}, "t")
