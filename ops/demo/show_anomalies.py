"""Prints what the scores said of the recording."""

from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.demo.anomalies import WIDTH_S, Anomalies, Scored

_MOST_ELSEWHERE = 8


def show_anomalies(anomalies: Anomalies, first_ms: int, console: Console) -> None:
    """Print each incident with what came of it, and the alarms elsewhere.

    first_ms: when the recording begins.
    """
    console.print()
    learned_min = (anomalies.learned_ms - first_ms) / 60_000
    table = Table(
        title=f"Anomalies: windows of {WIDTH_S} s, each series learned for 150 of them "
        f"({learned_min:.0f} minutes)",
        title_justify="left",
        box=None,
        show_header=False,
    )
    table.add_column(style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in anomalies.found:
        name = f"{_clock(one.incident.start_ms)} {one.incident.name.replace('_', ' ')}"
        by = _by(one.window) if one.window else ""
        table.add_row(name, one.verdict, Text(by))
    for other in anomalies.elsewhere[:_MOST_ELSEWHERE]:
        by = _by(other.highest)
        plural = "alarms" if other.n_alarms > 1 else "alarm"
        table.add_row(
            f"{_clock(other.begin_ms)} not provoked", f"{other.n_alarms} {plural}", Text(by)
        )
    console.print(table)
    if not anomalies.is_whole:
        console.print("  not all scores had come in time: there may be more")
    if (n_more := len(anomalies.elsewhere) - _MOST_ELSEWHERE) > 0:
        console.print(f"  and at {n_more} more times; the recorded machine was at work")


def _by(window: Scored) -> str:
    return f"{window.series}: {window.reason}" if window.reason else window.series


def _clock(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone().strftime("%H:%M")
