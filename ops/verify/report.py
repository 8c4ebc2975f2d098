"""What `observai verify` has found, as data and as lines for a person."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from ops.times import show_time
from topology.store.verify import Difference, Width

SHOWN = 50

REMEDY = {
    "missing": "its samples are stored but it has no row: `observai verify --repair` has the store "
    "compute it; look for errors in the worker's log",
    "extra": "it has a row but no samples: they have been deleted or have expired by another "
    "retention",
    "different": "`observai verify --repair` has the store compute it again; report it, as only a "
    "bug or a change by hand can do this",
    "lost": "acknowledged, logged, archived, and not in the store: read it again from Kafka "
    "(stop the store, set the group `archive` back to before this record, start it)",
    "wrong": "the store holds another value than the one that arrived last: read it again from "
    "Kafka as for a lost one",
}


class SampleDifference(msgspec.Struct, frozen=True):
    """A sample that is not in the store (lost), or not with its last value (wrong).

    logged, stored: the values, with their bits in hexadecimal digits.
    """

    kind: str
    series_id: int
    time_ms: int
    logged: str
    stored: str


class Edges(msgspec.Struct, frozen=True):
    """What the edges have counted since they were started; since_s: the first of them."""

    since_s: float
    accepted: int
    rejected: dict[str, int]


class Balance(msgspec.Struct):
    """Samples of the tenant that stand in the log, and what became of those of chosen series.

    chosen = stored + repeated + dead_lettered + expired + lost + wrong. unreadable: records that
    are no samples, all tenants'; without_letter: those of them that no dead letter tells of.
    """

    n_records: int = 0
    logged: int = 0
    unreadable: int = 0
    without_letter: int = 0
    n_series: int = 0
    chosen: int = 0
    stored: int = 0
    repeated: int = 0
    dead_lettered: int = 0
    expired: int = 0
    lost: int = 0
    wrong: int = 0
    unlogged: int = 0
    edges: Edges | None = None

    def count_edges(self, edges: Edges | None, from_s: int | None) -> None:
        """Take what the edges have accepted: all logged, if they are no older than what was read.

        from_s: from when on the log was read, None where it does not reach back so far.
        """
        self.edges = edges
        if edges is not None and from_s is not None and edges.since_s >= from_s:
            self.unlogged = max(0, edges.accepted - self.logged)

    @property
    def difference(self) -> int:
        """How many samples or records are not where they should be."""
        return self.lost + self.wrong + self.without_letter + self.unlogged


class Report(msgspec.Struct):
    """A whole run. from_ms, to_ms: what was judged; balance: None where Kafka is not known.

    windows: those that differ, looked at twice. n_unnamed: so many more, which were too many to be
    named. n_repaired: windows that were computed again. unsettled: what was still to be done when
    something differed, None if nothing.
    """

    tenant: str
    seed: int
    from_ms: int = 0
    to_ms: int = 0
    n_series: int = 0
    widths: dict[int, Width] = {}
    windows: list[Difference] = []
    n_unnamed: int = 0
    n_repaired: int = 0
    samples: list[SampleDifference] = []
    balance: Balance | None = None
    notes: list[str] = []
    unsettled: str | None = None
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not self.n_wrong_windows and (self.balance is None or self.balance.difference == 0)

    @property
    def n_wrong_windows(self) -> int:
        """How many windows differ."""
        return max(len(self.windows), sum(width.n_wrong for width in self.widths.values()))

    def keep(self, windows: list[Difference], n_unnamed: int) -> None:
        """Take what differs still; of all others that did, only those that were not named count."""
        self.windows, self.n_unnamed = windows, n_unnamed
        if n_unnamed == 0:
            left = Counter(one.width_s for one in windows)
            self.widths = {
                width_s: msgspec.structs.replace(width, n_wrong=left[width_s])
                for width_s, width in self.widths.items()
            }

    @property
    def is_undecided(self) -> bool:
        """Whether what differs may still be on its way."""
        return not self.ok and self.unsettled is not None

    @property
    def n_compared(self) -> int:
        """How many windows and logged samples were looked at."""
        n_windows = sum(width.n_windows for width in self.widths.values())
        return n_windows + (self.balance.chosen if self.balance else 0)

    def as_json(self) -> dict[str, Any]:
        """Return all of it with the verdicts, for scripts."""
        found: dict[str, Any] = msgspec.to_builtins(self, str_keys=True)
        if self.balance is not None:
            found["balance"]["difference"] = self.balance.difference
        return {"ok": self.ok, "undecided": self.is_undecided} | found


def lines(report: Report) -> Iterator[str]:
    """Yield the report as text."""
    yield (
        f"tenant {report.tenant}, {show_time(report.from_ms)} to {show_time(report.to_ms)}, "
        f"seed {report.seed}"
    )
    yield from _windows(report)
    if report.balance is not None:
        yield from _balance(report.balance, report.from_ms)
        yield from _samples(report.samples)
    yield from (f"note: {note}" for note in report.notes)
    yield _summary(report)


def _windows(report: Report) -> Iterator[str]:
    for width_s, width in sorted(report.widths.items()):
        compared = f"{width.n_windows:>12,} windows  {width.n_samples:>14,} samples"
        wrong = f"  {width.n_wrong:>10,} DIFFER" if width.n_wrong else ""
        yield f"  {width_s:>5} s  {compared}{wrong}"
    for one in report.windows[:SHOWN]:
        labels = ",".join(f'{name}="{value}"' for name, value in sorted(one.labels.items()))
        columns = "; ".join(f"{c.name} is {c.stored}, of samples {c.expected}" for c in one.columns)
        yield (
            f"{one.kind.upper()} window of {one.width_s} s at {show_time(one.start_s * 1000)} of "
            f"{one.metric or 'series'}{{{labels}}} ({one.series_id}): {columns}"
        )
    yield from _rest(len(report.windows))
    if report.n_unnamed:
        yield f"  and {report.n_unnamed:,} more that were too many to be named, looked at once"
    yield from (f"  {kind}: {REMEDY[kind]}" for kind in sorted({x.kind for x in report.windows}))


def _samples(samples: list[SampleDifference]) -> Iterator[str]:
    for one in samples[:SHOWN]:
        yield (
            f"{one.kind.upper()} sample at {one.time_ms} ms of series {one.series_id}: logged "
            f"{one.logged}, stored {one.stored}"
        )
    yield from _rest(len(samples))
    yield from (f"  {kind}: {REMEDY[kind]}" for kind in sorted({one.kind for one in samples}))


def _rest(n: int) -> Iterator[str]:
    if n > SHOWN:
        yield f"  and {n - SHOWN:,} more; --json shows all that were kept"


def _balance(balance: Balance, from_ms: int) -> Iterator[str]:
    yield f"balance of {balance.n_records:,} records that Kafka took since {show_time(from_ms)}"
    if (edges := balance.edges) is not None:
        since = show_time(round(edges.since_s * 1000))
        yield _row(f"accepted by the edges since {since}", edges.accepted)
        for reason, n in sorted(edges.rejected.items()):
            yield _row(f"rejected by the edges: {reason}", n)
    yield _row("logged", balance.logged)
    yield _row(f"logged of {balance.n_series:,} chosen series", balance.chosen)
    yield _row("= stored", balance.stored)
    yield _row("+ repeated: a later one of the same time", balance.repeated)
    yield _row("+ dead-lettered", balance.dead_lettered)
    yield _row("+ expired since", balance.expired)
    yield _row("+ LOST", balance.lost)
    yield _row("+ WRONG value", balance.wrong)
    yield _row("records that cannot be read", balance.unreadable)
    yield _row("of these without a dead letter", balance.without_letter)
    yield _row("accepted but not logged", balance.unlogged)
    yield _row("difference", balance.difference)


def _row(name: str, n: int) -> str:
    return f"  {name:<52} {n:>14,}"


def _summary(report: Report) -> str:
    n_windows = sum(width.n_windows for width in report.widths.values())
    n_samples = max((width.n_samples for width in report.widths.values()), default=0)
    n_wrong = report.n_wrong_windows + (report.balance.difference if report.balance else 0)
    verdict = "ok, no difference" if report.ok else f"{n_wrong:,} DIFFERENCES"
    if report.n_repaired:
        verdict = f"{report.n_repaired:,} windows computed again, {verdict}"
    if report.is_undecided:
        verdict = (
            f"UNDECIDED, {report.unsettled}; {n_wrong:,} differences may go away: try again later, "
            "or wait longer with --settle"
        )
    return (
        f"{verdict}: {n_windows:,} windows, {report.n_series:,} series, {n_samples:,} samples "
        f"compared in {report.seconds:.1f} s"
    )
