"""`observai demo`: a recording of a real machine and live metrics through everything, checked."""

import asyncio
import json
import sys
import time
from pathlib import Path

from rich.console import Console

from ops.api import ApiError
from ops.demo.anomalies import WIDTH_S as SCORED_S
from ops.demo.anomalies import n_scores
from ops.demo.check import (
    WIDTH_MS,
    closed_until_ms,
    n_rollups,
    n_sample_windows,
    n_samples,
    wait_for,
)
from ops.demo.deployment import Deployment, DeploymentError, deployment
from ops.demo.live import Live, stream
from ops.demo.progress import Stages
from ops.demo.recording import FOLDER, Recording, read_recording
from ops.demo.results import Run, summarize
from ops.demo.summary import Summary, show
from ops.loadgen import Sender, SendError
from topology.clock import now_ms
from topology.settings import Settings

LIVE_S = 20.0
DEADLINE_S = 45.0
RULES = Path(__file__).parent / "anomaly.toml"
RECORDED_LABELS = {"job": "observai-demo", "instance": "recording"}
_INTERRUPTED = 130


def run_demo(
    settings: Settings,
    *,
    keep: bool,
    as_json: bool = False,
    recording_folder: Path = FOLDER,
    live_s: float = LIVE_S,
) -> int:
    """Run the demo on a temporary data directory; return 1 with the reasons if a check fails.

    keep: stay in the foreground afterwards, until Ctrl-C.
    """
    began_s = time.monotonic()
    console = Console(stderr=True, highlight=False)
    stages = Stages(console)
    try:
        recording = read_recording(recording_folder, **RECORDED_LABELS)
        own = settings.model_copy(update={"fine_windows": True, "anomaly_rules": RULES})
        with stages.started(deployment(own), "starting Kafka and four roles") as running:
            run = asyncio.run(_feed(running, recording, stages, live_s))
            summary = summarize(running, run, began_s, kept=keep)
            _tell(summary, as_json=as_json, kept=keep)
            if keep and summary.ok:
                console.print("\nrunning until Ctrl-C")
                running.process.wait()
    except KeyboardInterrupt:
        console.print("stopped; the temporary data directory is removed")
        return 0 if keep else _INTERRUPTED
    except (ApiError, DeploymentError, SendError, OSError) as error:
        print(f"observai demo: {error}", file=sys.stderr)
        return 1
    return 0 if summary.ok else 1


async def _feed(running: Deployment, recording: Recording, stages: Stages, live_s: float) -> Run:
    """Send the recording, then live readings; return when all can be queried, or at a deadline."""
    store, sender = running.store(), Sender(running.write_url, running.key)
    recording = recording.ending_at(now_ms())
    closed_ms = closed_until_ms(int(recording.times_ms[-1]), running.settings.lateness_s)
    n_windows = recording.n_windows(WIDTH_MS, closed_ms)
    began_s = time.monotonic()
    with stages.stage("sending the recording", len(recording)) as advance:
        for body in recording.bodies():
            await sender.send(body)
            advance(body.n_samples)
    run = Run(recording, Live())
    run.sent_s = time.monotonic() - began_s
    with stages.stage("waiting until it can be queried"):
        wait_for(lambda: n_samples(store), len(recording), DEADLINE_S)
        run.stored_s = time.monotonic() - began_s
        wait_for(lambda: n_rollups(store, closed_ms), n_windows, DEADLINE_S)
        run.rolled_up_s = time.monotonic() - began_s
    run.n_rolled_up = int((recording.times_ms < closed_ms).sum())
    with stages.stage(f"streaming this machine's metrics for {live_s:.0f} s", live_s) as advance:
        run.live = await stream(sender, store, live_s, advance)
    sender.close()
    with stages.stage("waiting for the last samples and windows"):
        wait_for(lambda: n_samples(store), run.n_sent, DEADLINE_S)
        run.closed_ms = closed_until_ms(run.live.newest_ms, running.settings.lateness_s)
        n_closed = n_sample_windows(store, 0, run.closed_ms)
        wait_for(lambda: n_rollups(store, run.closed_ms), n_closed, DEADLINE_S)
    with stages.stage("waiting for the scores of the recording"):
        last_ms, n_series = recording.last_window(SCORED_S * 1000)
        scored_s = wait_for(lambda: n_scores(store, last_ms), n_series, DEADLINE_S)
        run.is_scored = scored_s is not None
    return run


def _tell(summary: Summary, *, as_json: bool, kept: bool) -> None:
    if as_json:
        print(json.dumps(summary.as_json()), flush=True)
    else:
        show(summary, Console(highlight=False), kept=kept)
