"""The end of an OpenMetrics body, by which one that was cut off is told from a whole one."""

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Reason
from pipeline.line_faults import LineFault

_NEWLINE = ord("\n")
_END = b"# EOF"
_END_BYTES = 64


def cut_off(body: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], LineFault | None]:
    """Return the lines of a body that are whole, and what is wrong if it is not ended.

    OpenMetrics 1.0, section "Overall Structure": "Expositions MUST END WITH EOF". Without that a
    last line without its newline may be the begin of a longer one: half of a number is a number.
    """
    text = body[-_END_BYTES:].tobytes()
    if text.rstrip().rpartition(b"\n")[2] == _END:
        return body, None
    newlines = np.flatnonzero(body == _NEWLINE)
    n_whole = int(newlines[-1]) + 1 if len(newlines) else 0
    message = f'"{_END.decode()}" is missing at the end, so the text may have been cut off'
    if n_whole < len(body):
        message += "; this line has no end and is not taken"
    return body[:n_whole], LineFault(len(newlines) + 1, Reason.BAD_SAMPLE, message)
