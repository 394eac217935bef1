"""A standard: one declared number for each stratum, in a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.table import Table
from sojourn.analysis.variable import Variables
from sojourn.errors import PlanError
from sojourn.statistics.argument import NAME

MOST_STRATA = 1_000
LABEL: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
Standard = tuple[tuple[tuple[str, ...], float], ...]


def schema(value: str) -> dict[str, Any]:
    """JSON Schema of a list of `{"stratum": [levels], value: number}`."""
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "stratum": {"type": "array", "items": LABEL, "minItems": 1, "maxItems": 2},
                value: {"type": "number"},
            },
            "required": ["stratum", value],
            "additionalProperties": False,
        },
        "minItems": 1,
        "maxItems": MOST_STRATA,
    }


def strata_of(most: int) -> dict[str, Any]:
    """JSON Schema of the columns that span the strata."""
    return {"type": "array", "items": NAME, "minItems": 1, "maxItems": most, "uniqueItems": True}


def read(items: Sequence[Mapping[str, Any]], value: str, field: str) -> Standard:
    """From arguments that fit the schema; PlanError where a number is below zero, or a stratum is there twice."""
    found = {tuple(item["stratum"]): float(item[value]) for item in items}
    if len(found) < len(items):
        raise PlanError("A stratum is there twice.", remedy="Give each stratum once.", field=field)
    if not all(math.isfinite(number) and number >= 0 for number in found.values()) or not sum(found.values()) > 0:
        remedy = "Give a number of zero or more for each stratum, not all of them zero."
        raise PlanError("This is no standard.", remedy=remedy, field=field)
    return tuple(sorted(found.items()))


def written(standard: Standard, value: str) -> list[dict[str, Any]]:
    """As it stands in a plan."""
    return [{"stratum": list(levels), value: number} for levels, number in standard]


def numbers(standard: Standard, strata: tuple[str, ...], variables: Variables, field: str) -> NDArray[np.float64]:
    """The number of each stratum in the order of their declared levels; PlanError unless all are there and no other."""
    given, declared = dict(standard), [tuple(map(str, labels)) for labels in Table.of(strata, variables).index()]
    if other := sorted(set(given) ^ set(declared)):
        said = ", ".join(other[0])
        missing = other[0] in declared
        remedy = f"Give a number for `{said}`." if missing else "Leave it out, or declare its levels in the plan."
        word = "is missing" if missing else "is not declared"
        raise PlanError(f"The stratum `{said[:80]}` {word}.", remedy=remedy, field=field)
    return np.array([given[labels] for labels in declared])


def items(standard: Any, value: str) -> Any:
    """A mapping of levels (one, or a tuple) to numbers as a plan has it; anything else goes on to the check."""
    if not isinstance(standard, Mapping):
        return standard
    return [
        {"stratum": list(map(str, levels)) if isinstance(levels, tuple) else [str(levels)], value: _plain(number)}
        for levels, number in standard.items()
    ]


def _plain(number: Any) -> Any:
    return number.item() if hasattr(number, "item") else number
