"""Event time up to which a tenant's samples on one partition are taken to be complete."""

from dataclasses import dataclass

BEGINNING_MS = -(1 << 62)


@dataclass(slots=True)
class Watermark:
    """Trails the newest sample by the allowed lateness and never moves back.

    A sample's time counts no further than skew_ms past its record's receive time, so one wrong
    clock closes no windows ahead of time. A tenant that is silent for idle_ms gets the time
    from the log instead.
    """

    allowed_lateness_ms: int
    skew_ms: int
    idle_ms: int
    value_ms: int = BEGINNING_MS
    last_receive_ms: int = BEGINNING_MS

    def observe(self, newest_ms: int, receive_ms: int) -> None:
        """Take note of a block: its newest sample and when it was received."""
        believed_ms = min(newest_ms, receive_ms + self.skew_ms)
        self.value_ms = max(self.value_ms, believed_ms - self.allowed_lateness_ms)
        self.last_receive_ms = max(self.last_receive_ms, receive_ms)

    def advance_idle(self, receive_ms: int) -> None:
        """Take note that the log has reached this receive time, whoever's record it was."""
        if receive_ms - self.last_receive_ms >= self.idle_ms:
            self.value_ms = max(self.value_ms, receive_ms - self.allowed_lateness_ms)
