"""Runs a target over damaged bodies, and keeps what it must not do."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import psutil

from tests.fuzz.mutator import Mutator

_WARM_SHARE = 10
_MB = 1_000_000


class Outcome(StrEnum):
    """What came of a body. NARROWER: refused, though the reference takes it. WIDER: the reverse."""

    ALIKE = "alike"
    REFUSED = "refused"
    NARROWER = "narrower"
    WIDER = "wider"


class Target(Protocol):
    """A decoder beside a slow reference."""

    @property
    def name(self) -> str:
        """Name on the command line."""

    @property
    def corpus(self) -> Sequence[bytes]:
        """Sound bodies."""

    @property
    def dictionary(self) -> Sequence[bytes]:
        """Words that mean something in the format."""

    def check(self, body: bytes) -> Outcome:
        """Decode by both. Raises AssertionError where they differ, and lets a crash pass."""


@dataclass(slots=True)
class Report:
    """failures: bodies, and what was wrong with each. grown_mb: of memory after the first tenth."""

    name: str
    n_bodies: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failures: list[tuple[bytes, str]] = field(default_factory=list)
    grown_mb: float = 0.0
    slowest_s: float = 0.0

    def __str__(self) -> str:
        """Say all of it in a line."""
        counts = ", ".join(f"{self.outcomes[one]:,} {one}" for one in Outcome)
        return (
            f"{self.name}: {self.n_bodies:,} bodies, {counts}; {len(self.failures)} failures; "
            f"memory +{self.grown_mb:.0f} MB; slowest {1000 * self.slowest_s:.0f} ms"
        )


def run(target: Target, n_bodies: int, seed: int, most_failures: int = 20) -> Report:
    """Check so many bodies, or as many as it takes for the failures."""
    mutator, report = Mutator(target.corpus, target.dictionary, seed), Report(target.name)
    process, begun_mb = psutil.Process(), 0.0
    for body in target.corpus:
        outcome = target.check(body)
        assert outcome is Outcome.ALIKE, f"{target.name} refuses {body!r}"
    for at in range(n_bodies):
        if at == n_bodies // _WARM_SHARE:
            begun_mb = process.memory_info().rss / _MB
        _check(target.check, mutator.next(), report)
        if len(report.failures) >= most_failures:
            break
    report.grown_mb = process.memory_info().rss / _MB - begun_mb
    return report


def _check(check: Callable[[bytes], Outcome], body: bytes, report: Report) -> None:
    report.n_bodies += 1
    began_s = time.perf_counter()
    try:
        report.outcomes[check(body)] += 1
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        report.failures.append((body, f"{type(error).__name__}: {error}"[:2000]))
    report.slowest_s = max(report.slowest_s, time.perf_counter() - began_s)


def keep(report: Report, folder: Path) -> None:
    """Write failing bodies and their faults to files."""
    folder.mkdir(parents=True, exist_ok=True)
    for at, (body, fault) in enumerate(report.failures):
        (folder / f"{report.name}-{at}.body").write_bytes(body)
        (folder / f"{report.name}-{at}.txt").write_text(fault)
