"""Lines of a text that are refused, and how they are shown to their sender."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.admission import Reason

_SHOWN_BYTES = 80


@dataclass(frozen=True, slots=True)
class LineFault:
    """Why a line is refused; lines count from 1."""

    line: int
    reason: Reason
    message: str


def shown(body: NDArray[np.uint8], start: int, end: int) -> str:
    """Return a part of a body in quotes, cut where it is long."""
    text = body[start : min(end, start + _SHOWN_BYTES)].tobytes().decode(errors="replace")
    return repr(text + "..." if end > start + _SHOWN_BYTES else text.rstrip("\r"))
