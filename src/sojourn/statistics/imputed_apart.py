"""How far apart the draws of two imputed sets are, and what other columns add to the difference of their sums.

Over rows i whose draws differ by d_i, sums with a column z differ by the sum of d_i z_i. Where z is 0 for all of them
but one, that is one person's, and with products of the drawn column and z it gives z itself and the person's outcome.
So each such sum is judged as one of values: by the share of the two who give most.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.matrix import Layout, levels_of, outcome
from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_by_place, persons_of
from sojourn.analysis.variable import SITE, Kind
from sojourn.statistics.design import two_valued
from sojourn.statistics.meta import Model

Vector = NDArray[np.float64]


def apart(name: str, sets: Sequence[Population]) -> Iterator[Vector]:
    """Of each two sets that differ how far apart a column's values are, (rows,); of a category level by level.

    One after the other: of 50 sets there are 1,225 pairs.
    """
    variable = sets[0].variables[name]
    levels = range(len(levels_of(variable))) if variable.kind is Kind.CATEGORY else (None,)
    for one, other in combinations([completed.column(name) for completed in sets], 2):
        for level in levels:
            sizes = np.abs(_numbers(one, level) - _numbers(other, level))
            if sizes.any():
                yield sizes


def effective(persons: NDArray[np.uint32], weights: Iterable[Vector]) -> float | None:
    """The smallest effective number of persons behind these weights of rows; None where there are none."""
    codes, least = np.unique(persons, return_inverse=True)[1], math.inf
    for of_row in weights:
        sizes = np.bincount(codes, weights=of_row)
        least = min(least, float(sizes.sum() ** 2 / (sizes @ sizes)))
    return least if math.isfinite(least) else None


@dataclass(frozen=True)
class Others:
    """What is not drawn, and stands beside a drawn column in the sums.

    columns: (rows, some), with 1 and the outcome. partners: (rows, some), 1 and what drawn columns are multiplied with.
    levels: persons of each level of these. prior: the weight of each row in the model.
    """

    persons: NDArray[np.uint32]
    columns: Vector
    partners: Vector
    levels: Mapping[str, BitMap]
    prior: Vector

    @classmethod
    def of(cls, model: Model, drawn: Sequence[str], sets: Sequence[Population]) -> Self:
        """ValueError of a model without a formula: nobody knows what its sums are of."""
        formula, one = getattr(model, "formula", None), sets[0]
        if formula is None:
            raise ValueError("a model without a formula")
        columns, partners, names = [np.ones(one.rows)], [np.ones(one.rows)], set()
        for pieces in Layout.of(formula, one.variables).columns:
            rest = [piece for piece in pieces if piece.factor.name not in drawn]
            if not rest:
                continue
            columns.append(np.prod([piece.values(one) for piece in rest], axis=0))
            if len(rest) < len(pieces):
                partners.append(columns[-1])
                names |= {piece.factor.name for piece in rest}
        columns += [] if formula.outcome.name in drawn else [outcome(formula, one)]
        weights = getattr(model, "weights", None)
        prior = np.ones(one.rows) if weights is None else one.numeric(weights)
        levels = singles(model, one, [name for name in model.variables() if name not in names])
        for place, column in enumerate(partners[1:]):
            if ((column == 0) | (column == 1)).all():  # a product of levels
                levels[f"partner {place}"] = persons_of(one.persons[column == 1])
        return cls(one.persons, np.stack(columns, axis=1), np.stack(partners, axis=1), levels, prior)

    def fewest(self, weights: Iterable[Vector]) -> int | None:
        """The fewest persons of a level who have such a weight, where somebody has; None where nobody has."""
        sizes = [
            size
            for of_row in (weights if self.levels else ())
            for who in [persons_of(self.persons[(of_row > 0) & (self.prior > 0)])]
            for level in self.levels.values()
            if (size := level.intersection_cardinality(who))
        ]
        return min(sizes, default=None)

    def share(self, weights: Iterable[NDArray[np.generic]]) -> float:
        """The largest share that two persons have of a sum over such a weight, a column and a partner."""
        codes, largest = np.unique(self.persons, return_inverse=True)[1], 0.0
        for of_row in weights:
            weight = of_row.astype(np.float64) * self.prior
            rows = np.flatnonzero(weight)
            columns, partners = _apart(self.columns[rows]), _apart(self.partners[rows])
            for partner in partners.T:
                largest = max(largest, _share((weight[rows] * partner)[:, None] * columns, codes[rows]))
        return largest


def _apart(columns: Vector) -> Vector:
    """1, and each other column's distances to its median: where most have one value, what it adds can be subtracted."""
    if not len(columns):
        return columns
    return np.column_stack([columns[:, :1], np.abs(columns[:, 1:] - np.median(columns[:, 1:], axis=0))])


def _share(sizes: Vector, codes: NDArray[np.intp]) -> float:
    """Of the persons with the two largest sums of each column, in the column where it is the largest."""
    people = np.unique(codes, return_inverse=True)[1]
    of_person = np.zeros((int(people.max(initial=-1)) + 1, sizes.shape[1]))
    np.add.at(of_person, people, sizes)
    totals = of_person.sum(axis=0)
    told = totals > 0
    return float((np.sort(of_person, axis=0)[-2:].sum(axis=0)[told] / totals[told]).max(initial=0.0))


def singles(model: Model, completed: Population, without: Sequence[str] = ()) -> dict[str, BitMap]:
    """The persons of each level of each column, and of each value of a number that has two."""
    found: dict[str, BitMap] = {}
    for name in model.variables():
        variable = completed.variables[name]
        if name == SITE or name in without:
            continue
        if variable.kind is not Kind.NUMBER:
            labels = levels_of(variable)
            sets = persons_by_place(completed.persons, completed.column(name), len(labels))
            found |= {f"{name}={label}": part for label, part in zip(labels, sets, strict=True)}
        elif (pair := two_valued(completed.numeric(name))) is not None:
            for word, value in zip(("lower", "upper"), pair, strict=True):
                found[f"{name}={word}"] = persons_of(completed.persons[completed.numeric(name) == value])
    return found


def _numbers(column: NDArray[np.generic], level: int | None) -> Vector:
    return (column if level is None else column == level).astype(np.float64)
