"""Evidence of a model of imputed sets: what each set shows, and what the sets show by differing.

The sums of two sets over the rows that have all values are equal, so that their difference is a sum over the rows that
lack one, weighed by how far apart the two values are that were filled in. So `missing(x)` is judged as a factor of the
design; the effective number of persons whose values differ between any two sets is judged as that of a weight is, and
so are the persons without a value over the number of independent differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.imputation import width_of
from sojourn.analysis.matrix import levels_of
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_by_place, persons_of
from sojourn.analysis.support import Cells, Design, Support
from sojourn.analysis.variable import SITE, Kind
from sojourn.statistics.design import two_valued
from sojourn.statistics.meta import Model

Copy = Callable[[str, int], str]


def support_of(
    model: Model, columns: Sequence[str], population: Population, sets: Sequence[Population], copy: Copy
) -> Support:
    """The strictest of all sets. population: as it came, with rows that lack values of `columns`."""
    found = {k: model.support(completed) for k, completed in enumerate(sets, start=1)}
    first = found[1]
    if any(one.design is None for one in found.values()):
        raise ValueError("a model without a design")
    return replace(
        first,
        population=BitMap.union(*(one.population for one in found.values())),
        cells=_cells(found, copy),
        contributions=tuple(
            replace(sums, output=tuple(copy(name, k) for name in sums.output))
            for k, one in found.items()
            for sums in one.contributions
        ),
        squares=tuple(squares for one in found.values() for squares in one.squares),
        design=_design(model, columns, population, sets, [one.design for one in found.values() if one.design]),
        constant=tuple(sorted({name for one in found.values() for name in one.constant})),
    )


def _cells(found: Mapping[int, Support], copy: Copy) -> tuple[Cells, ...]:
    """Each set's; those that have no numbers of their own and hold the same persons stand once."""
    cells: list[Cells] = []
    for k, one in found.items():
        for table in one.cells:
            own = replace(table, output=tuple(copy(name, k) for name in table.output))
            cells += [own] if own not in cells else []
    return tuple(cells)


def _design(
    model: Model, columns: Sequence[str], population: Population, sets: Sequence[Population], designs: Sequence[Design]
) -> Design:
    first = designs[0]
    observed = {name: population.persons[~rows] for name, rows in population.absent.items() if name in columns}
    fewest = min((len(persons_of(persons)) for persons in observed.values()), default=first.persons)
    rows = min((len(persons) for persons in observed.values()), default=first.rows)
    weights = [one.effective for one in designs if one.effective is not None]
    # m sets tell of m - 1 independent differences: each has to rest on as many persons as a weight.
    lacking = [len(persons_of(population.persons[population.absent[name]])) for name in observed]
    weights += [_effective(name, sets) for name in observed] + [number / (len(sets) - 1) for number in lacking]
    return replace(
        first,
        persons=min(fewest, *(one.persons for one in designs)),
        rows=min(rows, *(one.rows for one in designs)),
        parameters=max(width_of(model.variables(), population.variables), *(one.parameters for one in designs)),
        levels=_once([one.levels for one in designs]) | _missing(model, population, sets, designs, tuple(observed)),
        events=_least([one.events for one in designs]),
        leverage=max(one.leverage for one in designs),
        effective=min(weights, default=None),
        patterns=_least([one.patterns for one in designs]),
        clusters=_least([one.clusters for one in designs]),
    )


def _least(numbers: Sequence[int | None]) -> int | None:
    return min((number for number in numbers if number is not None), default=None)


def _once(sets: Sequence[Mapping[str, BitMap]]) -> dict[str, BitMap]:
    """Every set's levels; one that holds the same persons as in the first set stands once."""
    levels = dict(sets[0])
    for k, own in enumerate(sets[1:], start=2):
        levels |= {f"{label} (set {k})": persons for label, persons in own.items() if sets[0].get(label) != persons}
    return levels


def _missing(
    model: Model,
    population: Population,
    sets: Sequence[Population],
    designs: Sequence[Design],
    lacking: tuple[str, ...],
) -> dict[str, BitMap]:
    """Persons with and without a value, alone and with every level; with every pair where the model has products."""
    parts: dict[str, BitMap] = {}
    for name in lacking:
        halves = persons_by_place(population.persons, population.absent[name].astype(np.int8), 2)
        parts |= {f"missing({name})=False": halves[0], f"missing({name})=True": halves[1]}
    levels = _once([_singles(model, completed) for completed in sets])
    formula = getattr(model, "formula", None)
    if formula is None or any(len(term.factors) > 1 for term in formula.terms):
        levels |= _once([one.levels for one in designs])
    pairs = {f"{one} & {other}": parts[one] & parts[other] for one, other in combinations(parts, 2)}
    crossed = {f"{one} & {other}": parts[one] & persons for one in parts for other, persons in levels.items()}
    return parts | pairs | crossed


def _singles(model: Model, completed: Population) -> dict[str, BitMap]:
    """The persons of each level of each column, and of each value of a number that has two."""
    found: dict[str, BitMap] = {}
    for name in model.variables():
        variable = completed.variables[name]
        if name == SITE:
            continue
        if variable.kind is not Kind.NUMBER:
            labels = levels_of(variable)
            sets = persons_by_place(completed.persons, completed.column(name), len(labels))
            found |= {f"{name}={label}": part for label, part in zip(labels, sets, strict=True)}
        elif (pair := two_valued(completed.numeric(name))) is not None:
            for word, value in zip(("lower", "upper"), pair, strict=True):
                found[f"{name}={word}"] = persons_of(completed.persons[completed.numeric(name) == value])
    return found


def _effective(name: str, sets: Sequence[Population]) -> float:
    """The smallest effective number of persons behind the difference of two sets; infinite where no two differ."""
    variable, codes = sets[0].variables[name], np.unique(sets[0].persons, return_inverse=True)[1]
    levels = range(len(levels_of(variable))) if variable.kind is Kind.CATEGORY else (None,)
    least = np.inf
    for one, other in combinations([completed.column(name) for completed in sets], 2):
        for level in levels:
            apart = _numbers(one, level) - _numbers(other, level)
            sizes = np.bincount(codes, weights=np.abs(apart))
            if sizes.any():
                least = min(least, float(sizes.sum() ** 2 / (sizes @ sizes)))
    return float(least)


def _numbers(column: NDArray[np.generic], level: int | None) -> NDArray[np.float64]:
    return (column if level is None else column == level).astype(np.float64)
