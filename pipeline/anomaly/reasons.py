"""Why a window is anomalous: codes that the engine gives, and words for a person."""

from datetime import UTC, datetime
from enum import IntEnum

# More is no number to read: a usual level next to 0.
_MOST_TIMES = 1000


class Reason(IntEnum):
    """The part of the score that has most to say."""

    NONE = 0
    LEARNING = 1
    LEVEL = 2
    RANGE = 3
    PATTERN = 4
    DRIFT = 5
    STOPPED = 6


def words(code: int, value: float, expected: float, time_s: float) -> str:
    """Return one phrase for a reason: "3.2x the usual level for Monday 14:00"."""
    usual = _level(value, expected, time_s)
    side = "above" if value > expected else "below"
    match Reason(code):
        case Reason.NONE:
            text = ""
        case Reason.LEARNING:
            text = "learning"
        case Reason.LEVEL:
            text = usual
        case Reason.RANGE:
            text = f"new {'high' if value > expected else 'low'}, {usual}"
        case Reason.PATTERN:
            text = f"pattern not seen before, {usual}"
        case Reason.DRIFT:
            text = f"for hours {side} the usual level for {_moment(time_s)}"
        case Reason.STOPPED:
            text = f"stopped changing at {value:.4g}, {usual}"
    return text


def _level(value: float, expected: float, time_s: float) -> str:
    usual = f"the usual level for {_moment(time_s)}"
    if expected * value > 0 and (ratio := value / expected) >= 1.1:
        times = f"{ratio:.1f}x" if ratio < _MOST_TIMES else f">{_MOST_TIMES}x"
        return f"{times} {usual}"
    if expected * value > 0 and ratio <= 0.9:
        return f"{1 - ratio:.0%} below {usual}"
    return f"{value:.4g} where {expected:.4g} is {usual}"


def _moment(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%A %H:%M")
