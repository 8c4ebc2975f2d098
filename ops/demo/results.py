"""What a run of the demo gave, gathered by SQL and from disk, for the summary."""

import statistics
import time
from dataclasses import dataclass

from ops.demo.anomalies import read_anomalies
from ops.demo.check import check_all, n_rollups, n_sample_windows, n_samples
from ops.demo.deployment import Deployment
from ops.demo.disk import table_bytes
from ops.demo.live import Live
from ops.demo.recording import Recording
from ops.demo.summary import BusySeries, Stage, Summary
from ops.query import Service
from topology.settings import Settings

_FAR_MS = 1 << 42
_COMMON_LABELS = {"job", "instance"}
_DATA_TABLES = ("stored_samples", "stored_rollups", "stored_series", "stored_scores")


@dataclass(slots=True)
class Run:
    """What was sent, and when what part of the recording was done, from its first sample on.

    closed_ms: end of the newest window that must be closed. is_scored: so are the recording's.
    """

    recording: Recording
    live: Live
    sent_s: float = 0.0
    stored_s: float = 0.0
    rolled_up_s: float = 0.0
    n_rolled_up: int = 0
    closed_ms: int = 0
    is_scored: bool = False

    @property
    def n_sent(self) -> int:
        """Samples of both parts."""
        return len(self.recording) + self.live.n_samples


def summarize(running: Deployment, run: Run, began_s: float, *, kept: bool) -> Summary:
    """Gather everything that the summary tells; began_s: monotonic time of the start."""
    store = running.store()
    n_recorded, delays_s = len(run.recording), run.live.delays_s or [float("nan")]
    sizes = table_bytes(running.settings.data_dir / "chdb")
    disk = {name: sizes[name] for name in _DATA_TABLES}
    # Afterwards this deployment is gone: the reader's own will be at the usual places.
    shown = running.settings if kept else Settings()
    return Summary(
        recording_seconds=run.recording.seconds,
        recording_samples=n_recorded,
        live_samples=run.live.n_samples,
        stored_samples=n_samples(store),
        rollup_rows=n_rollups(store, run.closed_ms),
        open_windows=n_sample_windows(store, run.closed_ms, _FAR_MS),
        stages=[
            Stage("edge", "acknowledged", n_recorded, run.sent_s),
            Stage("archive", "stored and queryable", n_recorded, run.stored_s),
            Stage("windows", "rolled up and queryable", run.n_rolled_up, run.rolled_up_s),
        ],
        live_delay_s=statistics.median(delays_s),
        live_delay_max_s=max(delays_s),
        start_seconds=running.start_seconds,
        total_seconds=time.monotonic() - began_s,
        disk_bytes=disk,
        bytes_per_sample=sum(disk.values()) / run.n_sent,
        checks=check_all(store, run.n_sent, run.closed_ms),
        busiest=_busiest(store),
        cpu_busy=_cpu_busy(store),
        incidents=run.recording.incidents,
        anomalies=read_anomalies(store, run.recording.incidents, is_whole=run.is_scored),
        urls={role: shown.role_url(role) for role in ("edge", "store")},
        key=running.key if kept else f"in {shown.key_file}",
        commands=_commands(shown, kept=kept),
    )


def _busiest(store: Service) -> list[BusySeries]:
    """Return the series with the most samples, among equals those with the most values."""
    rows = store.table(
        "SELECT metric, labels, count(), uniqExact(value), min(value), max(value) FROM samples "
        "GROUP BY metric, labels ORDER BY count() DESC, uniqExact(value) DESC, metric LIMIT 10"
    ).rows
    return [
        BusySeries(_series_name(metric, labels), labels["instance"], *numbers)
        for metric, labels, *numbers in rows
    ]


def _cpu_busy(store: Service) -> list[tuple[int, float]]:
    """Return start and share of busy CPU time of each window of the recorded machine, in %."""
    rows = store.table(
        "SELECT toUnixTimestamp(window_start) AS start, "
        "100 * sumIf(increase, labels['mode'] NOT IN ('idle', 'iowait')) / sum(increase) "
        "FROM rollups WHERE width_s = 60 AND metric = 'node_cpu_seconds_total' "
        "AND labels['instance'] = 'recording' GROUP BY start "
        "HAVING sum(increase) > 0 ORDER BY start"
    ).rows
    return [(int(start) * 1000, float(busy)) for start, busy in rows]


def _series_name(metric: str, labels: dict[str, str]) -> str:
    own = [f"{name}={value}" for name, value in labels.items() if name not in _COMMON_LABELS]
    return f"{metric}{{{', '.join(own)}}}" if own else metric


def _commands(settings: Settings, *, kept: bool) -> list[str]:
    """Return three commands to try, as they are typed."""
    where = f" --data-dir {settings.data_dir}" if kept else ""
    body = '{"metrics": [{"name": "test", "value": 1}]}'
    headers = (
        f"Authorization: Bearer $(cat {settings.key_file})",
        "Content-Type: application/json",
    )
    with_headers = " ".join(f'-H "{header}"' for header in headers)
    question = "SELECT metric, count() FROM samples GROUP BY metric ORDER BY 2 DESC"
    return [
        f"curl -X POST {settings.role_url('edge')}/functions/v1/ingest {with_headers} -d '{body}'",
        f'observai sql{where} "{question}"',
        f"observai tail{where}",
    ]
