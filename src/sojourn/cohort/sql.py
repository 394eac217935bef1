"""A `where` as an Ibis expression. Building it is pure: no connection, and no text of SQL is put together here."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sojourn.analysis.variable import Kind, Variables
from sojourn.cohort.conditions import And, Between, Comparison, IsNull, Membership, Not, Or, Where
from sojourn.errors import SiteRefused

if TYPE_CHECKING:
    import ibis.expr.types as ir

_OPERATORS: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def condition(tree: Where, table: ir.Table, variables: Variables) -> ir.BooleanValue:
    """The condition on the table's rows, three-valued; NaN counts as null.

    A column that the table lacks, or whose type cannot hold the declared kind, raises SiteRefused("dictionary").
    """
    match tree:
        case Not(part):
            return ~condition(part, table, variables)
        case And(parts):
            return functools.reduce(operator.and_, [condition(part, table, variables) for part in parts])
        case Or(parts):
            return functools.reduce(operator.or_, [condition(part, table, variables) for part in parts])
    column = typed(table, tree.column, variables)
    match tree:
        case IsNull():
            return column.isnull()
        case Comparison(_, sign, value):
            return _OPERATORS[sign](column, value)
        case Membership(_, values):
            return column.isin(values)
        case Between(_, low, high):
            return column.between(low, high)


def typed(table: ir.Table, name: str, variables: Variables) -> Any:
    """A column as its declared kind: float64 with NaN as null, boolean or string."""
    if name not in variables or name not in table.columns:
        raise SiteRefused("dictionary")
    column, kind = table[name], variables[name].kind
    stored = column.type()
    if kind is Kind.NUMBER and stored.is_numeric() and not stored.is_boolean():
        number = column.cast("float64")
        return number.isnan().ifelse(None, number) if stored.is_floating() else number
    if kind is Kind.BOOLEAN and (stored.is_boolean() or stored.is_integer()):
        return column.cast("boolean")
    if kind is Kind.CATEGORY and (stored.is_string() or stored.is_integer()):
        return column.cast("string")
    raise SiteRefused("dictionary")
