"""What may be offered to an analyst whose analysis did not pass, or not wholly.

Laws. An offer is a pure function of what the analyst has already: the plan, the published dictionaries, which cells
were hidden at which site, and the families of refusals. No count enters, so an offer tells nothing; whether it passes
is judged by each site when it is asked. An offer never contradicts what was released: of the cells that a site released
and that the change would join, it must have hidden none or at least two, else the hidden one would be the new number
less those that are known:

    joined cell = sum of its parts;  hidden parts at each site = 0, or >= 2

What is shown then tells the sum of hidden cells that stand together, and no more; where that is too few persons as
well, the site hides it again. Source: the redesign of tables and the audit of linked tables in Hundepool et al.,
Statistical Disclosure Control (2012), chapter 4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.formula import parse
from sojourn.analysis.terms import Category, Column, Formula, Term
from sojourn.analysis.variable import SITE, Kind, Variables
from sojourn.disclosure.change import Change, Coarsen, Drop, LeaveOut, Merge, Offer, Restrict
from sojourn.disclosure.rehearsal import HELD

Mask = NDArray[np.bool_]
MOST_OFFERS = 8  # of one analysis
LONGEST_LEVEL = 80
SPANNED_BY = {"crosstab": "columns", "mantel_haenszel": "strata"}  # the word for a table's dimensions, elsewhere `by`
TABLES = ("anova", "at_least", "count", "crosstab", "describe", "incidence", "mantel_haenszel", "prevalence", "trend")
_NOT_BY_FORM = ("output schema", "check failed")  # families that no change of the question helps
_NOT_OF_MODELS = {"minimum frequency", "differencing"}  # it is the population, whatever the model's form
_OF_SUMS = {"dominance", "p percent"}  # one person is most of a sum, so of a number, over everybody or over a level
_OF_DESIGN = {"design support", "class disclosure", "parameters to observations", "residual freedom", "events", HELD}


@dataclass(frozen=True)
class Asked:
    """One analysis as its analyst knows it.

    arguments: as in the plan. hidden: for each site and released array of a table, by any key, which cells were hidden.
    refused: for each site that did not release by a disclosure rule, the rule's family. contributed: the sites that
    released. enough: the plan's smallest number of sites.
    """

    name: str
    kind: str
    arguments: Mapping[str, Any]
    hidden: Mapping[str, Mask] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    contributed: tuple[str, ...] = ()
    enough: int = 1

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The columns that span its table; none for a histogram or model."""
        named = self.arguments.get(SPANNED_BY.get(self.kind, "by"), ())
        return (named,) if isinstance(named, str) else tuple(named or ())

    @property
    def suppressed(self) -> bool:
        """Whether any site hid a cell."""
        return any(mask.any() for mask in self.hidden.values())


def offers(asked: Asked, variables: Variables, study: Sequence[Asked] = ()) -> tuple[Offer, ...]:
    """What may pass in the place of an analysis, what changes least first; empty where there is nothing to mend.

    variables: the plan's declarations as analyses see them, with `site`. study: all analyses of the same study, whose
    tables say which levels are rare.
    """
    if (not asked.suppressed and not asked.refused) or set(asked.refused.values()) & set(_NOT_BY_FORM):
        return ()
    changes: list[Change] = []
    if asked.kind in TABLES and not asked.arguments.get("scores"):  # which are of the levels as they are
        changes += _of_table(asked, variables)
    elif asked.kind == "histogram":
        changes += _of_histogram(asked)
    elif "formula" in asked.arguments:
        changes += _of_model(asked, variables, study)
    if asked.refused and 2 <= len(asked.contributed) < asked.enough:
        changes.append(Restrict(asked.contributed))
    return tuple(Offer(asked.name, change) for change in list(dict.fromkeys(changes))[:MOST_OFFERS])


def keeps_hidden(masks: Mapping[str, Mask], axis: int, groups: Sequence[Sequence[int]]) -> bool:
    """Whether joining these places of an axis gives nothing away: at no site a joined cell has one hidden part."""
    return all(
        bool((mask.take(list(group), axis=axis).sum(axis=axis) != 1).all())
        for mask in masks.values()
        for group in groups
        if len(group) > 1
    )


# ---- tables


def _of_table(asked: Asked, variables: Variables) -> Iterator[Change]:
    for axis, column in enumerate(asked.dimensions):
        for levels in _joined(asked, axis, column, variables):
            yield merge(column, levels, variables)
    if len(asked.dimensions) > 1:
        for axis, column in enumerate(asked.dimensions):
            if keeps_hidden(asked.hidden, axis, [range(_size(column, variables))]):
                yield Drop(column)


def _joined(asked: Asked, axis: int, column: str, variables: Variables) -> Iterator[tuple[str, ...]]:
    """Sets of levels whose cells are hidden together; then all levels with hidden cells, where that is safe too."""
    levels = _levels(column, variables)
    alike: dict[tuple[bytes, ...], list[int]] = {}
    for place in range(len(levels)):
        signs = tuple(mask.take(place, axis=axis).tobytes() for _, mask in sorted(asked.hidden.items()))
        if any(mask.take(place, axis=axis).any() for mask in asked.hidden.values()):
            alike.setdefault(signs, []).append(place)
    groups = sorted(alike.values(), key=len)
    everything = sorted(place for group in groups for place in group)
    for group in [*groups, everything]:
        if 2 <= len(group) < len(levels) and keeps_hidden(asked.hidden, axis, [group]):
            yield tuple(levels[place] for place in group)


