"""Results of a run: one JSON file, and a table for a terminal."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.bench.figures import Figure, Measurement, Plan
from ops.bench.machine import commit, describe_machine, describe_versions

ROOT = Path(__file__).parents[2]


def write_results(
    folder: Path,
    plan: Plan,
    measured: Mapping[str, Measurement],
    machine: Mapping[str, object],
    now: datetime,
) -> Path:
    """Write DATE-COMMIT.json; a second run of the same minute replaces the first."""
    results = {
        "time": now.astimezone(UTC).isoformat(timespec="seconds"),
        "commit": commit(ROOT),
        "machine": machine,
        "versions": describe_versions(),
        "plan": asdict(plan),
        "benches": {
            name: {"figures": [figure.as_json() for figure in one.figures], "facts": one.facts}
            for name, one in measured.items()
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{now:%Y-%m-%dT%H%M}-{results['commit']}.json"
    file.write_text(json.dumps(results, indent=1) + "\n")
    return file


def show_table(measured: Mapping[str, Measurement], console: Console) -> None:
    """Print every figure with its spread and what it has to reach."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    table.add_column("bench")
    table.add_column("figure")
    for title in ("value", "unit", "spread", "wanted"):
        table.add_column(title, justify="left" if title == "unit" else "right", no_wrap=True)
    for name, one in measured.items():
        for figure in one.figures:
            table.add_row(*_row(figure))
        if not one.figures:
            table.add_row(name, str(one.facts.get("skipped", "no figures")), "", "", "", "")
    console.print(table)


def ratios_to_peer(measured: Mapping[str, Measurement]) -> list[Figure]:
    """Return our samples per CPU-second as a share of the receiver's alone, where both ran."""
    ours, theirs = _rates(measured, "end_to_end"), _rates(measured, "victoria")
    return [
        Figure(
            "victoria", f"{load}: whole pipeline / receiver alone", "ratio", [rate / theirs[load]]
        )
        for load, rate in ours.items()
        if load in theirs
    ]


def missed(measured: Mapping[str, Measurement]) -> list[Figure]:
    """Return the figures that are not as wanted."""
    return [f for one in measured.values() for f in one.figures if f.is_reached is False]


def _row(figure: Figure) -> tuple[str, ...]:
    spread = f"{figure.spread:.0%}" if len(figure.repeats) > 1 else ""
    return (
        figure.bench,
        figure.name,
        _number(figure.value),
        figure.unit,
        spread,
        _wanted(figure),
    )


def _wanted(figure: Figure) -> str:
    limit = figure.at_least if figure.at_least is not None else figure.at_most
    if limit is None:
        return ""
    sign = "<=" if figure.at_least is None else ">="
    return f"{sign} {_number(limit)} {'ok' if figure.is_reached else 'MISSED'}"


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def _rates(measured: Mapping[str, Measurement], bench: str) -> dict[str, float]:
    """Return samples per CPU-second of a bench by its load."""
    figures = measured[bench].figures if bench in measured else []
    return {
        figure.bench.removeprefix(bench).strip(): figure.value
        for figure in figures
        if figure.unit == "samples/CPU-s"
    }


def now_and_machine() -> tuple[datetime, dict[str, object]]:
    """Return what is taken down before the first benchmark runs."""
    return datetime.now(UTC), describe_machine()
