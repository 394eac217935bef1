"""Evidence of a model of imputed sets: what each set shows, and what the sets show by differing.

The sums of two sets over the rows that have all values are equal, so that their difference is a sum over the rows that
lack one, weighed by how far apart the two values are that were filled in. So `missing(x)` is judged as a factor of the
design; the effective number of persons whose values differ between any two sets is judged as that of a weight is, and
so are the persons without a value over the number of independent differences.

What one set shows of a drawn column stands beside what the others show, under names that are the same at every site: a
masked plan asks about them before anybody has rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.imputation import width_of
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_by_place, persons_of
from sojourn.analysis.support import Cells, Design, Drawn, Support
from sojourn.analysis.variable import indicator
from sojourn.statistics.imputed_apart import Others, apart, effective, singles
from sojourn.statistics.meta import Model

Copy = Callable[[str, int], str]


def support_of(
    model: Model,
    columns: Sequence[str],
    names: Sequence[str],
    population: Population,
    sets: Sequence[Population],
    copy: Copy,
) -> Support:
    """The strictest of all sets. names: of all columns that draws are made from, on which every sum depends then.

    population: as it came, with rows that lack values of `columns`.
    """
    found = {k: model.support(completed) for k, completed in enumerate(sets, start=1)}
    first = found[1]
    if any(one.design is None for one in found.values()):
        raise ValueError("a model without a design")
    return replace(
        first,
        population=BitMap.union(*(one.population for one in found.values())),
        measures=tuple(names),
        cells=_cells(found, columns, copy),
        contributions=tuple(
            replace(sums, output=tuple(copy(name, k) for name in sums.output))
            for k, one in found.items()
            for sums in one.contributions
        ),
        squares=tuple(squares for one in found.values() for squares in one.squares),
        design=_design(model, columns, names, population, sets, [one.design for one in found.values() if one.design]),
        constant=tuple(sorted({name for one in found.values() for name in one.constant})),
    )


def _cells(found: Mapping[int, Support], columns: Sequence[str], copy: Copy) -> tuple[Cells, ...]:
    """Each set's; those that have no numbers of their own and are not of a drawn column stand once."""
    cells: list[Cells] = []
    for k, one in found.items():
        for table in one.cells:
            own = replace(table, output=tuple(copy(name, k) for name in table.output))
            drawn = any(_tells(name, columns) for name in table.dimensions)
            cells += [own] if drawn or own not in cells else []
    return tuple(cells)


def _design(
    model: Model,
    columns: Sequence[str],
    names: Sequence[str],
    population: Population,
    sets: Sequence[Population],
    designs: Sequence[Design],
) -> Design:
    first = designs[0]
    observed = {name: population.persons[~rows] for name, rows in population.absent.items() if name in columns}
    rows = min((len(persons) for persons in observed.values()), default=first.rows)
    drawn = _drawn(model, names, columns, population, sets, observed, first.persons)
    weights = [one.effective for one in designs] + [drawn.effective, drawn.lacking]
    numbers = _by_set([one.numbers for one in designs], columns)
    return replace(
        first,
        persons=min(drawn.persons, *(one.persons for one in designs)),
        rows=min(rows, *(one.rows for one in designs)),
        parameters=max(drawn.parameters, *(one.parameters for one in designs)),
        levels=_by_set([one.levels for one in designs], columns) | _missing(model, columns, population, sets, designs),
        events=_least([one.events for one in designs]),
        leverage=max(one.leverage for one in designs),
        effective=_least(weights),
        patterns=_least([one.patterns for one in designs]),
        clusters=_least([one.clusters for one in designs]),
        numbers=numbers,
        drawn=drawn,
    )


def _drawn(
    model: Model,
    names: Sequence[str],
    columns: Sequence[str],
    population: Population,
    sets: Sequence[Population],
    observed: Mapping[str, NDArray[np.uint32]],
    everybody: int,
) -> Drawn:
    # m sets tell of m - 1 independent differences: each has to rest on as many persons as a weight.
    absent = {name: population.absent[name] for name in observed}
    lacking = [len(persons_of(population.persons[rows])) / (len(sets) - 1) for rows in absent.values()]
    others = Others.of(model, columns, sets) if observed else None
    return Drawn(
        effective=_least([effective(sets[0].persons, apart(name, sets)) for name in observed]),
        lacking=_least(lacking),
        persons=min((len(persons_of(persons)) for persons in observed.values()), default=everybody),
        parameters=width_of(names, population.variables),
        share=max(others.share(chain([absent[name]], apart(name, sets))) for name in observed) if others else 0.0,
        levels=_least([others.fewest(apart(name, sets)) for name in observed]) if others else None,
    )


Number = TypeVar("Number", int, float)


def _least(numbers: Iterable[Number | None]) -> Number | None:
    return min((number for number in numbers if number is not None), default=None)


Told = TypeVar("Told")


def _by_set(sets: Sequence[Mapping[str, Told]], columns: Sequence[str]) -> dict[str, Told]:
    """What each set tells, by label; what is of no drawn column, and the same in all, stands once."""
    found = dict(sets[0])
    for k, own in enumerate(sets[1:], start=2):
        for label, told in own.items():
            if _tells(label, columns) or sets[0].get(label) != told:
                name = _of_set(label, columns, k)
                while name in found:  # a level may have any name
                    name += "*"
                found[name] = told
    return found


def _tells(label: str, columns: Sequence[str]) -> bool:
    """Whether it may be of one of these columns. A label that only looks so stands more often than needs be."""
    return any(name in label for name in columns)


def _of_set(label: str, columns: Sequence[str], k: int) -> str:
    """A level's, pair's or number's name in a set: each factor that is drawn is another one in each set."""
    parts = []
    for part in label.split(" & "):
        factor, sign, level = part.partition("=") if "=" in part else part.rpartition(" part ")
        if not sign:
            factor, level = part, ""
        parts.append(f"{factor} (set {k}){sign}{level}" if _tells(factor, columns) else part)
    return " & ".join(parts)


def _missing(
    model: Model,
    columns: Sequence[str],
    population: Population,
    sets: Sequence[Population],
    designs: Sequence[Design],
) -> dict[str, BitMap]:
    """Persons with and without a value, alone and with every level; with every pair where the model has products."""
    parts: dict[str, BitMap] = {}
    nobody = np.zeros(population.rows, dtype=bool)
    for name in columns:
        rows = population.absent.get(name, nobody)
        halves = persons_by_place(population.persons, rows.astype(np.int8), 2)
        parts |= {f"{indicator(name)}=False": halves[0], f"{indicator(name)}=True": halves[1]}
    levels = _by_set([singles(model, completed) for completed in sets], columns)
    formula = getattr(model, "formula", None)
    if formula is None or any(len(term.factors) > 1 for term in formula.terms):
        levels |= _by_set([one.levels for one in designs], columns)
    pairs = {f"{one} & {other}": parts[one] & parts[other] for one, other in combinations(parts, 2)}
    crossed = {f"{one} & {other}": parts[one] & persons for one in parts for other, persons in levels.items()}
    return parts | pairs | crossed
