"""Progress of a download: a bar on a terminal, a few lines elsewhere."""

import sys
import time

from ops.broker.files import Report

_LINE_EVERY_S = 2.0
_BAR_WIDTH = 30
MB = 1_000_000


def report_download() -> Report:
    """Return a Report that writes to standard error."""
    is_terminal = sys.stderr.isatty()
    last_s = 0.0

    def report(done: int, total: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if not is_terminal and done < total and now_s - last_s < _LINE_EVERY_S:
            return
        last_s = now_s
        filled = _BAR_WIDTH * done // total
        bar = f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] " if is_terminal else ""
        end = "" if is_terminal and done < total else "\n"
        start = "\r" if is_terminal else ""
        text = f"fetching Kafka {bar}{done / MB:.0f} of {total / MB:.0f} MB"
        print(f"{start}{text}", end=end, file=sys.stderr, flush=True)

    return report
