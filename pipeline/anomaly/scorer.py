"""The anomaly engine: windows of many series in, a score for each out."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.anomaly.parameters import SHIPPED, Parameters
from pipeline.anomaly.rules import Rule, table_of
from pipeline.anomaly.scores import Scores
from pipeline.anomaly.state import MODEL
from pipeline.anomaly.step import update

VERSION = 3
_HEAD = np.dtype([("version", "<u4"), ("item_size", "<u4"), ("n", "<u8")])


class UnknownVersion(ValueError):
    """The models were written by another build; they must be learned anew."""


class Scorer:
    """Models of n series, in slots that the caller gives to them.

    rules: the table that `set_rules` refers to; a new series has rule 0.
    """

    def __init__(self, rules: Sequence[Rule] = (Rule(),), constants: Parameters = SHIPPED) -> None:
        self._constants = constants
        self._models = np.zeros(0, dtype=MODEL)
        self.replace_rules(rules)

    def __len__(self) -> int:
        """Return the number of slots."""
        return len(self._models)

    def n_bytes(self) -> int:
        """Return the memory of all slots."""
        return self._models.nbytes

    def grow(self, n_slots: int) -> None:
        """Make room for at least n_slots series; those there are stay."""
        if n_slots > len(self._models):
            grown = np.zeros(max(n_slots, len(self._models) * 5 // 4), dtype=MODEL)
            grown[: len(self._models)] = self._models
            self._models = grown

    def replace_rules(self, rules: Sequence[Rule]) -> None:
        """Take another table of rules, not shorter than any index in use.

        Raises ValueError where a series refers to a rule that is not there.
        """
        highest = int(self._models["rule"].max(initial=0))
        if highest >= len(rules):
            raise ValueError(f"{len(rules)} rules: a series refers to rule {highest}")
        self._rules = table_of(rules)

    def set_rules(self, slots: NDArray[np.int64], rules: NDArray[np.int64]) -> None:
        """Give series the rules of these indices. Raises ValueError if one is not there."""
        if len(rules) and not 0 <= rules.min() <= rules.max() < len(self._rules):
            raise ValueError(f"rules {rules.min()} to {rules.max()}: there are {len(self._rules)}")
        self._models["rule"][slots] = rules

    def update(
        self,
        slots: NDArray[np.int64],
        times_s: NDArray[np.float64],
        values: NDArray[np.float64],
    ) -> Scores:
        """Judge one window a row by the model of its series, then learn it; shape (n,) each.

        slots: below len(self); a series' windows stand in order of time. times_s: start of the
        window in event time, s since 1970. values: one that is not finite is neither judged nor
        learned. Raises ValueError where a slot is not there.
        """
        if len(slots) and not 0 <= slots.min() <= slots.max() < len(self._models):
            raise ValueError(
                f"slots {slots.min()} to {slots.max()}: there are {len(self._models)}, grow first"
            )
        numbers = np.zeros((len(slots), 6))
        reasons = np.zeros(len(slots), dtype=np.uint8)
        update(self._models, slots, times_s, values, self._rules, self._constants, numbers, reasons)
        score, alarm, expected, lower, upper, learning_s = numbers.T
        return Scores(
            score.astype(np.float32),
            alarm.astype(np.float32),
            expected.copy(),
            lower.copy(),
            upper.copy(),
            reasons,
            learning_s.astype(np.float32),
        )

    def last_times_s(self) -> NDArray[np.float64]:
        """Return the time of each slot's last window, 0 where there was none."""
        return self._models["time_s"].copy()

    def evict(self, slots: NDArray[np.int64]) -> None:
        """Forget the series in these slots; each is ready for another one."""
        self._models[slots] = np.zeros(1, dtype=MODEL)

    def snapshot(self) -> bytes:
        """Return all models as bytes; rules are not among them, only each series' index."""
        head = np.array([(VERSION, MODEL.itemsize, len(self._models))], dtype=_HEAD)
        return head.tobytes() + self._models.tobytes()

    def restore(self, state: bytes) -> None:
        """Take the models of a snapshot instead of those there are.

        Raises UnknownVersion for one of another build, ValueError for one that is cut.
        """
        if len(state) < _HEAD.itemsize:
            raise ValueError(f"{len(state)} bytes are no anomaly models")
        head = np.frombuffer(state, dtype=_HEAD, count=1)[0]
        if head["version"] != VERSION or head["item_size"] != MODEL.itemsize:
            raise UnknownVersion(
                f"anomaly models of version {head['version']}: this build knows {VERSION}"
            )
        if len(state) != _HEAD.itemsize + int(head["n"]) * MODEL.itemsize:
            raise ValueError(f"{len(state)} bytes cannot be {head['n']} anomaly models")
        self._models = np.frombuffer(state, dtype=MODEL, offset=_HEAD.itemsize).copy()
