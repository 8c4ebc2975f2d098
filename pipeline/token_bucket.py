"""A token bucket that may go into debt: how many samples a tenant may send."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """per_s: samples a second in the long run. burst: what a tenant that was silent has saved."""

    per_s: float
    burst: float

    def shared(self, n: int) -> "Rate":
        """Return the n-th part."""
        return Rate(self.per_s / n, self.burst / n)


class TokenBucket:
    """Tokens of one tenant; a token a sample.

    What comes is taken as long as there is no debt, then charged as a whole. So a body larger than
    the burst passes, and is paid for by a longer wait, instead of being refused for ever; and who
    is in debt is refused before anything of his body is read. In any t seconds it takes at most
    per_s * t + burst, and one body.
    """

    def __init__(self, burst: float, now_s: float) -> None:
        self._tokens = burst
        self._at_s = now_s

    def wait_s(self, rate: Rate, now_s: float) -> float:
        """Return in how many seconds the next body is taken, 0: now."""
        # A clock that went back gives nothing, and takes nothing.
        passed_s = max(now_s - self._at_s, 0.0)
        self._at_s = now_s
        self._tokens = min(self._tokens + passed_s * rate.per_s, rate.burst)
        return max(-self._tokens / rate.per_s, 0.0)

    def charge(self, n: int) -> None:
        """Take so many tokens, whether they are there or not."""
        self._tokens -= n
