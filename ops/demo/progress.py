"""Progress of the demo: bars on a terminal, one line a stage elsewhere; all on standard error."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

Advance = Callable[[float], None]

_Opened = TypeVar("_Opened")


class Stages:
    """Shows stage after stage."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, text: str, total: float | None = None) -> Iterator[Advance]:
        """Show a stage while the block runs; call what is given with the amount done since."""
        began_s = time.perf_counter()
        if self._console.is_terminal:
            with self._bar() as bar:
                task = bar.add_task(text, total=total)
                yield lambda amount: bar.advance(task, amount)
        else:
            self._console.print(f"{text} ...")
            yield lambda _: None
        seconds = time.perf_counter() - began_s
        self._console.print(f"{text}: {seconds:.1f} s", style="dim", highlight=False)

    @contextmanager
    def started(self, opening: AbstractContextManager[_Opened], text: str) -> Iterator[_Opened]:
        """Show a stage while something opens, and close it when the block ends."""
        with ExitStack() as stack:
            with self.stage(text):
                opened = stack.enter_context(opening)
            yield opened

    def _bar(self) -> Progress:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
        return Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)
