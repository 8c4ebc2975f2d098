"""Checks an analyst's statement: one SELECT over the analyst's relations, allowed functions only.

What runs is the text written anew from the tree that was checked, so a comment, an encoding or
an escape that two parsers read differently cannot carry anything past the check. The rows
of other tenants are kept away by the engine itself (row policies), whatever passes here.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import sqlglot
from sqlglot import exp
from sqlglot.dialects.clickhouse import ClickHouse
from sqlglot.errors import SqlglotError
from sqlglot.parsers.clickhouse import ClickHouseParser

from topology.store.functions import is_aggregate, is_allowed
from topology.store.narrow import narrow

# The parser warns of what it cannot read; the refusal says so already.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

RELATIONS = ("series", "samples", "rollups", "scores", "anomalies", "rejections")
# For keys with the scope admin.
ADMIN_RELATIONS = ("audit",)
MAX_SQL_CHARS = 100_000

# Base tables bear these names: a CTE of such a name could be taken for the table itself.
_RESERVED_PREFIX = "stored_"
_RESERVED = frozenset({"migrations"})

_WITH_OWN_SYNTAX = frozenset({"CAST", "EXTRACT", "SUBSTRING", "TRIM", "POSITION", "COLUMNS"})

# Functions that the parser knows by syntax and not by name.
_SYNTAX_NODES = (
    *(exp.And, exp.Or, exp.Xor, exp.Case, exp.If, exp.Cast, exp.Extract, exp.Substring),
    *(exp.Trim, exp.StrPosition, exp.Columns, exp.Array, exp.Exists, exp.VarMap),
)

_SELECT_PARTS = frozenset(
    {
        *("with_", "from_", "expressions", "distinct", "joins", "laterals", "where"),
        *("group", "having", "qualify", "windows", "order", "limit", "offset", "kind", "hint"),
    }
)
_UNION_PARTS = frozenset(
    {
        *("with_", "this", "expression", "distinct", "by_name", "side", "kind", "on"),
        *("order", "limit", "offset"),
    }
)


# How the parser shows a token that it did not expect.
_TOKEN = re.compile(r" but got <Token .*", re.DOTALL)


class RefusedStatement(Exception):
    """The statement is not one that an analyst may run; the text says what and why."""


class _Dialect(ClickHouse):
    """ClickHouse's syntax with function names left as written, so that they come out unchanged."""

    class Parser(ClickHouseParser):
        FUNCTIONS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {}
        FUNCTION_PARSERS: ClassVar[dict[str, Callable[..., exp.Expr]]] = {
            name: parser
            for name, parser in ClickHouseParser.FUNCTION_PARSERS.items()
            if name in _WITH_OWN_SYNTAX
        }

        @classmethod
        def _resolve_clickhouse_agg(cls, name: str) -> tuple[str, Sequence[str]] | None:
            """Know all aggregates that are allowed, so that f(parameters)(arguments) is read."""
            known: tuple[str, Sequence[str]] | None = super()._resolve_clickhouse_agg(name)
            return known or ((name, ()) if is_aggregate(name) else None)


def check(sql: str, *, is_admin: bool = False) -> str:
    """Return the statement to run for the one given. Raises RefusedStatement."""
    if len(sql) > MAX_SQL_CHARS:
        raise RefusedStatement(f"the statement has {len(sql)} characters: at most {MAX_SQL_CHARS}")
    try:
        tree = _single_query(sqlglot.parse(sql, read=_Dialect))
        for node in tree.walk():
            _check_node(node)
            if not is_admin:
                _check_not_for_admins(node)
        return str(_with_source(narrow(tree)).sql(dialect=_Dialect, comments=False))
    except RecursionError:
        raise RefusedStatement("the statement is nested too deeply") from None
    except SqlglotError as error:
        raise RefusedStatement(f"not a readable SELECT: {_plain(error)}") from None


def _with_source(tree: exp.Query) -> exp.Query:
    """Read a query without FROM as one with it: the engine's limit of rows spares the former."""
    outermost = tree.find_all(exp.Select) if isinstance(tree, exp.SetOperation) else iter((tree,))
    if all(select.args.get("from_") for select in outermost):
        return tree
    return exp.select("*").from_(tree.subquery())


def _single_query(statements: list[exp.Expr | None]) -> exp.Query:
    found = [statement for statement in statements if statement is not None]
    if len(found) != 1:
        raise RefusedStatement(f"{len(found)} statements: exactly one SELECT is run at a time")
    if not isinstance(found[0], exp.Query):
        kind = found[0].name if isinstance(found[0], exp.Command) else found[0].key
        raise RefusedStatement(f"{kind.upper()} is not allowed: only SELECT is")
    return found[0]


def _check_node(node: exp.Expr) -> None:
    for types, check_one in _CHECKS:
        if isinstance(node, types):
            check_one(node)


def _check_not_for_admins(node: exp.Expr) -> None:
    if isinstance(node, exp.Table):
        name = node.name
    else:
        column = _table_of_in(node) if isinstance(node, exp.In) else None
        name = column.name if column else ""
    if name in ADMIN_RELATIONS and name not in _visible_ctes(node):
        raise RefusedStatement(f"{name} is for API keys with the scope 'admin'")


def _check_select(select: exp.Select) -> None:
    _check_parts(select, _SELECT_PARTS)


def _check_set_operation(operation: exp.SetOperation) -> None:
    _check_parts(operation, _UNION_PARTS)


