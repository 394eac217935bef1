"""Sums of weighted values in the groups of one column, beside their moments; and what such sums show of a few.

The sums are of weight times the distance to the mean that the second trip broadcasts: values near 1e9 keep their
digits. A person whose weight is large stands for many: beside the persons of a group its effective number counts, which
is Kish's (sum w)^2 / sum w^2 over persons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Array
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Gathered
from sojourn.analysis.support import Contributions, Effective, Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import Kind
from sojourn.errors import SiteRefused
from sojourn.statistics.moments import Group, Moments, Shapes, largest_sums, summed

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Weighting:
    """Weights, themselves a column of the moments, of its other columns. prefix: of the table of groups."""

    weights: str
    moments: Moments
    prefix: str = "group"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are weighted."""
        return tuple(column for column in self.moments.columns if column != self.weights)

    @property
    def table(self) -> Table:
        """The groups."""
        return self.moments.tables[self.prefix]

    def shapes(self) -> Shapes:
        """What the second step gives besides."""
        return {self._name(column): self.table.shape for column in self.columns}

    def sums(self, population: Population, broadcast: Mapping[str, Array]) -> dict[str, Array]:
        """A site's part of it; SiteRefused("dictionary") where a weight is negative or no number."""
        w, places = self._of(population), self.table.places(population)
        found: dict[str, Array] = {}
        for column in self.columns:
            centre = broadcast[f"{self.prefix}_centre"][self.moments.columns.index(column)].ravel()[places]
            found[self._name(column)] = summed(w * (population.numeric(column) - centre), places, self.table)
        return found

    def evidence(self, support: Support, population: Population) -> Support:
        """With what the weighted sums show: the persons of each group and value, their shares, and how few they are.

        Of a yes or no, also what those give who say no: it is the sum of the weights less that of those who say yes.
        """
        w, places = self._of(population), self.table.places(population)
        contributions = [replace(one, output=self._with(one.output)) for one in support.contributions]
        for column in self.columns:
            values = population.numeric(column)
            parts = [values, 1 - values] if population.variables[column].kind is Kind.BOOLEAN else [values]
            for part in parts:
                sizes = largest_sums(w * part, places, population, self.table)
                contributions.append(Contributions((self._name(column),), *sizes))
        told = (f"{self.prefix}_sum.{self.weights}", *map(self._name, self.columns))
        cells = tuple(replace(one, output=self._with(one.output)) for one in support.cells)
        behind = Effective(told, self._effective(w, places, population))
        return replace(support, cells=cells, contributions=tuple(contributions), effective=(behind,))

    def means(self, sums: Gathered, squares: Gathered, column: str) -> list[float | None]:
        """Of each group how far the weighted mean is above the centre; None where a site hides that."""
        name, total = self._name(column), f"{self.prefix}_sum.{self.weights}"
        hidden = (squares.total.hidden(name) | sums.total.hidden(total)).ravel()
        pairs = zip(squares.total[name].ravel().tolist(), sums.total[total].ravel().tolist(), strict=True)
        return [None if gone or not w > 0 else above / w for (above, w), gone in zip(pairs, hidden, strict=True)]

    def _of(self, population: Population) -> Vector:
        w = population.numeric(self.weights)
        if not np.isfinite(w).all() or (w < 0).any():
            raise SiteRefused("dictionary")
        return w

    def _effective(self, w: Vector, places: NDArray[np.int64], population: Population) -> Vector:
        """Of each group; of one without weights 0."""
        codes = np.unique(population.persons, return_inverse=True)[1]
        width = int(codes.max()) + 1 if len(codes) else 1
        of_person = np.bincount(places * width + codes, weights=w, minlength=self.table.size * width)
        of_person = of_person.reshape(self.table.size, -1)
        squares = (of_person**2).sum(axis=1)
        found = np.divide(of_person.sum(axis=1) ** 2, squares, out=np.zeros(self.table.size), where=squares > 0)
        return np.asarray(found).reshape(self.table.shape)

    def _name(self, column: str) -> str:
        return f"{self.prefix}_weighted.{column}"

    def _with(self, output: tuple[str, ...]) -> tuple[str, ...]:
        """The arrays with the weighted ones that tell as much: of the weights themselves, all."""
        told = [column for column in self.columns if f"{self.prefix}_sum.{column}" in output]
        if f"{self.prefix}_sum.{self.weights}" in output:
            told = list(self.columns)
        return (*output, *map(self._name, told))


def effective_rows(weights: Group | None) -> float | None:
    """Kish's effective number of rows of a group, from the moments of its weights; None where these are not shown."""
    if weights is None or weights.squares is None or weights.mean is None:
        return None
    squares = weights.squares + weights.n * weights.mean**2
    return (weights.n * weights.mean) ** 2 / squares if squares > 0 else None
