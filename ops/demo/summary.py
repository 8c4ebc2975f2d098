"""What the demo tells at its end: figures, the busiest series, a chart, and how to go on."""

import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.demo import chart
from ops.demo.anomalies import Anomalies
from ops.demo.check import Check
from ops.demo.recording import Incident
from ops.demo.show_anomalies import show_anomalies

_WIDEST_CHART, _CHART_HEIGHT = 100, 7
_COLOURS = ("red", "magenta", "yellow", "cyan")


@dataclass(frozen=True, slots=True)
class Stage:
    """Recorded samples that a stage has done, and seconds since the first of them was sent."""

    name: str
    done: str
    n_samples: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Samples a second."""
        return self.n_samples / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class BusySeries:
    """A series with many samples that differ."""

    name: str
    instance: str
    n_samples: int
    n_values: int
    least: float
    largest: float


@dataclass(slots=True)
class Summary:
    """All that is told, in the order told."""

    recording_seconds: float
    recording_samples: int
    live_samples: int
    stored_samples: int
    rollup_rows: int
    open_windows: int
    stages: list[Stage]
    live_delay_s: float
    live_delay_max_s: float
    start_seconds: float
    total_seconds: float
    disk_bytes: dict[str, int]
    bytes_per_sample: float
    checks: list[Check]
    busiest: list[BusySeries]
    cpu_busy: list[tuple[int, float]]
    incidents: list[Incident]
    anomalies: Anomalies
    urls: dict[str, str]
    key: str
    commands: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all checks hold."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, object]:
        """Return all of it for scripts."""
        checks = [asdict(check) | {"ok": check.ok} for check in self.checks]
        stages = [asdict(stage) | {"per_second": stage.per_second} for stage in self.stages]
        return {"ok": self.ok} | asdict(self) | {"checks": checks, "stages": stages}


def show(summary: Summary, console: Console, *, kept: bool) -> None:
    """Print the summary; kept: whether the deployment still runs and commands can be tried."""
    _show_figures(summary, console)
    _show_busiest(summary, console)
    _show_chart(summary, console)
    if summary.cpu_busy:
        show_anomalies(summary.anomalies, summary.cpu_busy[0][0], console)
    _show_checks(summary, console)
    _show_next_steps(summary, console, kept=kept)


def _show_figures(summary: Summary, console: Console) -> None:
    sent = summary.recording_samples + summary.live_samples
    minutes = summary.recording_seconds / 60
    table = Table(title="What happened", title_justify="left", box=None, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row(
        "sent",
        f"{sent:,} samples: {minutes:.0f} minutes of a recorded machine "
        f"({summary.recording_samples:,}), then this one live ({summary.live_samples:,})",
    )
    table.add_row("stored", f"{summary.stored_samples:,} samples")
    table.add_row(
        "rolled up",
        f"{summary.rollup_rows:,} windows of one minute; "
        f"{summary.open_windows:,} more are still open",
    )
    for stage in summary.stages:
        rate = f"{stage.per_second:,.0f} samples/s {stage.done}"
        table.add_row(stage.name, f"{rate} ({stage.n_samples:,} in {stage.seconds:.1f} s)")
    table.add_row(
        "lag",
        f"a live reading can be queried {summary.live_delay_s:.1f} s after it was "
        f"taken (median; at most {summary.live_delay_max_s:.1f} s)",
    )
    disk = ", ".join(
        f"{name.removeprefix('stored_')} {size / 1000:,.0f} kB"
        for name, size in summary.disk_bytes.items()
    )
    table.add_row("disk", f"{summary.bytes_per_sample:.1f} bytes a sample ({disk})")
    table.add_row(
        "time",
        f"{summary.total_seconds:.0f} s in all, "
        f"{summary.start_seconds:.0f} s of them to start Kafka and four roles",
    )
    console.print(table)


def _show_busiest(summary: Summary, console: Console) -> None:
    table = Table(title="Ten busiest series", title_justify="left", box=None, header_style="dim")
    table.add_column("series", overflow="fold")
    for title in ("samples", "values", "least", "largest"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in summary.busiest:
        numbers = (
            f"{one.n_samples:,}",
            f"{one.n_values:,}",
            f"{one.least:,.6g}",
            f"{one.largest:,.6g}",
        )
        # Most are of the recording, which is longer; only the others say whose they are.
        name = one.name if one.instance == "recording" else f"{one.name} ({one.instance})"
        table.add_row(Text(name), *numbers)
    console.print()
    console.print(table)


def _show_chart(summary: Summary, console: Console) -> None:
    if len(summary.cpu_busy) < 2:
        return
    plain = not (console.encoding or "").lower().startswith("utf")
    width = min(shutil.get_terminal_size().columns - 12, _WIDEST_CHART)
    points = chart.squeeze([value for _, value in summary.cpu_busy], max(width, 20))
    first_ms, last_ms = summary.cpu_busy[0][0], summary.cpu_busy[-1][0]
    column_ms = (last_ms - first_ms + 60_000) / len(points)
    letters = _letters(summary.incidents)
    marks = [
        chart.Mark(
            letters[one.name][0],
            int((one.start_ms - first_ms) // column_ms),
            int((one.start_ms + one.seconds * 1000 - first_ms) // column_ms),
        )
        for one in summary.incidents
    ]
    drawn = chart.draw(points, marks, _CHART_HEIGHT, plain=plain)
    console.print()
    console.print(
        Text("CPU of the recorded machine, % busy by minute (from rollups)", style="italic")
    )
    for line in (*drawn.lines, drawn.axis):
        console.print(Text(line), style="green", no_wrap=True)
    console.print(_coloured(drawn.marks, letters), no_wrap=True)
    start, end = _clock(first_ms), _clock(last_ms + 60_000)
    console.print(
        Text(" " * 10 + start + end.rjust(max(len(points) - len(start), 6))), no_wrap=True
    )
    legend = "  ".join(
        f"{letter} {name.replace('_', ' ')}" for name, (letter, _) in letters.items()
    )
    console.print(_coloured(f"  provoked: {legend}", letters, only_words=True))


def _show_checks(summary: Summary, console: Console) -> None:
    console.print()
    console.print(Text("Checked", style="italic"))
    for check in summary.checks:
        word = Text("  ok     ", style="green") if check.ok else Text("  WRONG  ", style="bold red")
        console.print(word + Text(str(check)))


def _show_next_steps(summary: Summary, console: Console, *, kept: bool) -> None:
    title = (
        "It is running at"
        if kept
        else "Your own: `. .venv/bin/activate` once, then `observai up` serves at"
    )
    console.print()
    console.print(Text(title, style="italic"))
    for name, place in (summary.urls | {"key": summary.key}).items():
        console.print(Text(f"  {name:8}{place}"))
    console.print(Text("Three commands to try", style="italic"))
    for command in summary.commands:
        console.print(Text(f"  {command}"), soft_wrap=True)


def _letters(incidents: list[Incident]) -> dict[str, tuple[str, str]]:
    """Return a letter and a colour for each kind of incident."""
    names = list(dict.fromkeys(one.name for one in incidents))
    return {name: (name[0], _COLOURS[at % len(_COLOURS)]) for at, name in enumerate(names)}


def _coloured(line: str, letters: dict[str, tuple[str, str]], *, only_words: bool = False) -> Text:
    text = Text(line)
    for letter, colour in letters.values():
        text.highlight_regex(rf"\b{letter}\b" if only_words else letter, colour)
    return text


def _clock(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).astimezone().strftime("%H:%M")