def _refuse_parameter(node: exp.Expr) -> None:
    raise RefusedStatement(f"parameter {node.sql()}: write the value into the statement")


def _refuse_other(node: exp.Expr) -> None:
    if not isinstance(node, exp.Query):
        raise RefusedStatement(f"{node.key.upper()} is not allowed in a SELECT")


def _refuse_totals(group: exp.Group) -> None:
    if group.args.get("totals"):
        raise RefusedStatement("WITH TOTALS is not allowed: the formats have no place for totals")


def _refuse_sample(node: exp.TableSample) -> None:
    del node
    raise RefusedStatement("SAMPLE is not allowed: the relations have no sampling key")


def _check_parts(node: exp.Expr, allowed: frozenset[str]) -> None:
    for part, value in node.args.items():
        if value and part not in allowed:
            name = part.strip("_").upper()
            raise RefusedStatement(
                f"{name} is not allowed: limits are fixed, the format is a parameter of the request"
                if name in {"SETTINGS", "FORMAT"}
                else f"{name} is not allowed in a SELECT"
            )


def _check_source(node: exp.From | exp.Join) -> None:
    if node.args.get("kind") == "ARRAY":
        return
    source = node.this
    if isinstance(source, exp.Final):
        raise RefusedStatement("FINAL is not needed: a relation has one row a key already")
    if not isinstance(source, exp.Table | exp.Subquery):
        raise RefusedStatement(
            f"FROM {source.sql(dialect=_Dialect)} is not allowed: {_relations()}"
        )


def _check_table(table: exp.Table) -> None:
    if isinstance(table.this, exp.Func):
        raise RefusedStatement(f"table function {_function_name(table.this)}(): {_relations()}")
    written = table.sql(dialect=_Dialect).split(" AS ")[0].split(" FINAL")[0]
    if table.args.get("db") or table.args.get("catalog"):
        raise RefusedStatement(f"{written} is not a relation here: {_relations()}")
    if not _is_relation(table.name) and table.name not in _visible_ctes(table):
        raise RefusedStatement(f"{written} is not a relation here: {_relations()}")


def _check_cte(cte: exp.CTE) -> None:
    name = cte.alias
    if name in _RESERVED or name.startswith(_RESERVED_PREFIX):
        raise RefusedStatement(f"WITH {name}: this name is reserved, choose another")


def _check_in(node: exp.In) -> None:
    """Right of IN a bare name means a table, in brackets and parentheses too."""
    field = _table_of_in(node)
    if field is None:
        return
    is_known = _is_relation(field.name) or field.name in _visible_ctes(node)
    if field.args.get("table") or not is_known:
        raise RefusedStatement(
            f"IN {field.sql(dialect=_Dialect)} would read a table of that name: {_relations()}; "
            "for an array use has(array, value)"
        )


def _table_of_in(node: exp.In) -> exp.Column | None:
    """Return the name that stands right of IN, if one does."""
    field = node.args.get("field")
    if field is None and len(node.expressions) == 1:
        field = node.expressions[0]
    while isinstance(field, exp.Paren | exp.Tuple | exp.Array):
        inner = [field.this] if isinstance(field, exp.Paren) else field.expressions
        field = inner[0] if len(inner) == 1 else None
    return field if isinstance(field, exp.Column) else None


def _check_function(node: exp.Func) -> None:
    if isinstance(node, _SYNTAX_NODES):
        return
    name = _function_name(node)
    if not is_allowed(name):
        raise RefusedStatement(
            f"function {name}() is not allowed: functions that compute from their arguments are, "
            "such as aggregates, dates, strings, arrays, maps, mathematics and conversions"
        )


def _function_name(node: exp.Func) -> str:
    named = (exp.Anonymous, exp.AnonymousAggFunc, exp.ParameterizedAgg)
    return node.name or str(node.this) if isinstance(node, named) else node.sql_name()


def _visible_ctes(node: exp.Expr) -> Iterator[str]:
    """Yield the names that WITH clauses around the node define."""
    ancestor = node.parent
    while ancestor is not None:
        if (with_ := ancestor.args.get("with_")) is not None:
            yield from (cte.alias for cte in with_.expressions)
        ancestor = ancestor.parent


def _is_relation(name: str) -> bool:
    return name in RELATIONS or name in ADMIN_RELATIONS


def _relations() -> str:
    return f"the relations are {', '.join(RELATIONS)}"


def _plain(error: SqlglotError) -> str:
    """Return the parser's complaint without its terminal colours and without repeating the text."""
    details = getattr(error, "errors", None)
    if details:
        first = details[0]
        near = first.get("highlight") or "the end"
        what = _TOKEN.sub("", first["description"])
        return f"{what} at line {first['line']}, column {first['col']}, near {near}"
    return str(error).splitlines()[0]


_CHECKS: tuple[tuple[tuple[type[exp.Expr], ...], Callable[[Any], None]], ...] = (
    ((exp.Select,), _check_select),
    ((exp.SetOperation,), _check_set_operation),
    ((exp.Table,), _check_table),
    ((exp.From, exp.Join), _check_source),
    ((exp.CTE,), _check_cte),
    ((exp.In,), _check_in),
    ((exp.Func,), _check_function),
    ((exp.Group,), _refuse_totals),
    ((exp.TableSample,), _refuse_sample),
    ((exp.Placeholder, exp.Parameter, exp.SessionParameter), _refuse_parameter),
    ((exp.Command, exp.Into, exp.DDL, exp.DML, exp.Lateral), _refuse_other),
)
