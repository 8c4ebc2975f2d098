"""What a campaign found, as it is written to JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from ops.faults.check import Checked
from ops.faults.plan import Fault


@dataclass(slots=True)
class Inflicted:
    """A fault that was inflicted: on whom, when it ended, and how long until all worked again.

    recovery_s: None where the next fault came first. gave_up: `up` ended by itself.
    """

    fault: Fault
    layout: int
    ended_at: str = ""
    victims: Sequence[str] = ()
    took_s: float = 0.0
    recovery_s: float | None = None
    gave_up: bool = False

    def as_json(self) -> dict[str, object]:
        """Return it with the fault's kind and duration."""
        return {
            "number": self.fault.number,
            "kind": str(self.fault.kind),
            "victims": list(self.victims),
            "layout": f"{self.layout} workers, {self.layout} edges",
            "lasts_s": self.fault.lasts_s,
            "ended_at": self.ended_at,
            "took_s": round(self.took_s, 2),
            "recovery_s": None if self.recovery_s is None else round(self.recovery_s, 2),
            "gave_up": self.gave_up,
        }


@dataclass(slots=True)
class Result:
    """All that a campaign has to say. checks: the last one of each stream counts."""

    faults: list[Inflicted] = field(default_factory=list)
    checks: list[Checked] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    orphans: int = 0
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost, doubled, wrong, left over or stuck."""
        return not self.violations

    def totals(self) -> dict[str, int]:
        """Return what the last check of each stream has compared and found."""
        last = {(one.metric, one.generation): one for one in self.checks}
        totals = dict.fromkeys(("compared", "lost", "doubled", "wrong", "unknown"), 0)
        for checked in last.values():
            for difference in checked.differences.values():
                for name in totals:
                    totals[name] += getattr(difference, name)
        return totals

    def as_json(self) -> dict[str, object]:
        """Return everything."""
        return {
            **self.facts,
            "totals": self.totals(),
            "orphans": self.orphans,
            "violations": self.violations,
            "recovery_s": recoveries([one.recovery_s for one in self.faults]),
            "faults": [one.as_json() for one in self.faults],
            "checks": [
                {
                    "metric": one.metric,
                    "generation": one.generation,
                    "seconds": round(one.seconds, 1),
                    **{name: asdict(found) for name, found in one.differences.items()},
                }
                for one in self.checks
            ],
        }


def recoveries(seconds: Sequence[float | None]) -> dict[str, float]:
    """Return median, 99th percentile and maximum of recovery times, empty without any."""
    known = [one for one in seconds if one is not None]
    if not known:
        return {}
    p50, p99 = np.percentile(known, [50, 99]).tolist()
    return {"p50": round(p50, 2), "p99": round(p99, 2), "max": round(max(known), 2)}
