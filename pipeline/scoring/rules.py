"""Rules of an operator's file and of tenants: what is scored of which series, and what counts."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Self

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.anomaly.rules import Direction, Rule
from pipeline.label_columns import labels_of, owners_of
from pipeline.scoring.values import Value, usual_value
from schemas.series import METRIC_LABEL, MetricType, SeriesBlock

_HOUR_S = 3600.0
WIDTHS_S = (10, 60, 300)
DEFAULT_WIDTHS_S = (60,)


class RuleSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry `[[rule]]`: which series it is for, and what holds for them.

    metric and labels are regular expressions (RE2) over the whole text; a label that is not there
    is empty. least_*, direction, sensitivity and stopped are those of pipeline.anomaly.rules.
    """

    tenant: str | None = None
    metric: str | None = None
    labels: dict[str, str] = {}
    exclude: bool = False
    value: Literal["mean", "rate", "min", "max", "last", "count", "sum"] | None = None
    direction: Literal["above", "below", "both"] = "both"
    least_absolute: float = 0.0
    least_relative: float = 0.0
    least_windows: int = 0
    least_hours: float = 0.0
    sensitivity: float = 1.0
    stopped: bool = True

    def rule(self) -> Rule:
        """Return what the models are told. Raises ValueError."""
        return Rule(
            Direction[self.direction.upper()],
            self.least_absolute,
            self.least_relative,
            self.least_windows,
            self.least_hours * _HOUR_S,
            self.sensitivity,
            self.stopped,
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rule: list[RuleSpec] = []
    widths: dict[str, list[int]] = {}


class SeriesRules:
    """Chooses for announced series; of several rules that match, the first one decides.

    table: what the models are told, by index; 0 is of series that no rule matches. index_of: each
    rule's, by its JSON. widths_digest: tells apart of which tenants which widths are scored.
    """

    def __init__(
        self,
        specs: Sequence[RuleSpec] = (),
        widths_s: dict[str, list[int]] | None = None,
        of_tenants: Sequence[RuleSpec] = (),
        older: "SeriesRules | None" = None,
    ) -> None:
        """Take rules as they stand in the file, and what goes before them. Raises ValueError.

        older: whose indices stay as they are.
        """
        self._of_file, self._of_tenants = list(specs), list(of_tenants)
        self._widths_s = dict(widths_s or {})
        for tenant, widths in self._widths_s.items():
            if not widths or not set(widths) <= set(WIDTHS_S):
                raise ValueError(f"widths.{tenant}={widths}: some of {list(WIDTHS_S)} are needed")
        for at, spec in enumerate(self._of_file):
            _check_patterns(at, spec)
        self.table: list[Rule] = list(older.table) if older else [Rule()]
        self.index_of: dict[bytes, int] = dict(older.index_of) if older else {}
        self._take([*of_tenants, *self._of_file])
        canonical = msgspec.json.encode(sorted(self._widths_s.items()))
        self.widths_digest = hashlib.blake2b(canonical, digest_size=16).digest()

    def beside(self, of_tenants: Mapping[str, Sequence[RuleSpec]]) -> "SeriesRules":
        """Return the file's rules with those of tenants before them.

        A rule that was there keeps its index, one that is gone too: series refer to it until they
        are announced again.
        """
        of_tenant = [
            msgspec.structs.replace(spec, tenant=tenant)
            for tenant, specs in sorted(of_tenants.items())
            for spec in specs
        ]
        return SeriesRules(self._of_file, self._widths_s, of_tenant, self)

    def remembering(self, texts: Iterable[bytes]) -> "SeriesRules":
        """Return the same rules, whose table has those of these JSON texts too.

        They match nothing: series of a snapshot refer to them until they are announced again. What
        is no rule of this build is passed over.
        """
        longer = SeriesRules(self._of_file, self._widths_s, self._of_tenants, self)
        for text in texts:
            with suppress(ValueError):
                longer._add(0, text, msgspec.json.decode(text, type=RuleSpec))
        return longer

    def _add(self, at: int, text: bytes, spec: RuleSpec) -> int:
        """Return the index of a rule, which it gets if it has none. Raises ValueError."""
        if text not in self.index_of:
            self.table.append(_rule(at, spec))
            self.index_of[text] = len(self.table) - 1
        return self.index_of[text]

    def _take(self, specs: Sequence[RuleSpec]) -> None:
        self._specs = [
            (self._add(at, msgspec.json.encode(spec), spec), spec) for at, spec in enumerate(specs)
        ]
        # By tenant, so that each does not pay for the rules of all.
        self._by_tenant: dict[str | None, list[tuple[int, int, RuleSpec]]] = {}
        for order_at, (at, spec) in enumerate(self._specs):
            self._by_tenant.setdefault(spec.tenant, []).append((order_at, at, spec))

    def specs_of(self, tenant: str) -> list[RuleSpec]:
        """Return the rules that may match a tenant's series, in their order."""
        return [spec for _, _, spec in self._specs_of(tenant)]

    def _specs_of(self, tenant: str) -> list[tuple[int, int, RuleSpec]]:
        of_all, own = self._by_tenant.get(None, []), self._by_tenant.get(tenant, [])
        return sorted([*own, *of_all], key=lambda one: one[0])

    @classmethod
    def parse(cls, document: dict[str, Any]) -> Self:
        """Return the rules of a TOML document. Raises ValueError with what is wrong."""
        try:
            file = msgspec.convert(document, _File)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from None
        return cls(file.rule, file.widths)

    def document(self) -> dict[str, Any]:
        """Return the file's rules as `parse` takes them."""
        return {"rule": [plain(spec) for spec in self._of_file], "widths": self._widths_s}

    def widths_of(self, tenant: str) -> list[int]:
        """Return the widths of the windows that are scored."""
        default = self._widths_s.get("default", DEFAULT_WIDTHS_S)
        return list(self._widths_s.get(tenant, default))

    def is_scored(self, tenant: str, width_s: int) -> bool:
        """Whether windows of this width are scored."""
        return width_s in self.widths_of(tenant)

    def choose(self, block: SeriesBlock) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        """Return of each series in the block which Value is judged, and its rule in the table."""
        names, texts, is_metric = labels_of(block)
        metrics = texts.filter(pa.array(is_metric))
        values = _usual_values(metrics, block.types)
        rules = np.zeros(len(block), dtype=np.int32)
        owners = owners_of(block)
        for _, at, spec in self._specs_of(block.tenant):
            matched = rules == 0
            if spec.metric is not None:
                matched &= _matches(metrics, spec.metric)
            for name, pattern in spec.labels.items():
                matched &= _has_label(names, texts, owners, name, pattern, len(block))
            rules[matched] = at
            if spec.exclude:
                values[matched] = Value.NONE
            elif spec.value is not None:
                values[matched] = Value[spec.value.upper()]
        return values, rules


def plain(spec: RuleSpec) -> dict[str, Any]:
    """Return a rule by the keys of the file, those left out whose value is the default."""
    default = msgspec.structs.asdict(RuleSpec())
    return {
        name: value
        for name, value in msgspec.structs.asdict(spec).items()
        if value != default[name]
    }


def parse_rules_of_tenant(rules: Sequence[dict[str, Any]]) -> list[RuleSpec]:
    """Return rules that a tenant has for its own series. Raises ValueError."""
    try:
        specs = msgspec.convert(list(rules), list[RuleSpec])
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for at, spec in enumerate(specs):
        if spec.tenant is not None:
            raise ValueError(f"rule[{at}].tenant={spec.tenant!r}: leave it out, the path names it")
    SeriesRules(specs)
    return specs


def _usual_values(metrics: pa.StringArray, types: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what is judged without rules, worked out once for each metric and type."""
    coded = metrics.dictionary_encode()
    n_types = max(MetricType) + 1
    keys = coded.indices.to_numpy().astype(np.int64) * n_types + types
    distinct, at = np.unique(keys, return_inverse=True)
    texts = coded.dictionary.to_pylist()
    usual = [usual_value(texts[key // n_types], MetricType(key % n_types)) for key in distinct]
    return np.array(usual, dtype=np.uint8)[at]


def _matches(texts: pa.StringArray, pattern: str) -> NDArray[np.bool_]:
    matched = pc.match_substring_regex(texts, f"^(?:{pattern})$")
    found: NDArray[np.bool_] = matched.to_numpy(zero_copy_only=False)
    return found


def _has_label(  # noqa: PLR0913, PLR0917 - the labels' columns, and what is asked of them
    names: pa.StringArray,
    texts: pa.StringArray,
    owners: NDArray[np.int64],
    name: str,
    pattern: str,
    n_series: int,
) -> NDArray[np.bool_]:
    is_named = pc.equal(names, name)
    of = owners[is_named.to_numpy(zero_copy_only=False)]
    found = np.full(n_series, bool(_matches(pa.array([""]), pattern)[0]))
    found[of] = _matches(texts.filter(is_named), pattern)
    return found


def _rule(at: int, spec: RuleSpec) -> Rule:
    try:
        return spec.rule()
    except ValueError as error:
        raise ValueError(f"rule[{at}]: {error}") from None


def _check_patterns(at: int, spec: RuleSpec) -> None:
    if METRIC_LABEL in spec.labels:
        raise ValueError(f"rule[{at}].labels.{METRIC_LABEL}: write it as metric")
    for name, pattern in {"metric": spec.metric or "", **spec.labels}.items():
        try:
            _matches(pa.array([""]), pattern)
        except pa.ArrowInvalid as error:
            reason = re.sub(r"^.*?: ", "", str(error))
            raise ValueError(f"rule[{at}] {name}={pattern!r}: {reason}") from None
