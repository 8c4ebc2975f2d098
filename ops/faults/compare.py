"""Differences between what should be stored and what is."""

from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ops.faults.ledger import Ledger, Samples, as_time
from ops.faults.rollups import LEVELS, RUN_MS, Rollups
from ops.faults.traffic import keys_of

EXAMPLES = 10
# DDSketch's promise, and what rounding adds to it.
QUANTILE_ERROR = 0.01 + 1e-9


@dataclass(slots=True)
class Difference:
    """Numbers of rows that are not as they should be, and the first of them in words."""

    compared: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    unknown: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_none(self) -> bool:
        """Whether all is as it should be."""
        return not (self.lost or self.doubled or self.wrong or self.unknown)

    def as_json(self) -> dict[str, object]:
        """Return the numbers and examples."""
        return asdict(self)


class _Pairs(NamedTuple):
    """Row numbers: of wanted rows not found, of found ones not wanted, and of both of each pair."""

    missing: NDArray[np.int64]
    unknown: NDArray[np.int64]
    wanted: NDArray[np.int64]
    found: NDArray[np.int64]
    n_doubled: int


def compare_samples(wanted: Samples, found: Samples, ledger: Ledger) -> Difference:
    """Compare by key and by every bit of the value. found: in any order, perhaps with doubles."""
    pairs = _pair(keys_of(*wanted[:2]), keys_of(*found[:2]))
    bits = wanted.values.view(np.uint64), found.values.view(np.uint64)
    is_wrong = bits[0][pairs.wanted] != bits[1][pairs.found]
    result = _counted(pairs, len(wanted.series), int(is_wrong.sum()))
    for at in pairs.missing[:EXAMPLES].tolist():
        result.examples += ["lost: " + _sample(wanted, at), *_history(ledger, wanted, at)]
    for at in pairs.unknown[:EXAMPLES].tolist():
        result.examples += ["not sent, or doubled: " + _sample(found, at)]
    for one, other in _first(pairs, is_wrong):
        shown = f"{_sample(wanted, one)}, found {found.values[other]!r}"
        result.examples += ["wrong: " + shown, *_history(ledger, wanted, one)]
    return result


def compare_rollups(
    wanted: Rollups, found: Rollups, ledger: Ledger, *, with_quantiles: bool
) -> Difference:
    """Compare by key and column: exactly, but quantiles within their promise."""
    pairs = _pair(keys_of(*wanted[:2]), keys_of(*found[:2]))
    is_wrong = np.zeros(len(pairs.wanted), dtype=np.bool_)
    for name in Rollups._fields[2:]:
        one, other = getattr(wanted, name)[pairs.wanted], getattr(found, name)[pairs.found]
        if name not in LEVELS:
            is_wrong |= (one != other) & ~(np.isnan(one) & np.isnan(other))
        elif with_quantiles:
            is_wrong |= ~(np.abs(one - other) <= QUANTILE_ERROR * np.abs(one))
    result = _counted(pairs, len(wanted.series), int(is_wrong.sum()))
    for at in pairs.missing[:EXAMPLES].tolist():
        result.examples += ["lost: " + _rollup(wanted, at), *_run(ledger, wanted, at)]
    for at in pairs.unknown[:EXAMPLES].tolist():
        result.examples.append("not due, or doubled: " + _rollup(found, at))
    for one, other in _first(pairs, is_wrong):
        result.examples += ["wrong: " + _rollup(wanted, one), "found: " + _rollup(found, other)]
        result.examples += _run(ledger, wanted, one)
    return result


def _pair(wanted: NDArray[np.int64], found: NDArray[np.int64]) -> _Pairs:
    """Pair keys; wanted ones are in order, each once. Doubles count as unknown, too."""
    order = np.argsort(found, kind="stable")
    ordered = found[order]
    is_again = np.zeros(len(found), dtype=np.bool_)
    is_again[1:] = ordered[1:] == ordered[:-1]
    once = order[~is_again]
    _, in_wanted, in_found = np.intersect1d(
        wanted, found[once], assume_unique=True, return_indices=True
    )
    missing = np.setdiff1d(np.arange(len(wanted)), in_wanted, assume_unique=True)
    unknown = np.setdiff1d(np.arange(len(found)), once[in_found], assume_unique=True)
    return _Pairs(missing, unknown, in_wanted, once[in_found], int(is_again.sum()))


def _counted(pairs: _Pairs, n_wanted: int, n_wrong: int) -> Difference:
    n_unknown = len(pairs.unknown) - pairs.n_doubled
    return Difference(n_wanted, len(pairs.missing), pairs.n_doubled, n_wrong, n_unknown)


def _first(pairs: _Pairs, is_wrong: NDArray[np.bool_]) -> list[tuple[int, int]]:
    at = np.flatnonzero(is_wrong)[:EXAMPLES]
    return list(zip(pairs.wanted[at].tolist(), pairs.found[at].tolist(), strict=True))


def _sample(samples: Samples, at: int) -> str:
    time_ms = int(samples.times_ms[at])
    return (
        f"series {samples.series[at]} time {time_ms} ({as_time(time_ms)}) "
        f"value {samples.values[at]!r}"
    )


def _history(ledger: Ledger, samples: Samples, at: int) -> list[str]:
    time_ms = int(samples.times_ms[at])
    lines = ledger.history(int(samples.series[at]), time_ms, time_ms + 1)
    return [f"      {line}" for line in lines]


def _run(ledger: Ledger, rollups: Rollups, at: int) -> list[str]:
    """Return what was acknowledged of a series near a window's begin."""
    start_ms = int(rollups.start_ms[at])
    span_ms = (start_ms - RUN_MS, start_ms + RUN_MS)
    return [f"      {line}" for line in ledger.history(int(rollups.series[at]), *span_ms)]


def _rollup(rollups: Rollups, at: int) -> str:
    start_ms = int(rollups.start_ms[at])
    rest = " ".join(f"{name}={getattr(rollups, name)[at]:g}" for name in Rollups._fields[2:])
    return f"series {rollups.series[at]} window {start_ms} ({as_time(start_ms)}) {rest}"
