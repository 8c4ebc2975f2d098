"""Which windows are made of finer ones in one read."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from schemas.rollups import CloseBlock
from schemas.topics import ALL_SERIES
from topology.store.coarse import Closes, closes_of

WIDTH_MS = 300_000
N_PARTITIONS = 4
_IDS_EACH = 1 << 62


def close(tenant: str = "a", partition: int = 0, at: int = 0, n: int = 1) -> CloseBlock:
    first = partition * _IDS_EACH
    ids = (first, first + _IDS_EACH - 1)
    return CloseBlock(tenant, 0, 30, 300, *ids, at * WIDTH_MS, (at + n) * WIDTH_MS)


def test_windows_of_all_partitions_and_tenants_one_after_the_other_are_one_read() -> None:
    blocks = [
        close(tenant, partition, at)
        for at in (2, 0, 1)
        for tenant in ("b", "a")
        for partition in range(N_PARTITIONS)
    ]

    (found,) = closes_of(blocks)

    assert found == Closes(300, 0, 3 * WIDTH_MS, ALL_SERIES, 30, ("a", "b"))


def test_what_is_not_together_is_read_by_itself() -> None:
    of_an_hour = replace(close(), width_s=3600)
    kept_longer = replace(close(), retention_days=90)
    blocks = [of_an_hour, close(at=2), kept_longer, close("b", at=1), close(), close(partition=2)]

    found = closes_of(blocks)

    assert len(found) == len(blocks)
    assert found[-1].width_s == 3600


@given(
    st.lists(
        st.builds(
            close,
            st.sampled_from("abc"),
            st.integers(0, N_PARTITIONS - 1),
            st.integers(0, 9),
            st.integers(1, 3),
        )
    )
)
def test_each_window_is_made_and_no_other(blocks: list[CloseBlock]) -> None:
    """A window that two blocks name may be read twice."""

    def windows(tenant: str, ids: tuple[int, int], from_ms: int, until_ms: int) -> set[object]:
        partitions = range(ids[0] // _IDS_EACH, ids[1] // _IDS_EACH + 1)
        starts = range(from_ms, until_ms, WIDTH_MS)
        return {(tenant, partition, start) for partition in partitions for start in starts}

    wanted: set[object] = set()
    for one in blocks:
        ids = one.first_series_id, one.last_series_id
        wanted |= windows(one.tenant, ids, one.from_ms, one.until_ms)

    found: set[object] = set()
    for closes in closes_of(blocks):
        for tenant in closes.tenants:
            found |= windows(tenant, closes.ids, closes.from_ms, closes.until_ms)
        assert list(closes.tenants) == sorted(set(closes.tenants))

    assert found == wanted
