"""A variable as plan and dictionary declare it: kind, levels, range. Never derived from data at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

SITE = "site"  # reserved: always there, its levels are the roster
AREAS = ("zip3", "custom")  # kinds of areas: the first three digits of a US postcode, and areas of a site's own making


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
    group harms nobody; sensitive: levels whose near-certainty for a group does. never: (own level, other variable, its
    level) that cannot occur together, structural zeros. area: of levels that are areas, their kind, one of `AREAS`;
    populations: how many people live in each, in the order of the levels.
    """

    kind: Kind
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    harmless: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    never: tuple[tuple[str, str, str], ...] = ()
    area: str = ""
    populations: tuple[int, ...] = ()


Variables = Mapping[str, Variable]


def with_site(variables: Variables, roster: tuple[str, ...]) -> dict[str, Variable]:
    """The variables and the reserved `site` column, whose levels are the sorted roster."""
    return {**variables, SITE: Variable(Kind.CATEGORY, levels=tuple(sorted(roster)), harmless=tuple(sorted(roster)))}
