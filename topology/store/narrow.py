"""Narrows reads of samples, rollups and scores by a metric or label to the series that have it.

The stored rows are sorted by series id, and the metric of an id is known from another table. So
`metric = 'x'` alone reads everything; with `series_id IN (SELECT series_id FROM series
WHERE metric = 'x')` beside it, which changes no result, the engine reads those series only
(20 M rows, merged: 0.06 s in place of 0.55 s).
"""

from collections.abc import Iterator

from sqlglot import exp

_NARROWED = frozenset({"samples", "rollups", "scores"})
_OF_SERIES = frozenset({"metric", "labels"})


def narrow(tree: exp.Query) -> exp.Query:
    """Add the condition to every SELECT where it follows from the ones that are there."""
    defined = {node.alias for node in tree.find_all(exp.Alias, exp.CTE)}
    # An alias or CTE of such a name would stand for something else in the conditions.
    if not defined.isdisjoint(_OF_SERIES | _NARROWED | {"series", "series_id"}):
        return tree
    for select in list(tree.find_all(exp.Select)):
        _narrow_select(select)
    return tree


def _narrow_select(select: exp.Select) -> None:
    source, where = select.args.get("from_"), select.args.get("where")
    if source is None or where is None or select.args.get("joins"):
        return
    if not isinstance(source.this, exp.Table) or source.this.name not in _NARROWED:
        return
    conditions = [part for part in _conjuncts(where.this) if _is_of_series(part)]
    if not any(map(_needs_labels, conditions)):
        return
    wanted = exp.select("series_id").from_("series")
    for condition in conditions:
        wanted = wanted.where(_unqualified(condition.copy()))
    column = exp.column("series_id", table=source.this.alias or None)
    where.set("this", exp.and_(where.this, column.isin(query=wanted)))


def _conjuncts(condition: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(condition, exp.And):
        yield from _conjuncts(condition.left)
        yield from _conjuncts(condition.right)
    elif isinstance(condition, exp.Paren):
        yield from _conjuncts(condition.this)
    else:
        yield condition


def _is_of_series(condition: exp.Expr) -> bool:
    """Whether the condition reads nothing but a series' metric and labels."""
    if condition.find(exp.Query, exp.Lambda, exp.Window) is not None:
        return False
    columns = {column.name for column in condition.find_all(exp.Column)}
    return bool(columns) and columns <= _OF_SERIES


def _needs_labels(condition: exp.Expr) -> bool:
    """Whether a sample whose series is not known (no metric, no labels) fails the condition."""
    match condition:
        case exp.EQ():
            sides = (condition.left, condition.right)
            return any(map(_is_text, sides)) and any(map(_is_metric_or_label, sides))
        case exp.In():
            texts = condition.expressions
            return _is_metric_or_label(condition.this) and bool(texts) and all(map(_is_text, texts))
        case exp.Like():
            pattern = condition.expression
            return (
                _is_metric_or_label(condition.this)
                and _is_text(pattern)
                and pattern.name[0] not in "%\\"
            )
        case _:
            return False


def _is_text(node: exp.Expr) -> bool:
    return isinstance(node, exp.Literal) and node.is_string and node.name != ""


def _is_metric_or_label(node: exp.Expr) -> bool:
    column = node.this if isinstance(node, exp.Bracket) else node
    return isinstance(column, exp.Column) and column.name in _OF_SERIES


def _unqualified(condition: exp.Expr) -> exp.Expr:
    for column in condition.find_all(exp.Column):
        column.set("table", None)
    return condition
