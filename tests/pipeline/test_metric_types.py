"""Types and units of metrics by the names of their series."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.families import Told, families_of
from pipeline.hashing import tenant_hash, xxh64
from pipeline.label_cache import LabelCache
from pipeline.metric_types import MetricTypes, Noted, TenantMetrics
from pipeline.remote_write import decode_write_request
from pipeline.remote_write_2 import decode_request
from schemas.series import MetricType
from tests.vectors.remote_write import Series2, write_request, write_request_2

T0 = 28_000_000  # minutes
COUNTER, GAUGE, HISTOGRAM = MetricType.COUNTER, MetricType.GAUGE, MetricType.HISTOGRAM


def note(types: MetricTypes, *told: Told, minute: int = T0, most_told: int | None = 100) -> Noted:
    return types.note("acme", families_of(told), minute, most_told)


def types_of(metrics: TenantMetrics, names: Iterable[str]) -> list[tuple[int, str]]:
    """Return type and unit of series of these names, as the decoder of samples gives them."""
    each = [{"__name__": name} for name in names]
    body = write_request(each, [[(1, 1.0)]] * len(each))
    array = np.frombuffer(body, dtype=np.uint8)
    found = decode_write_request(array, tenant_hash("acme"), metrics=metrics).samples.metadata
    if found is None:
        return [(0, "")] * len(each)
    return [(int(kind), found.unit_of(at)) for at, kind in enumerate(found.types)]


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (MetricType.UNKNOWN, ["a"]),
        (COUNTER, ["a", "a_total", "a_created"]),
        (GAUGE, ["a"]),
        (HISTOGRAM, ["a", "a_bucket", "a_sum", "a_count", "a_created"]),
        (MetricType.GAUGEHISTOGRAM, ["a", "a_bucket", "a_gsum", "a_gcount"]),
        (MetricType.SUMMARY, ["a", "a_sum", "a_count", "a_created"]),
        (MetricType.INFO, ["a", "a_info"]),
        (MetricType.STATESET, ["a"]),
    ],
)
def test_a_family_names_its_series_by_its_type(kind: MetricType, names: list[str]) -> None:
    types = MetricTypes(1000)
    suffixes = ["total", "created", "bucket", "sum", "count", "gsum", "gcount", "info"]

    note(types, ("a", kind, "s"))

    each = ["a", *(f"a_{suffix}" for suffix in suffixes)]
    found = dict(zip(each, types_of(types.of("acme"), each), strict=True))
    assert [name for name in each if found[name] != (0, "")] == [n for n in each if n in names]
    assert {found[name] for name in names} == {(kind, "s")}


def test_a_counter_may_be_named_by_its_only_series() -> None:
    types = MetricTypes(1000)

    note(types, ("a_total", COUNTER, ""), ("b_info", MetricType.INFO, ""))

    assert len(types) == 2
    assert types_of(types.of("acme"), ["a_total", "a_total_total", "b_info"]) == [
        (COUNTER, ""),
        (0, ""),
        (MetricType.INFO, ""),
    ]


def test_a_series_of_its_own_name_is_not_a_part_of_another_family() -> None:
    """A gauge a_count beside a histogram a, told in either order."""
    told = [("a", HISTOGRAM, "s"), ("a_count", GAUGE, "")]
    for order in (told, told[::-1]):
        types = MetricTypes(1000)

        for one in order:
            note(types, one)

        assert types_of(types.of("acme"), ["a_sum", "a_count"]) == [(HISTOGRAM, "s"), (GAUGE, "")]


def test_of_two_types_told_by_turns_the_higher_one_holds_until_it_has_ended() -> None:
    """Gauge and counter each minute, then the counter alone: twelve minutes later it is one."""
    types, seen = MetricTypes(1000), []

    for minute in range(18):
        told = [("a", GAUGE, "")] if minute < 3 else []
        note(types, *told, ("a", COUNTER, ""), minute=T0 + minute)
        seen.append(types_of(types.of("acme"), ["a"])[0][0])

    # The gauge was noted in the first minute; its repeats within five change nothing.
    assert seen == [GAUGE] * 13 + [COUNTER] * 5


def test_families_are_told_at_once_and_again_after_five_minutes() -> None:
    types = MetricTypes(1000)
    told = [("a", COUNTER, ""), ("b", GAUGE, "")]

    rows = [note(types, *told, minute=T0 + minute).to_tell.tolist() for minute in range(11)]

    assert rows == [[0, 1], [], [], [], [], [0, 1], [], [], [], [], [0, 1]]


def test_what_is_one_too_many_to_be_told_is_told_the_next_time() -> None:
    types = MetricTypes(1000)
    told = [(f"m{at}", GAUGE, "") for at in range(70)]

    rows = [note(types, *told, most_told=n).to_tell.tolist() for n in (30, 0, 30, 30)]

    assert rows == [[*range(30)], [], [*range(30, 60)], [*range(60, 70)]]


def test_what_another_edge_has_told_is_not_told_again() -> None:
    types = MetricTypes(1000)
    heard = note(types, ("a", COUNTER, ""), most_told=None)

    repeated = note(types, ("a", COUNTER, ""), minute=T0 + 1)
    other = note(types, ("a", GAUGE, ""), minute=T0 + 1)

    assert (heard.to_tell.tolist(), heard.n_changed) == ([], 3)
    assert (repeated.to_tell.tolist(), repeated.n_changed) == ([], 0)
    assert (other.to_tell.tolist(), other.n_changed) == ([0], 1)


def test_a_tenant_has_a_quarter_of_all_names_and_an_hours_silence_makes_room() -> None:
    """A unit counts as four names; a family that does not fit is left out as a whole."""
    types = MetricTypes(80)
    many = [(f"m{at}", GAUGE, "") for at in range(12)]
    assert note(types, ("a", GAUGE, "s"), *many).n_left_out == 0
    assert len(types) == 17

    crowded = note(types, ("h", HISTOGRAM, ""), ("i", MetricType.SUMMARY, "m"), ("j", GAUGE, ""))

    assert (crowded.n_left_out, len(types)) == (2, 18)
    assert types_of(types.of("acme"), ["h", "i_sum", "j"]) == [(0, ""), (0, ""), (GAUGE, "")]
    assert types.note("other", families_of(many), T0, 100).n_left_out == 0
    later = T0 + 61
    note(types, ("j", GAUGE, ""), ("h", HISTOGRAM, ""), minute=later)
    assert len(types) == 1
    assert note(types, ("h", HISTOGRAM, "m"), minute=later).n_left_out == 0
    assert types_of(types.of("acme"), ["h_sum", "j", "a"]) == [
        (HISTOGRAM, "m"),
        (GAUGE, ""),
        (0, ""),
    ]


def test_all_tenants_together_have_their_limit_too() -> None:
    """Four with a quarter each leave nothing to a fifth, until they have been silent."""
    types = MetricTypes(80)
    many = families_of([(f"m{at}", GAUGE, "") for at in range(20)])

    left_out = [types.note(tenant, many, T0, 100).n_left_out for tenant in "abcde"]

    assert (left_out, len(types)) == ([0, 0, 0, 0, 20], 80)
    assert types.note("e", many, T0 + 61, 100).n_left_out == 20
    assert types.note("e", many, T0 + 61, 100).n_left_out == 0
    assert len(types) == 20


def test_nothing_is_known_of_another_tenant() -> None:
    types = MetricTypes(1000)
    note(types, ("a", COUNTER, ""))

    assert len(types.of("other").slots) == 0
    types.note("other", families_of([("b", GAUGE, "")]), T0, 100)
    assert types_of(types.of("other"), ["a", "b"]) == [(0, ""), (0, "")]  # asked as acme


def test_a_series_has_another_key_by_its_type_and_unit_as_in_version_2() -> None:
    """So it is announced again when they become known, but not when its sender goes over to 2.0."""
    types, cache = MetricTypes(1000), LabelCache(100)
    labels = {"__name__": "a_total", "job": "j"}
    body = np.frombuffer(write_request([labels, {"__name__": "b"}], [[(1, 1.0)]] * 2), np.uint8)
    seed = tenant_hash("acme")
    note(types, ("a", COUNTER, "s"))

    # Without a cache, into an empty one, and from a filled one.
    metrics = types.of("acme")
    requests = [decode_write_request(body, seed, metrics=metrics).samples]
    requests += [decode_write_request(body, seed, cache, metrics).samples for _ in range(2)]

    second = write_request_2([Series2(labels, [(1, 1.0, 0)], COUNTER, "s")])
    expected = decode_request(np.frombuffer(second, np.uint8), seed).metadata
    assert expected is not None
    for one in requests:
        assert one.metadata is not None
        assert one.metadata.types.tolist() == [COUNTER, 0]
        assert one.metadata.keys.tolist() == [expected.keys[0], one.series_ids[1]]
        assert one.metadata.keys[0] != one.series_ids[0]


def test_the_name_may_stand_anywhere_among_the_labels() -> None:
    types = MetricTypes(1000)
    note(types, ("a", GAUGE, ""))
    name, other = b"\n\x0d\n\x08__name__\x12\x01a", b"\n\x06\n\x01b\x12\x01c"
    sample = b"\x12\x02\x10\x01"
    for fields in (other + name + sample, sample + other + name, other + sample + name):
        body = np.frombuffer(b"\n" + bytes([len(fields)]) + fields, dtype=np.uint8)
        for cache in (LabelCache(0), LabelCache(10)):
            found = decode_write_request(body, tenant_hash("acme"), cache, types.of("acme")).samples
            assert found.metadata is not None
            assert found.metadata.types.tolist() == [GAUGE]


SUFFIXES = {
    1: ["_total", "_created"],
    3: ["_bucket", "_sum", "_count", "_created"],
    4: ["_bucket", "_gsum", "_gcount"],
    5: ["_sum", "_count", "_created"],
    6: ["_info"],
}


class Reference:
    """The same by dictionaries, and without limits."""

    def __init__(self) -> None:
        self.entries: dict[str, tuple[tuple[bool, int, int], str, int]] = {}
        self.told: dict[str, int] = {}

    def note(self, name: str, kind: int, unit: str, minute: int) -> bool:
        """Return whether others are told."""
        raw = np.frombuffer(unit.encode(), dtype=np.uint8)
        key = int(xxh64(raw, 0, len(raw)))
        own = self.entries.get(name)
        if own and own[0] == (True, kind, key) and minute - self.told.get(name, -99) < 5:
            return False
        suffixes = SUFFIXES.get(kind, [])
        if (kind == 1 and name.endswith("_total")) or (kind == 6 and name.endswith("_info")):
            suffixes = []
        for one, is_own in [(name, True), *((name + suffix, False) for suffix in suffixes)]:
            rank = (is_own, kind, key)
            held = self.entries.get(one)
            if held is None or held[0] <= rank or minute - held[2] > 12:
                if held is None or held[0] != rank:
                    self.told.pop(one, None)
                self.entries[one] = (rank, unit, minute)
        if self.entries[name][0] != (True, kind, key):
            return False
        self.told[name] = minute
        return True


bases = st.sampled_from(["a", "a_total", "a_sum", "a_count", "a_created", "a_info", "b"])
sent = st.lists(
    st.tuples(
        st.integers(0, 14),
        st.lists(st.tuples(bases, st.integers(0, 7), st.sampled_from(["", "s", "m"])), max_size=4),
    ),
    max_size=8,
)


@settings(max_examples=60)
@given(sent)
def test_agrees_with_a_plain_reference(sent: list[tuple[int, list[Told]]]) -> None:
    types, reference, minute = MetricTypes(10_000), Reference(), 100
    for after, told in sent:
        minute += after

        # One at a time: a body may tell two things of one name.
        rows = [len(note(types, one, minute=minute).to_tell) for one in told]

        expected = [one for one in told if one[1] or one[2]]
        assert rows == [one in expected and reference.note(*one, minute) for one in told]
        names = list(reference.entries)
        assert types_of(types.of("acme"), names) == [
            (rank[1], unit) for rank, unit, _ in reference.entries.values()
        ]


@settings(max_examples=30)
@given(
    st.permutations([(n, k, u) for n in ("a", "a_sum") for k in (1, 2, 3, 5) for u in ("", "s")])
)
def test_edges_come_to_the_same_in_whatever_order_they_hear_it(told: list[Told]) -> None:
    types, alike = MetricTypes(10_000), MetricTypes(10_000)
    names = ["a", "a_total", "a_sum", "a_count", "a_created", "a_sum_sum"]

    note(types, *sorted(told))
    note(alike, *told)

    assert types_of(types.of("acme"), names) == types_of(alike.of("acme"), names)
