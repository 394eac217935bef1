"""A variable as plan and dictionary declare it: kind, levels, range. Never derived from data at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    group harms nobody; sensitive: levels whose near-certainty for a group does. merge: in a plan only, new levels, each
    with the declared ones that it takes the place of; `where` still names the declared ones.
    """

    kind: Kind
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    harmless: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    merge: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def level_of(self, declared: str) -> str:
        """The level that analyses see in the place of a declared one."""
        return next((level for level, parts in self.merge if declared in parts), declared)


Variables = Mapping[str, Variable]


def with_site(variables: Variables, roster: tuple[str, ...]) -> dict[str, Variable]:
    """The variables as analyses see them, and the reserved `site` column, whose levels are the sorted roster."""
    seen = {name: merged(variable) for name, variable in variables.items()}
    return {**seen, SITE: Variable(Kind.CATEGORY, levels=tuple(sorted(roster)), harmless=tuple(sorted(roster)))}


def merged(variable: Variable) -> Variable:
    """The variable with its merged levels in the place of the first of their parts.

    A merged level is harmless only if all its parts are, and sensitive if any of them is.
    """
    if not variable.merge:
        return variable
    levels = tuple(dict.fromkeys(map(variable.level_of, variable.levels)))
    harmful = {variable.level_of(level) for level in variable.levels if level not in variable.harmless}
    sensitive = {variable.level_of(level) for level in variable.sensitive}
    return replace(
        variable,
        levels=levels,
        harmless=tuple(level for level in levels if level not in harmful),
        sensitive=tuple(level for level in levels if level in sensitive),
        merge=(),
    )
