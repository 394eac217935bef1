"""A variable as plan and dictionary declare it: kind, levels, range. Never derived from data at run time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from sojourn.errors import PlanError

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
    populations: how many people live in each, in the order of the levels. merge: in a plan only, new levels, each with
    the declared ones that it takes the place of; `where` still names the declared ones.
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
    merge: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", Kind(self.kind))  # a plan in Python may say it as a text
        except ValueError as error:
            kinds = ", ".join(kind.value for kind in Kind)
            message = f"`{str(self.kind)[:40]}` is no kind of variable."
            raise PlanError(message, remedy=f"Write one of: {kinds}.", field="kind") from error

    def level_of(self, declared: str) -> str:
        """The level that analyses see in the place of a declared one."""
        return next((level for level, parts in self.merge if declared in parts), declared)


Variables = Mapping[str, Variable]


def indicator(name: str) -> str:
    """The column that says which rows lack a value of another, where a model has one."""
    return f"missing({name})"


def is_of_indicator(level: str) -> bool:
    """Whether the label of a level, `column=value`, is one of such a column."""
    return level.startswith("missing(")


def with_site(variables: Variables, roster: tuple[str, ...]) -> dict[str, Variable]:
    """The variables as analyses see them, and the reserved `site` column, whose levels are the sorted roster."""
    seen = {name: merged(variable) for name, variable in variables.items()}
    for name, variable in seen.items():
        if variable.never:
            seen[name] = replace(variable, never=tuple(pair for pair in variable.never if _there(pair, variable, seen)))
    return {**seen, SITE: Variable(Kind.CATEGORY, levels=tuple(sorted(roster)), harmless=tuple(sorted(roster)))}


def merged(variable: Variable) -> Variable:
    """The variable with its merged levels in the place of the first of their parts.

    A merged level is harmless only if all its parts are, and sensitive if any of them is; a merged area has the people
    of all its parts; of what cannot occur together nothing is said of merged levels.
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
        populations=_populations(variable, levels),
        merge=(),
    )


def _populations(variable: Variable, levels: tuple[str, ...]) -> tuple[int, ...]:
    if not variable.populations:
        return ()
    people = dict.fromkeys(levels, 0)
    for level, count in zip(variable.levels, variable.populations, strict=True):
        people[variable.level_of(level)] += count
    return tuple(people.values())


def _there(pair: tuple[str, str, str], variable: Variable, variables: Variables) -> bool:
    """Whether both levels of a structural zero are there, unmerged."""
    level, other, of_other = pair
    return level in variable.levels and (other not in variables or of_other in variables[other].levels)
