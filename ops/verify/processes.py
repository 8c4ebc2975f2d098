"""What the processes of a deployment say of themselves on /metrics, as far as a check needs it."""

import http.client
from collections.abc import Iterator, Mapping

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from ops import api
from ops.verify.report import Edges

# What a window needs from its close to its row, in a deployment that is not behind.
_MARGIN_S = 5.0
# Without a worker to ask: lateness, silence, a tick, and some.
_UNKNOWN_S = 120.0


def closed_until_s(urls: Mapping[str, str], now_s: float) -> float:
    """Return up to when windows of all tenants are closed, as the workers say.

    A tenant that sends the past moves its watermark there, and holds this back.
    """
    lags: dict[tuple[str, str], float] = {}
    for sample in _samples(urls, "worker"):
        is_stage = sample.name == "observai_stage_lag_seconds"
        if is_stage or sample.name == "observai_watermark_lag_seconds":
            lags[sample.name, sample.labels["partition"]] = sample.value
    by_partition: dict[str, float] = {}
    for (_, partition), lag_s in lags.items():
        by_partition[partition] = by_partition.get(partition, 0.0) + lag_s
    if not by_partition:
        return now_s - _UNKNOWN_S
    return now_s - max(by_partition.values()) - _MARGIN_S


def edges(urls: Mapping[str, str], tenant: str) -> Edges | None:
    """Return what the edges count of a tenant; None where no edge is known."""
    since_s, accepted, rejected = [], 0.0, dict[str, int]()
    for sample in _samples(urls, "edge"):
        if sample.name == "process_start_time_seconds":
            since_s.append(sample.value)
        elif sample.labels.get("tenant") != tenant:
            continue
        elif sample.name == "observai_samples_accepted_total":
            accepted += sample.value
        elif sample.name == "observai_samples_rejected_total":
            reason = sample.labels["reason"]
            rejected[reason] = rejected.get(reason, 0) + int(sample.value)
    return Edges(min(since_s), int(accepted), rejected) if since_s else None


def _samples(urls: Mapping[str, str], role: str) -> Iterator[Sample]:
    for name, url in urls.items():
        if name.partition("-")[0] != role:
            continue
        try:
            text = api.request("GET", f"{url}/metrics", timeout_s=5).body.decode()
        except (OSError, http.client.HTTPException) as error:
            raise api.ApiError(
                f"no answer from {name} at {url} ({error}): try again when it is back; "
                "`observai doctor` tells"
            ) from None
        for family in text_string_to_metric_families(text):
            yield from family.samples
