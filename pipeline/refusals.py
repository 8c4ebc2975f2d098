"""What of a body is refused: how many by reason, and the first of them in words."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Limits, Reason, Rejection

_Words = Callable[[int, int, Limits], str]
MAX_PLACES = 500
MILLISECONDS = "milliseconds"


@dataclass(slots=True)
class Refusals:
    """Counts by reason of all that is refused, and the first max_examples of them in words.

    A body may hold millions of bad samples, and nobody reads that many sentences. places: of the
    first MAX_PLACES decoded samples of each reason.
    """

    max_examples: int = 10
    counts: Counter[Reason] = field(default_factory=Counter)
    examples: list[Rejection] = field(default_factory=list)
    places: dict[Reason, list[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, index: int, reason: Reason, message: str) -> None:
        """Note one sample by its index in the body, which is its place."""
        self.add_many(np.array([index]), reason, lambda _: message)

    def add_many(
        self,
        indexes: NDArray[np.int64],
        reason: Reason,
        message_of: Callable[[int], str],
        places: NDArray[np.int64] | None = None,
    ) -> None:
        """Note samples by their indexes, shape (n,); message_of words the k-th, if it is kept.

        places: where they are other numbers than the indexes.
        """
        if not len(indexes):
            return  # nor a count of 0, which would be told
        self.counts[reason] += len(indexes)
        told = self.places.setdefault(reason, [])
        places = indexes if places is None else places
        told += places[: MAX_PLACES - len(told)].tolist()
        n_kept = min(len(indexes), self.max_examples - len(self.examples))
        self.examples += [
            Rejection(index, reason, message_of(k), int(places[k]))
            for k, index in enumerate(indexes[:n_kept].tolist())
        ]

    def add_alike(self, count: int, first_index: int, reason: Reason, message: str) -> None:
        """Note what gave no samples and has one sentence; its indexes begin with the first."""
        if count:
            self.counts[reason] += count
            n_kept = min(count, self.max_examples - len(self.examples))
            self.examples += [Rejection(first_index + at, reason, message) for at in range(n_kept)]

    def in_order(self) -> list[Rejection]:
        """Return the examples by index."""
        return sorted(self.examples, key=lambda one: one.index)


def no_name(_: int) -> str:
    """Name no sample: its index says enough."""
    return ""


def refuse_times(  # noqa: PLR0913, PLR0917 - bounds, and what a message is made of
    times_ms: NDArray[np.int64],
    now_ms: int,
    limits: Limits,
    refusals: Refusals,
    name_of: Callable[[int], str] = no_name,
    sent_in: str = MILLISECONDS,
) -> NDArray[np.bool_]:
    """Return which samples, shape (n,), are within bounds in time; the others are refused.

    name_of: what a message about the sample of an index begins with. sent_in: the unit that the
    sender's timestamps are in.
    """
    future = times_ms > now_ms + limits.max_future_ms
    old = times_ms < now_ms - limits.retention_ms
    bad = future | old
    if bad.any():
        for is_so, reason, words in (
            (future, Reason.FUTURE, _too_new),
            (old, Reason.TOO_OLD, _too_old),
        ):
            places = np.flatnonzero(is_so)

            def message_of(
                k: int, words: _Words = words, places: NDArray[np.int64] = places
            ) -> str:
                said = words(int(times_ms[places[k]]), now_ms, limits)
                return f"{name_of(int(places[k]))}{said}; timestamps are in {sent_in}"

            refusals.add_many(places, reason, message_of)
    return ~bad


def _too_new(time_ms: int, now_ms: int, limits: Limits) -> str:
    return (
        f"timestamp {time_ms} ms is {(time_ms - now_ms) / 1000:.0f} s ahead of now ({now_ms} ms), "
        f"at most {limits.max_future_ms // 1000} s"
    )


def _too_old(time_ms: int, _: int, limits: Limits) -> str:
    return (
        f"timestamp {time_ms} ms is older than the retention of "
        f"{limits.retention_ms // 86_400_000} days"
    )
