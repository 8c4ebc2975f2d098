"""The report as a person and as a script read it."""

import msgspec

from ops.verify.report import SHOWN, Balance, Edges, Report, SampleDifference, lines
from topology.store.verify import Difference, Width, WrongColumn

NOON_S = 1_800_000_000


def report() -> Report:
    return Report("acme", 7, NOON_S * 1000, (NOON_S + 3600) * 1000, 2, {60: Width(60, 120, 720, 0)})


def test_a_clean_report_ends_in_one_line_with_all_numbers() -> None:
    found = report()
    found.balance = Balance(
        n_records=9,
        logged=800,
        chosen=720,
        stored=710,
        repeated=10,
        n_series=2,
        edges=Edges(NOON_S, 800, {"future": 3}),
    )
    found.seconds = 1.25

    shown = list(lines(found))

    assert shown[0] == "tenant acme, 2027-01-15T08:00:00Z to 2027-01-15T09:00:00Z, seed 7"
    assert "     60 s           120 windows             720 samples" in shown
    assert any(line.split() == ["rejected", "by", "the", "edges:", "future", "3"] for line in shown)
    assert any(line.split() == ["difference", "0"] for line in shown)
    assert shown[-1] == ("ok, no difference: 120 windows, 2 series, 720 samples compared in 1.2 s")
    assert found.ok


def test_each_difference_is_a_line_that_names_it_and_each_kind_has_a_remedy() -> None:
    found = report()
    columns = [WrongColumn("sum", "1.5", "2.5"), WrongColumn("p99", "1", "2")]
    found.windows = [Difference("different", 60, NOON_S, 5, columns, "cpu", {"host": "a"})]
    found.samples = [SampleDifference("lost", 5, 17, "1.0 (3ff0000000000000)", "nothing")]
    found.balance = Balance(lost=1)
    found.notes = ["not settled: window has 3 records to do"]

    shown = list(lines(found))

    assert (
        'DIFFERENT window of 60 s at 2027-01-15T08:00:00Z of cpu{host="a"} (5): '
        "sum is 1.5, of samples 2.5; p99 is 1, of samples 2"
    ) in shown
    assert (
        "LOST sample at 17 ms of series 5: logged 1.0 (3ff0000000000000), stored nothing"
    ) in shown
    for kind in ("different", "lost"):
        assert any(line.startswith(f"  {kind}: ") for line in shown)
    assert "note: not settled: window has 3 records to do" in shown
    assert shown[-1].startswith("2 DIFFERENCES: ")
    assert not found.ok


def test_windows_that_were_not_named_are_counted_all_the_same() -> None:
    """By width, too: the first ones of one width may be all that is shown."""
    found = report()
    found.widths = {10: Width(10, 9_000, 90_000, 3_000), 60: Width(60, 1_500, 90_000, 0)}
    found.keep([Difference("missing", 10, NOON_S, 5, [])] * 1_000, n_unnamed=2_000)

    shown = list(lines(found))

    assert "     10 s         9,000 windows          90,000 samples       3,000 DIFFER" in shown
    assert "     60 s         1,500 windows          90,000 samples" in shown
    assert "  and 950 more; --json shows all that were kept" in shown
    assert "  and 2,000 more that were too many to be named, looked at once" in shown
    assert shown[-1].startswith("3,000 DIFFERENCES: ")
    assert not found.ok


def test_what_a_second_look_has_cleared_is_not_told_of() -> None:
    found = report()
    found.widths = {10: Width(10, 9_000, 90_000, 74), 60: Width(60, 1_500, 90_000, 49)}
    left = Difference("missing", 60, NOON_S, 5, [])

    found.keep([left], n_unnamed=0)

    assert {width_s: one.n_wrong for width_s, one in found.widths.items()} == {10: 0, 60: 1}
    found.keep([], n_unnamed=0)
    assert found.ok
    assert not any("DIFFER" in line for line in lines(found))


def test_what_differs_while_records_are_to_be_computed_is_undecided() -> None:
    """Neither right nor wrong: a script sees it, too."""
    found = report()
    found.windows = [Difference("different", 60, NOON_S, 5, [])]
    assert not found.is_undecided

    found.unsettled = "archive has 3 records to do"

    assert found.is_undecided
    assert list(lines(found))[-1].startswith("UNDECIDED, archive has 3 records to do; 1 diff")
    assert found.as_json() | {"ok": False, "undecided": True} == found.as_json()
    found.windows = []
    assert not found.is_undecided, "what is still to be done alone is no difference"


def test_a_flood_of_differences_is_cut() -> None:
    found = report()
    found.windows = [Difference("missing", 60, NOON_S, i, []) for i in range(SHOWN + 5)]

    shown = list(lines(found))

    assert sum(line.startswith("MISSING") for line in shown) == SHOWN
    assert "  and 5 more; --json shows all that were kept" in shown


def test_json_has_the_verdicts_beside_the_numbers() -> None:
    found = report()
    found.balance = Balance(wrong=2)

    read = msgspec.json.decode(msgspec.json.encode(found.as_json()))

    assert (read["ok"], read["balance"]["difference"]) == (False, 2)
    assert read["widths"]["60"]["n_windows"] == 120
