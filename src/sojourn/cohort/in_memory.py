"""The slow, obvious reading of a `where`, one row at a time: the judge of the SQL."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sojourn.cohort.conditions import And, Between, Comparison, IsNull, Literal, Membership, Not, Or, Where

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def holds(tree: Where, row: Mapping[str, Literal | None]) -> bool | None:
    """Whether a row satisfies the condition; None is unknown. A value of None or NaN is null."""
    match tree:
        case Not(part):
            return _not(holds(part, row))
        case And(parts):
            words = [holds(part, row) for part in parts]
            return False if False in words else None if None in words else True
        case Or(parts):
            words = [holds(part, row) for part in parts]
            return True if True in words else None if None in words else False
    value = row[tree.column]
    missing = value is None or value != value
    if isinstance(tree, IsNull):
        return missing
    if missing:
        return None
    match tree:
        case Comparison(_, sign, literal):
            return _OPERATORS[sign](value, literal)
        case Membership(_, literals):
            return value in literals
        case Between(_, low, high):
            return bool(low <= value <= high)  # type: ignore[operator]


def _not(word: bool | None) -> bool | None:
    return None if word is None else not word
