"""What is judged of a series, by its type, its name and the rules of an operator."""

import numpy as np
import pytest

from pipeline.anomaly.rules import Direction, Rule
from pipeline.scoring.rules import SeriesRules, parse_rules_of_tenant
from pipeline.scoring.values import Value, usual_value
from schemas.series import Announcement, MetricType, SeriesBlock, series_block
from tests.pipeline.scoring.windows import announced


def choose(rules: SeriesRules, block: SeriesBlock) -> list[tuple[Value, int]]:
    values, indices = rules.choose(block)
    return [(Value(v), r) for v, r in zip(values.tolist(), indices.tolist(), strict=True)]


@pytest.mark.parametrize(
    ("metric", "kind", "value"),
    [
        ("http_requests_total", MetricType.UNKNOWN, Value.RATE),
        ("rpc_seconds_count", MetricType.UNKNOWN, Value.RATE),
        ("rpc_seconds_sum", MetricType.HISTOGRAM, Value.RATE),
        ("rpc_seconds_bucket", MetricType.HISTOGRAM, Value.NONE),
        ("rpc_seconds_bucket", MetricType.UNKNOWN, Value.NONE),
        ("rpc_seconds_created", MetricType.UNKNOWN, Value.NONE),
        ("build_info", MetricType.UNKNOWN, Value.NONE),
        ("versions", MetricType.INFO, Value.NONE),
        ("requests", MetricType.COUNTER, Value.RATE),
        ("requests", MetricType.UNKNOWN, Value.MEAN),
        ("odd_total", MetricType.GAUGE, Value.MEAN),
        ("rpc_seconds", MetricType.SUMMARY, Value.MEAN),
    ],
)
def test_the_type_decides_and_then_the_name(metric: str, kind: MetricType, value: Value) -> None:
    assert usual_value(metric, kind) == value
    assert choose(SeriesRules(), announced({1: metric}, kind)) == [(value, 0)]


def test_the_first_rule_that_matches_decides() -> None:
    rules = SeriesRules.parse(
        {
            "rule": [
                {"metric": "net_.*", "labels": {"device": "lo"}, "exclude": True},
                {"metric": "net_.*", "direction": "above", "least_relative": 0.5},
                {"labels": {"device": ""}, "value": "max"},
                {"tenant": "other", "exclude": True},
            ]
        }
    )
    block = series_block(
        *("t", 0, 30),
        [
            Announcement(1, {"__name__": "net_errors", "device": "lo"}),
            Announcement(2, {"__name__": "net_errors", "device": "lo0"}),
            Announcement(3, {"__name__": "net_bytes_total"}),
            Announcement(4, {"__name__": "subnet_errors"}),
            Announcement(5, {"__name__": "temperature", "device": "x"}),
        ],
    )

    assert choose(rules, block) == [
        (Value.NONE, 1),
        (Value.MEAN, 2),
        (Value.RATE, 2),
        (Value.MAX, 3),
        (Value.MEAN, 0),
    ]
    assert rules.table[2] == Rule(Direction.ABOVE, least_relative=0.5)


def test_a_rule_can_have_a_bucket_judged() -> None:
    rules = SeriesRules.parse({"rule": [{"metric": "a_bucket", "value": "rate"}]})

    assert choose(rules, announced({1: "a_bucket"})) == [(Value.RATE, 1)]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"rule": [{"metrics": "a"}]}, "metrics"),
        ({"rule": [{}, {"metric": "("}]}, r"rule\[1\] metric='\('"),
        ({"rule": [{"labels": {"a": "["}}]}, r"rule\[0\] a='\['"),
        ({"rule": [{"labels": {"__name__": "a"}}]}, "write it as metric"),
        ({"rule": [{"direction": "up"}]}, "direction"),
        ({"rule": [{"least_absolute": -1.0}]}, r"rule\[0\]: least_absolute=-1.0: must be"),
        ({"widths": {"acme": [60, 7]}}, r"widths.acme=\[60, 7\]"),
        ({"rules": []}, "rules"),
    ],
)
def test_what_is_wrong_is_named(document: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SeriesRules.parse(document)


def test_widths_are_of_a_tenant() -> None:
    rules = SeriesRules.parse({"widths": {"acme": [10, 60]}})

    assert [rules.is_scored("acme", width_s) for width_s in (10, 60, 300)] == [True, True, False]
    assert [rules.is_scored("t", width_s) for width_s in (10, 60)] == [False, True]
    only_fine = SeriesRules.parse({"widths": {"default": [10]}})
    assert [only_fine.is_scored("t", width_s) for width_s in (10, 60)] == [True, False]


def test_a_digest_is_that_of_the_widths() -> None:
    one, same = SeriesRules.parse({"rule": [{"metric": "a"}]}), SeriesRules()
    other = SeriesRules(widths_s={"t": [10]})

    assert one.widths_digest == same.widths_digest != other.widths_digest


def test_a_rule_that_is_remembered_matches_nothing() -> None:
    rules = SeriesRules.parse({"rule": [{"metric": "b", "sensitivity": 2.0}]})
    (gone,) = SeriesRules.parse({"rule": [{"metric": "a", "sensitivity": 3.0}]}).index_of

    longer = rules.remembering([*rules.index_of, gone, b'{"of":"a later build"}', b"{"])

    assert [rule.sensitivity for rule in longer.table] == [1, 2, 3]
    assert longer.index_of[gone] == 2
    assert choose(longer, announced({1: "a", 2: "b"})) == [(Value.MEAN, 0), (Value.MEAN, 1)]
    assert longer.beside({}).table == longer.table


def test_no_series_are_no_rows() -> None:
    values, rules = SeriesRules.parse({"rule": [{"labels": {"a": ".*"}}]}).choose(announced({}))

    assert (len(values), len(rules)) == (0, 0)
    assert values.dtype == np.uint8


def test_rules_of_a_tenant_go_before_those_of_the_file() -> None:
    """They are for its own series only."""
    of_file = SeriesRules.parse({"rule": [{"metric": "a.*", "direction": "above"}]})
    rules = of_file.beside({"t": parse_rules_of_tenant([{"metric": "ab", "exclude": True}])})
    other = series_block("u", 0, 30, [Announcement(1, {"__name__": "ab"})])

    assert choose(rules, announced({1: "ab", 2: "ac"})) == [(Value.NONE, 2), (Value.MEAN, 1)]
    assert choose(rules, other) == [(Value.MEAN, 1)]


def test_other_rules_leave_the_indices_that_series_refer_to() -> None:
    """A rule that comes back has its old one, so that changes for ever need no more room."""
    first = parse_rules_of_tenant([{"metric": "a", "sensitivity": 2.0}])
    second = parse_rules_of_tenant([{"metric": "a", "sensitivity": 3.0}])
    rules = SeriesRules().beside({"t": first})

    changed = rules.beside({"t": second})
    back = changed.beside({"t": first}).beside({"t": second}).beside({"t": first})

    assert [rule.sensitivity for rule in back.table] == [1, 2, 3]
    assert choose(changed, announced({1: "a"})) == [(Value.MEAN, 2)]
    assert choose(back, announced({1: "a"})) == [(Value.MEAN, 1)]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"tenant": "other"}, "leave it out, the path names it"),
        ({"metric": "("}, r"rule\[0\] metric='\('"),
        ({"least_hours": -1.0}, r"rule\[0\]: least_s=-3600.0: must be"),
        ({"metrics": "a"}, "metrics"),
    ],
)
def test_a_wrong_rule_of_a_tenant_is_named(rule: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_rules_of_tenant([rule])
