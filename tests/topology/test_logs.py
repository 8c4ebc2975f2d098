"""Logs where the disk is full."""

import json
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys
from pathlib import Path
from topology.logs import configure_logs
configure_logs("edge", Path(sys.argv[1]), "INFO").warning("no room", disk="full")
"""


def test_a_line_that_does_not_fit_on_the_disk_is_on_standard_error_alone(tmp_path: Path) -> None:
    """One line of JSON as ever, and no traceback of the file that could not be written."""
    (tmp_path / "edge.jsonl").symlink_to("/dev/full")

    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    (line,) = done.stderr.splitlines()
    assert json.loads(line)["event"] == "no room"
