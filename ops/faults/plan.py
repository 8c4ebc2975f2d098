"""The faults of a campaign, drawn from a seed."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from enum import StrEnum

import numpy as np

from ops.faults.running import KAFKA, SUPERVISOR
from ops.faults.traffic import HOUR_MS, MINUTE_MS
from topology.settings import ENV_PREFIX


class Kind(StrEnum):
    """What is done to the deployment or to its clients."""

    KILL = "kill"
    KILL_TWO = "kill two"
    KILL_AGAIN = "kill again"
    STOP = "stop"
    REBALANCE = "rebalance"
    FULL_DISK = "full disk"
    CLOCK_JUMP = "clock jump"
    GROW = "more partitions"


ROLES = ("worker", "store", "edge", KAFKA)
# Twenty faults, and one that must be asked for: shuffled, and dealt again when they are used up.
_DECK = (
    *((Kind.KILL, role) for role in (*ROLES, SUPERVISOR, "worker")),
    *((Kind.KILL_TWO, role) for role in ("worker", "store", KAFKA)),
    *((Kind.KILL_AGAIN, role) for role in ("any", "any")),
    *((Kind.STOP, role) for role in (*ROLES, "any")),
    (Kind.REBALANCE, "worker"),
    (Kind.FULL_DISK, "disk"),
    *((Kind.CLOCK_JUMP, "sender") for _ in range(2)),
    (Kind.GROW, KAFKA),
)
# No fault, and for 16 minutes after it all windows come from stored samples: only when asked for.
UNASKED = frozenset({Kind.GROW})
_JUMPS_MS = (HOUR_MS, -HOUR_MS, 5 * MINUTE_MS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a campaign does.

    together: faults, one right after the other, between two recoveries.
    group: faults between two full checks. layouts: workers and edges of each group in turn.
    longest_stop_s: of a stopped process; one of each deck is stopped for as long.
    settings: names and values, for the deployment.
    """

    n_faults: int = 200
    seed: int = 1
    together: int = 1
    group: int = 20
    layouts: tuple[int, ...] = (2, 2, 1)
    longest_stop_s: float = 20.0
    without: frozenset[Kind] = UNASKED
    settings: tuple[tuple[str, str], ...] = ()
    checkpoint_s: int = 2
    n_live: int = 400
    n_fast: int = 200
    disk_mb: int = 3072

    def environment(self) -> dict[str, str]:
        """Return the settings of the deployment."""
        own = {"checkpoint_s": str(self.checkpoint_s), "sketches": "true"} | dict(self.settings)
        return {ENV_PREFIX + name.upper(): value for name, value in own.items()}

    def as_json(self) -> dict[str, object]:
        """Return all of it."""
        return asdict(self) | {"without": sorted(self.without)}


SHORT = Plan(n_faults=25, together=5, group=25, layouts=(2,), longest_stop_s=4.0, disk_mb=1536)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it is drawn.

    role: of its first victim, "any" for one of all. others: a number for each further choice.
    lasts_s: how long a stop or full disk lasts, or the pause before the second kill.
    """

    number: int
    kind: Kind
    role: str
    lasts_s: float
    ahead_ms: int = 0
    others: tuple[int, ...] = field(default=())


def draw_faults(plan: Plan) -> Iterator[Fault]:
    """Yield the faults of a plan, the same for the same seed."""
    rng = np.random.default_rng(plan.seed)
    number = 0
    while number < plan.n_faults:
        deck = [card for card in _DECK if card[0] not in plan.without]
        stops = 0
        for at in rng.permutation(len(deck)).tolist():
            kind, role = deck[at]
            stops += kind is Kind.STOP
            number += 1
            yield _fault(number, kind, role, rng, plan, is_longest=stops == 1)
            if number == plan.n_faults:
                return


def in_volleys(faults: Iterable[Fault], together: int) -> Iterator[list[Fault]]:
    """Yield the faults in groups of so many, which are inflicted without a recovery between.

    A clock jump is alone, as edges must be there to refuse; a killed supervisor ends its group.
    """
    volley: list[Fault] = []
    for fault in faults:
        if volley and (len(volley) == together or Kind.CLOCK_JUMP in {fault.kind, volley[-1].kind}):
            yield volley
            volley = []
        volley.append(fault)
        if fault.role == SUPERVISOR:
            yield volley
            volley = []
    if volley:
        yield volley


def _fault(  # noqa: PLR0913 - what it is drawn from
    number: int, kind: Kind, role: str, rng: np.random.Generator, plan: Plan, *, is_longest: bool
) -> Fault:
    others = tuple(rng.integers(0, 1 << 30, 8).tolist())
    share = float(rng.random())
    match kind:
        case Kind.STOP:
            lasts_s = plan.longest_stop_s * (1.0 if is_longest else 0.1 + 0.8 * share**2)
        case Kind.KILL_AGAIN:
            lasts_s = 0.1 + 1.9 * share
        case Kind.FULL_DISK:
            lasts_s = 2.0 + 4.0 * share
        case Kind.KILL | Kind.KILL_TWO | Kind.REBALANCE | Kind.CLOCK_JUMP | Kind.GROW:
            lasts_s = 0.0
    ahead_ms = _JUMPS_MS[others[0] % len(_JUMPS_MS)] if kind is Kind.CLOCK_JUMP else 0
    return Fault(number, kind, role, round(lasts_s, 2), ahead_ms, others)
