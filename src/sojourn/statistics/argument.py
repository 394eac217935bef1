"""What the arguments of statistics have in common: column names, dimensions, and errors that name field and remedy."""

from __future__ import annotations

import math
from typing import Any

from sojourn.analysis.matrix import declared
from sojourn.analysis.variable import Kind, Variables
from sojourn.errors import PlanError

MOST_DIMENSIONS = 3
MOST_CELLS = 10_000
NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 80}


def names(least: int, most: int) -> dict[str, Any]:
    """JSON Schema of a list of column names."""
    return {"type": "array", "items": NAME, "minItems": least, "maxItems": most, "uniqueItems": True}


def check_dimensions(columns: tuple[str, ...], variables: Variables, field: str) -> None:
    """Dimensions are distinct categories or booleans with declared levels, and not too many cells."""
    if len(set(columns)) != len(columns):
        raise PlanError("A column is there twice.", remedy="Name each column once.", field=field)
    cells = []
    for name in columns:
        variable = declared(name, variables, field)
        if variable.kind is Kind.NUMBER:
            remedy = "Use `histogram` or `describe`, or a category made from it."
            raise PlanError(f"`{name}` is a number and has no levels.", remedy=remedy, field=field)
        if variable.kind is Kind.CATEGORY and not variable.levels:
            remedy = "Declare its levels in the plan, or ask the custodian to declare them in the dictionary."
            raise PlanError(f"`{name}` has no declared levels.", remedy=remedy, field=field)
        cells.append(2 if variable.kind is Kind.BOOLEAN else len(variable.levels))
    if math.prod(cells) > MOST_CELLS:
        remedy = "Leave out a dimension, or use a column with fewer levels."
        raise PlanError(f"The table has more than {MOST_CELLS} cells.", remedy=remedy, field=field)


def check_number(name: str, variables: Variables, field: str, *, booleans: bool = True) -> None:
    """The column is a number, or where allowed a boolean."""
    kind = declared(name, variables, field).kind
    if kind is Kind.CATEGORY:
        remedy = "Use `count` or `crosstab` for categories."
        raise PlanError(f"`{name}` is a category and has no mean.", remedy=remedy, field=field)
    if kind is Kind.BOOLEAN and not booleans:
        raise PlanError(f"`{name}` is a boolean, not a number.", remedy="Use `count` for booleans.", field=field)


def unpack(names: str | list[str] | None) -> tuple[str, ...]:
    """One name, a list of names or None as a tuple."""
    if names is None:
        return ()
    return (names,) if isinstance(names, str) else tuple(names)
