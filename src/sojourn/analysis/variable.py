"""A variable as plan and dictionary declare it: kind, levels, range. Never derived from data at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

SITE = "site"  # reserved: always there, its levels are the roster


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"


@dataclass(frozen=True)
class Variable:
    """One column's declaration.

    kind: what it holds. levels: all permitted values of a category, in their order (the first is the reference).
    low, high: inclusive bounds of a number, None where not declared. harmless: levels whose disclosure for a whole
    group harms nobody; sensitive: levels whose near-certainty for a group does.
    """

    kind: Kind
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    harmless: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()


Variables = Mapping[str, Variable]


def with_site(variables: Variables, roster: tuple[str, ...]) -> dict[str, Variable]:
    """The variables and the reserved `site` column, whose levels are the sorted roster."""
    return {**variables, SITE: Variable(Kind.CATEGORY, levels=tuple(sorted(roster)), harmless=tuple(sorted(roster)))}