def merge(column: str, levels: Sequence[str], variables: Variables) -> Merge:
    """The merge of these levels, under a name that no other level has."""
    others = set(_levels(column, variables)) - set(levels)
    joined = " or ".join(levels)
    names = [joined] if len(joined) <= LONGEST_LEVEL and len(levels) <= 3 else []
    names += ["other", *(f"other {number}" for number in range(2, len(others) + 3))]
    return Merge(column, tuple(levels), next(name for name in names if name not in others))


def _levels(column: str, variables: Variables) -> tuple[str, ...]:
    """The levels that may be merged: those of a category but `site`."""
    variable = variables.get(column)
    return () if variable is None or column == SITE or variable.kind is not Kind.CATEGORY else variable.levels


def _size(column: str, variables: Variables) -> int:
    return 2 if variables[column].kind is Kind.BOOLEAN else len(variables[column].levels)


# ---- histograms


def _of_histogram(asked: Asked) -> Iterator[Change]:
    edges = tuple(float(edge) for edge in asked.arguments["edges"])
    bins = len(edges) + 1  # with the open one at either end
    hidden = [place for place in range(bins) if any(mask[place] for mask in asked.hidden.values())]
    grids = [_grouped(_runs(hidden), bins), _grouped(_pairs(hidden), bins), _halved(bins)]
    for groups in grids:
        kept = tuple(edges[group[-1]] for group in groups[:-1])
        helps = not hidden or any(len(group) > 1 and set(group) & set(hidden) for group in groups)
        if helps and 2 <= len(kept) < len(edges) and keeps_hidden(asked.hidden, 0, groups):
            yield Coarsen(kept)


def _runs(hidden: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of hidden bins that lie beside each other; one alone stays as it is."""
    starts = [place for place in hidden if place - 1 not in hidden]
    ends = [place for place in hidden if place + 1 not in hidden]
    return [(low, high) for low, high in zip(starts, ends, strict=True) if low < high]


def _pairs(hidden: Sequence[int]) -> list[tuple[int, int]]:
    """From one hidden bin to the next, and so on; one that is left over stays as it is."""
    return [(hidden[place], hidden[place + 1]) for place in range(0, len(hidden) - 1, 2)]


def _grouped(spans: Sequence[tuple[int, int]], bins: int) -> list[list[int]]:
    """All bins, with those of each span joined."""
    inside = {place: low for low, high in spans for place in range(low, high + 1)}
    groups: dict[int, list[int]] = {}
    for place in range(bins):
        groups.setdefault(inside.get(place, place), []).append(place)
    return list(groups.values())


def _halved(bins: int) -> list[list[int]]:
    """Every second edge goes; the outermost two stay."""
    inner = list(range(1, bins - 1))
    return [[0], *(inner[i : i + 2] for i in range(0, len(inner), 2)), [bins - 1]]


# ---- models


def _of_model(asked: Asked, variables: Variables, study: Sequence[Asked]) -> Iterator[Change]:
    families = set(asked.refused.values())
    if families <= _NOT_OF_MODELS:
        return
    formula = parse(str(asked.arguments["formula"]))
    # Of the outcome's own sum no other form helps; of a number's, also over a level, it goes first.
    sums_only = families <= _OF_SUMS | _NOT_OF_MODELS
    interactions = tuple(term.render() for term in formula.terms if len(term.factors) > 1)
    if interactions and not sums_only:
        yield LeaveOut(interactions)
    if families & _OF_DESIGN:
        yield from _merged_factors(formula, variables, study)
    mains = [term for term in formula.terms if len(term.factors) == 1]
    for term in sorted(mains, key=lambda term: _is_category(term, variables) == sums_only):
        gone = tuple(other.render() for other in formula.terms if set(term.factors) <= set(other.factors))
        if len(gone) < len(formula.terms):
            yield LeaveOut(gone)


def _merged_factors(formula: Formula, variables: Variables, study: Sequence[Asked]) -> Iterator[Change]:
    """For each factor the levels that tables of the study hid; then all but its reference level."""
    tables = [asked for asked in study if asked.suppressed]
    for factor in dict.fromkeys(factor for term in formula.terms for factor in term.factors):
        if not isinstance(factor, Category | Column):
            continue
        levels = _levels(factor.name, variables)
        if not levels:
            continue
        reference = (factor.reference if isinstance(factor, Category) else None) or next(iter(levels), "")
        rare = _rare(factor.name, variables, tables)
        rest = tuple(level for level in levels if level != reference)
        for group in (rare, rest):
            if 2 <= len(group) < len(levels) and _agrees(factor.name, group, variables, tables):
                yield merge(factor.name, group, variables)


def _rare(column: str, variables: Variables, tables: Sequence[Asked]) -> tuple[str, ...]:
    """The levels of a column of which the study's tables hid a cell."""
    if not (levels := _levels(column, variables)):
        return ()
    hidden: set[str] = set()
    for axis, asked in ((asked.dimensions.index(column), asked) for asked in tables if column in asked.dimensions):
        for mask in asked.hidden.values():
            others = tuple(other for other in range(mask.ndim) if other != axis)
            hidden |= {levels[place] for place in np.flatnonzero(mask.any(axis=others))}
    return tuple(level for level in levels if level in hidden)


def _agrees(column: str, group: Sequence[str], variables: Variables, tables: Sequence[Asked]) -> bool:
    """Whether joining these levels gives away no hidden cell of the study's tables."""
    places = [place for place, level in enumerate(variables[column].levels) if level in group]
    spanned = [asked for asked in tables if column in asked.dimensions]
    return all(keeps_hidden(asked.hidden, asked.dimensions.index(column), [places]) for asked in spanned)


def _is_category(term: Term, variables: Variables) -> bool:
    variable = variables.get(term.factors[0].name)
    return variable is not None and variable.kind is not Kind.NUMBER
