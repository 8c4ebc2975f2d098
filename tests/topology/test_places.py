"""Places of connections: who has one, who is cut, and what the limit of files leaves."""

from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter
from structlog.testing import capture_logs

from topology.places import Places, places_for


class Fake:
    """A connection that knows whether it was cut."""

    def __init__(self) -> None:
        self.is_cut = False

    def cut(self) -> None:
        self.is_cut = True


def make_places(most: int, room: int, times_s: Iterator[float]) -> Places:
    registry = CollectorRegistry()
    refused = Counter("refused", "-", ["how"], registry=registry)
    return Places(most, room, structlog.get_logger("test"), refused, lambda: next(times_s))


def test_the_longest_without_a_place_is_cut_and_a_free_place_is_taken() -> None:
    ones = [Fake() for _ in range(6)]
    with capture_logs() as lines:
        held = make_places(2, 2, iter([0.0, 59.0]))
        for one in ones:
            held.enter(one)

    assert [one.is_cut for one in ones] == [False, False, True, True, False, False]
    assert len(held) == 4
    assert [held.has_place(one) for one in ones] == [True, True, False, False, False, False]
    held.leave(ones[0])
    assert [held.has_place(one) for one in ones[4:]] == [True, False]
    assert [(line["cut"], line["open"], line["max_connections"]) for line in lines] == [(1, 4, 2)]


@pytest.mark.parametrize(
    ("wanted", "n_files", "expected"),
    [
        (2000, 65_536, (2000, 512)),
        (100_000, 20_000, (14_488, 512)),
        (2000, 1024, (384, 384)),
        (10, 64, (1, 1)),
    ],
)
def test_connections_leave_files_to_the_rest(
    wanted: int, n_files: int, expected: tuple[int, int]
) -> None:
    assert places_for(wanted, n_files) == expected
