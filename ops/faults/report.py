"""docs/faults.md from the JSON of a campaign."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ops.faults.result import recoveries

# What stands from this line on is written by hand, and kept.
BY_HAND = "## What failed on the way, and was mended"

_MADE_BY = (
    "Made by `{command}` on {time}, commit {commit}; "
    "nothing above the last section is written by hand."
)
_TOTALS = (
    "**Lost {lost}, doubled {doubled}, wrong {wrong}, never sent {unknown}, orphan processes "
    "{orphans}.**"
)
_RECOVERY = (
    "Seconds from the end of a fault until all roles are ready and a fresh acknowledged sample "
    "can be queried."
)


def write_report(file: Path, found: Mapping[str, Any]) -> None:
    """Write the report; the part written by hand stays as it is."""
    before = file.read_text() if file.exists() else ""
    kept = before[before.index(BY_HAND) :] if BY_HAND in before else f"{BY_HAND}\n\n-\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(found) + "\n" + kept)


def render(found: Mapping[str, Any]) -> str:
    """Return the generated part of the report."""
    lines = [
        "# Crash and fault campaign",
        "",
        _MADE_BY.format(**found),
        "",
        *_table(("", ""), _facts(found)),
        "",
        _TOTALS.format(**found["totals"], orphans=found["orphans"]),
        "",
        *[f"- Violation: {violation}" for violation in found["violations"]],
        "",
        "## Faults by kind",
        "",
        _RECOVERY,
        "",
        *_table(("fault", "victim", "number", "p50 s", "p99 s", "max s"), _by_kind(found)),
        "",
        "## Compared",
        "",
        *_table(("what", "compared", "lost", "doubled", "wrong", "never sent"), _compared(found)),
        "",
    ]
    return "\n".join(lines)


def _facts(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    machine = "{cpu}, {cores} cores, {memory_mb:,} MB, Linux {kernel}".format(**found["machine"])
    versions = ", ".join(f"{name} {one}" for name, one in found["versions"].items() if one)
    return [
        ("machine", machine),
        ("versions", versions),
        ("seed", str(found["seed"])),
        ("took", f"{found['seconds'] / 60:.0f} min"),
        ("load", f"{found['samples']:,} samples acknowledged in {found['requests']:,} requests"),
        ("requests sent again", f"{found['retries']:,}"),
        ("samples refused for a wrong clock", f"{found['refused_in_future']:,}"),
        ("full disk by", found["disk"]),
    ]


def _by_kind(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, str], list[float | None]] = {}
    for fault in found["faults"]:
        roles = [victim.partition("-")[0] for victim in fault["victims"]]
        victim = roles[0] if len(set(roles)) == 1 else "several"
        groups.setdefault((fault["kind"], victim), []).append(fault["recovery_s"])
    everything = [fault["recovery_s"] for fault in found["faults"]]
    rows = [_row(*key, seconds) for key, seconds in sorted(groups.items())]
    return [*rows, _row("all", "", everything)]


def _row(kind: str, victim: str, seconds: list[float | None]) -> tuple[str, ...]:
    found = recoveries(seconds)
    shown = [f"{found[name]:.1f}" if found else "" for name in ("p50", "p99", "max")]
    return (kind, victim, str(len(seconds)), *shown)


def _compared(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return totals by what was compared, of the last check of each stream."""
    columns = ("compared", "lost", "doubled", "wrong", "unknown")
    last = {(one["metric"], one["generation"]): one for one in found["checks"]}
    totals: dict[str, list[int]] = {}
    for check in last.values():
        for name, difference in check.items():
            if isinstance(difference, Mapping):
                sums = totals.setdefault(name, [0] * len(columns))
                totals[name] = [
                    one + difference[column] for one, column in zip(sums, columns, strict=True)
                ]
    return [(name, *(f"{one:,}" for one in sums)) for name, sums in totals.items()]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
