"""The report says what the JSON says, and keeps what people have written."""

from pathlib import Path

from ops.faults.check import Checked
from ops.faults.compare import Difference
from ops.faults.plan import Fault, Kind
from ops.faults.report import BY_HAND, write_report
from ops.faults.result import Inflicted, Result, recoveries


def result_of_three() -> Result:
    """Return two kills, one of which is still not recovered from, a stop, and two checks."""
    made = Result(
        facts={
            "time": "2026-01-02T03:04:05",
            "commit": "abc",
            "seed": 5,
            "command": "python -m ops.faults",
            "machine": {"cpu": "C", "cores": 2, "memory_mb": 4000, "kernel": "6"},
            "versions": {"python": "3"},
            "seconds": 120,
            "samples": 1000,
            "requests": 10,
            "retries": 2,
            "refused_in_future": 4,
            "disk": "a tmpfs",
        }
    )
    kinds = (Kind.KILL, Kind.KILL, Kind.STOP)
    for number, (kind, recovery_s) in enumerate(zip(kinds, (1.0, 3.0, 2.0), strict=True), 1):
        fault = Fault(number, kind, "edge", 0.0)
        made.faults.append(Inflicted(fault, 2, "", ["edge-1"], 0.0, recovery_s))
    made.checks = [
        Checked("m", 0, {"samples": Difference(compared=10, lost=7)}),
        Checked("m", 0, {"samples": Difference(compared=10)}),
        Checked("n", 0, {"samples": Difference(compared=5, wrong=2)}),
    ]
    return made


def test_the_last_check_of_each_stream_counts() -> None:
    """What an earlier one missed may have been under way."""
    totals = result_of_three().totals()

    assert totals == {"compared": 15, "lost": 0, "doubled": 0, "wrong": 2, "unknown": 0}


def test_recoveries_are_summed_up() -> None:
    assert recoveries([1.0, 3.0, None, 2.0]) == {"p50": 2.0, "p99": 2.98, "max": 3.0}
    assert recoveries([None]) == {}


def test_a_violation_is_not_clean() -> None:
    made = result_of_three()
    assert made.is_clean

    made.violations.append("one orphan")

    assert not made.is_clean


def test_the_report_has_the_tables_and_keeps_the_last_section(tmp_path: Path) -> None:
    file = tmp_path / "docs" / "faults.md"
    write_report(file, result_of_three().as_json())
    file.write_text(file.read_text() + "\nA worker lost its way.\n")

    write_report(file, result_of_three().as_json())

    text = file.read_text()
    assert "| kill | edge | 2 | 2.0 | 3.0 | 3.0 |" in text
    assert "| all |  | 3 | 2.0 | 3.0 | 3.0 |" in text
    assert "| samples | 15 | 0 | 0 | 2 | 0 |" in text
    assert "**Lost 0, doubled 0, wrong 2, never sent 0, orphan processes 0.**" in text
    assert text.count(BY_HAND) == 1
    assert text.endswith("\nA worker lost its way.\n")
