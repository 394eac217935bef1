"""What there is a joint test for: by a statistic's evidence of nobody, its rules, and the declared variables."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.analysis.support import Pairs, Support
from sojourn.analysis.variable import AREAS, SITE, Kind, Variables
from sojourn.disclosure.families.correlation import Correlation
from sojourn.disclosure.families.geography import Geography
from sojourn.disclosure.families.positions import USUAL
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused


def answerable(empty: Support, variables: Variables, rules: Sequence[str]) -> None:
    """DisclosureRefused where a rule has no joint test."""
    if not rules or not set(rules) <= _TESTED:
        raise DisclosureRefused("check failed")
    if empty.steps:
        raise DisclosureRefused("survival steps")
    if empty.risk_sets is not None:
        raise DisclosureRefused("risk sets")
    if empty.pairs is not None and (empty.design is None or _many_or_made(empty.pairs)):
        raise DisclosureRefused("correlation")  # a design's levels and persons are those of its pairs
    if any(q not in USUAL for one in empty.positions for q in one.fractions):
        raise DisclosureRefused("positions")  # others wait for a checker, and nobody checks a masked sum
    if any(SITE in cells.dimensions for cells in empty.cells):
        raise DisclosureRefused("minimum frequency")  # a site's own numbers never show
    if "class disclosure" in rules and _sensitive(empty, variables):
        raise DisclosureRefused("class disclosure")
    if not set(rules) & {"design support", "minimum frequency"}:
        raise DisclosureRefused("check failed")
    if "design support" in rules and empty.design is None:
        raise DisclosureRefused("check failed")
    if {"dominance", "p percent"} & set(rules) and not empty.contributions:
        raise DisclosureRefused("check failed")
    if "positions" in rules and not empty.positions:
        raise DisclosureRefused("check failed")


def _many_or_made(pairs: Pairs) -> bool:
    """Whether there are more pairs than leave by themselves, or columns that the plan made up."""
    return pairs.persons.size > Correlation.most_pairs or pairs.constructed > 0


def areas_of(empty: Support, variables: Variables) -> tuple[tuple[str, int], ...]:
    """DisclosureRefused where an area has fewer inhabitants than the product's own rules demand, or nobody says."""
    used = {*empty.measures, *(name for cells in empty.cells for name in cells.dimensions)}
    found = []
    for variable in (variables[name] for name in sorted(used & set(variables))):
        if variable.area or variable.populations:
            if variable.area not in AREAS or len(variable.populations) != len(variable.levels):
                raise DisclosureRefused("geography")
            found.append((variable.area, min(variable.populations, default=0)))
    if small_area(found, Parameters()):
        raise DisclosureRefused("geography")
    return tuple(found)


def summed_of(empty: Support, variables: Variables) -> tuple[str, ...]:
    """The columns whose values a statistic sums, in one order; what has levels is counted in sets of persons."""
    if empty.design is None and not empty.contributions:
        return ()
    groups = {name for cells in empty.cells for name in cells.dimensions}
    columns = set(empty.measures) - groups if empty.design is None else set(empty.measures)
    kinds = (Kind.NUMBER,) if empty.design is not None else tuple(Kind)
    return tuple(sorted(name for name in columns if name in variables and variables[name].kind in kinds))


def small_area(areas: Sequence[tuple[str, int]], parameters: Parameters) -> bool:
    """Whether an area has too few inhabitants by these rules: see `families.geography`."""
    least = Geography(parameters.zip3, parameters.custom_area).least
    return any(people < least[kind] for kind, people in areas)


def _sensitive(empty: Support, variables: Variables) -> bool:
    """Whether near-certainty of a level would harm: that is a share, which these tests do not know."""
    return any(variables[name].sensitive for cells in empty.cells for name in cells.dimensions)


_TESTED = frozenset(
    {
        "minimum frequency",
        "class disclosure",
        "correlation",
        "histogram",
        "dominance",
        "p percent",
        "residual freedom",
        "design support",
        "events",
        "parameters to observations",
        "positions",
        "text",
    }
)
