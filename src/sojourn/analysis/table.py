"""Cross-classification of rows by variables with declared levels."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.population import Population
from sojourn.analysis.sets import persons_by_place
from sojourn.analysis.variable import Kind, Variable, Variables

Label = str | bool


@dataclass(frozen=True)
class Table:
    """The cells of one or more dimensions in C order; without dimensions one cell.

    dimensions: variables, categories or booleans. labels: the declared levels of each, False and True for a boolean.
    """

    dimensions: tuple[str, ...]
    labels: tuple[tuple[Label, ...], ...]

    @classmethod
    def of(cls, dimensions: tuple[str, ...], variables: Variables) -> Table:
        """The table of these variables' declared levels."""
        return cls(dimensions, tuple(labels(variables[name]) for name in dimensions))

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells along each dimension; (1,) without dimensions."""
        return tuple(len(levels) for levels in self.labels) or (1,)

    @property
    def size(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    def index(self) -> list[tuple[Label, ...]]:
        """The labels of each cell."""
        return list(itertools.product(*self.labels))

    def empty(self, variables: Variables) -> tuple[int, ...]:
        """The cells, in C order, that the declarations say cannot hold anybody."""
        axes = {name: axis for axis, name in enumerate(self.dimensions)}
        mask = np.zeros(self.shape, dtype=bool)
        for name, axis in axes.items():
            for level, other, its in variables[name].never:
                if other in axes and other != name and its in self.labels[axes[other]]:
                    place: list[int | slice] = [slice(None)] * len(axes)
                    place[axis] = self.labels[axis].index(level)
                    place[axes[other]] = self.labels[axes[other]].index(its)
                    mask[tuple(place)] = True
        return tuple(np.flatnonzero(mask).tolist())

    def places(self, population: Population) -> NDArray[np.int64]:
        """The cell of each row."""
        if not self.dimensions:
            return np.zeros(population.rows, dtype=np.int64)
        codes = tuple(population.column(name).astype(np.int64) for name in self.dimensions)
        return np.asarray(np.ravel_multi_index(codes, self.shape), dtype=np.int64)

    def persons(self, population: Population) -> tuple[BitMap, ...]:
        """The distinct persons of each cell."""
        return persons_by_place(population.persons, self.places(population), self.size)


def labels(variable: Variable) -> tuple[Label, ...]:
    """The levels of a category or boolean; a number has none."""
    if variable.kind is Kind.NUMBER:
        raise TypeError("a number has no levels")
    return (False, True) if variable.kind is Kind.BOOLEAN else variable.levels
