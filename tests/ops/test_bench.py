"""The benchmarks run, and their figures are what they say."""

import json
import os
import time
from pathlib import Path

import pytest

from ops.bench.__main__ import BENCHES, main
from ops.bench.figures import Figure, Measurement, cpu_rates
from ops.bench.processes import cpu_seconds, peak_rss_bytes, pss_bytes
from ops.bench.report import missed, ratios_to_peer


def test_a_figure_is_the_median_with_its_spread() -> None:
    """Repeats 1, 4, 2: median 2, spread 3 of 2."""
    figure = Figure("b", "f", "s", [1, 4, 2])

    assert (figure.value, figure.spread, figure.is_reached) == (2, 1.5, None)


@pytest.mark.parametrize(
    ("at_least", "at_most", "is_reached"), [(5, None, True), (6, None, False), (None, 4, False)]
)
def test_a_figure_is_reached_or_missed(
    at_least: float | None, at_most: float | None, is_reached: bool
) -> None:
    """The limit itself is enough."""
    figure = Figure("b", "f", "s", [5], at_least, at_most)

    assert figure.is_reached is is_reached
    assert missed({"b": Measurement([figure])}) == ([] if is_reached else [figure])


def test_rates_are_per_cpu_second() -> None:
    """A second of sleep costs no CPU, so it does not lower the rate."""

    def work() -> int:
        time.sleep(0.05)
        return sum(range(200_000)) and 1_000_000

    assert min(cpu_rates(work, 2)) > 1_000_000 / 0.05


def test_cpu_and_memory_of_this_process_are_found() -> None:
    """Busy work shows in CPU seconds, and the peak is no less than what is held now."""
    pids = {"me": os.getpid()}
    before_s = cpu_seconds(pids)["me"]
    until_s = time.process_time() + 0.1
    while time.process_time() < until_s:
        pass

    assert 0.08 <= cpu_seconds(pids)["me"] - before_s < 1
    assert peak_rss_bytes(pids)["me"] >= pss_bytes(pids)["me"] > 10_000_000


def test_the_ratio_is_of_runs_of_one_load() -> None:
    """Our samples per CPU-second by theirs, where both have run the load."""
    rate = "samples/CPU-s"
    ours = Measurement([Figure("end_to_end 1 series", "all", rate, [200.0])])
    theirs = Measurement([Figure("victoria 1 series", "all", rate, [400.0])])
    others = Measurement([Figure("victoria 2 series", "all", rate, [400.0])])

    ratios = ratios_to_peer({"end_to_end": ours, "victoria": theirs})

    assert [ratio.value for ratio in ratios] == [0.5]
    assert ratios_to_peer({"end_to_end": ours, "victoria": others}) == []


def test_quick_benches_of_the_pipeline_write_one_file_of_figures(tmp_path: Path) -> None:
    """Machine, versions, seed and every repeat stand in it."""
    names = ("remote_write", "json", "protocols", "windows")
    only = [word for name in names for word in ("--only", name)]

    code = main(["--quick", "--seed", "3", "--out", str(tmp_path), *only])

    (file,) = tmp_path.iterdir()
    results = json.loads(file.read_text())
    assert code == 0
    assert results["plan"]["seed"] == 3
    assert results["machine"]["cores"] >= 1
    assert results["versions"]["numpy"]
    assert list(results["benches"]) == list(names)
    for bench in results["benches"].values():
        assert all(figure["value"] > 0 for figure in bench["figures"])


def test_a_small_fleet_has_its_incidents_found_and_few_events_besides(tmp_path: Path) -> None:
    """A thousand series for a day and a half; the model's own figures beside it."""
    main(["--quick", "--out", str(tmp_path), "--only", "anomaly", "--only", "fleet"])

    (file,) = tmp_path.iterdir()
    benches = json.loads(file.read_text())["benches"]
    figures = {one["name"]: one["value"] for bench in benches.values() for one in bench["figures"]}
    assert figures["state"] <= 1536
    assert figures["incidents found (recall)"] >= 0.5
    assert figures["events of no incident"] <= 5


@pytest.mark.broker
@pytest.mark.slow
def test_the_quick_end_to_end_bench_loses_nothing(tmp_path: Path) -> None:
    """2,000 series by 12 steps through all processes."""
    code = main(["--quick", "--out", str(tmp_path), "--only", "end_to_end"])

    (file,) = tmp_path.iterdir()
    bench = json.loads(file.read_text())["benches"]["end_to_end"]
    assert code == 0
    facts = bench["facts"]["2,000 series"]
    assert (facts["samples"], facts["lossless"]) == (24_000, True)


@pytest.mark.broker
@pytest.mark.slow
def test_the_quick_memory_bench_watches_every_minute(tmp_path: Path) -> None:
    """10,000 series for five minutes of a second, two of them with new series."""
    code = main(["--quick", "--out", str(tmp_path), "--only", "memory"])

    (file,) = tmp_path.iterdir()
    bench = json.loads(file.read_text())["benches"]["memory"]
    assert code == 0
    assert len(bench["facts"]["by_minute_mb"]["edge"]) == 5
    assert all(size > 10 for sizes in bench["facts"]["by_minute_mb"].values() for size in sizes)


def test_every_bench_of_the_issue_is_there() -> None:
    """One command runs them all."""
    assert set(BENCHES) == {
        "remote_write",
        "json",
        "protocols",
        "edge",
        "windows",
        "archive",
        "codecs",
        "end_to_end",
        "victoria",
        "live",
        "scaling",
        "tenants",
        "fairness",
        "memory",
        "idle",
        "anomaly",
        "fleet",
    }
