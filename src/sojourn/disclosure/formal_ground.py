"""What forms of formal privacy are made of: vectors of whole numbers, public facts, cells of a site's dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Array
from sojourn.analysis.table import Table, labels
from sojourn.analysis.variable import SITE, Variables
from sojourn.disclosure.budget import EPSILON
from sojourn.disclosure.mechanisms import Whole


@dataclass(frozen=True)
class Vector:
    """Whole numbers that are noised alike.

    l1, l2: the most that one person changes them by, in the sum of absolute values and in length. unit: what one
    stands for.
    """

    name: str
    values: Whole
    l1: int
    l2: float
    unit: float = 1.0

    def sensitivity(self, unit: str) -> float:
        """How much one person changes it, as the mechanism of this unit of loss measures it."""
        return self.l1 if unit == EPSILON else self.l2


@dataclass(frozen=True)
class Ground:
    """What a form may know: public facts, and never a record.

    variables: the plan's, with `site`. declared: the dictionary's. rows: the most rows of one person.
    """

    site: str
    variables: Variables
    declared: Variables
    rows: int


class Grid:
    """The cells of a table that this site's dictionary allows; all others are empty whatever the data are."""

    def __init__(self, dimensions: tuple[str, ...], ground: Ground) -> None:
        table = Table.of(dimensions, ground.variables)
        self.shape, self.whole = table.shape, table.size
        kept = sorted(range(len(dimensions)), key=lambda axis: (dimensions[axis] == SITE, dimensions[axis]))
        places = []
        for axis in kept:
            name, all_levels = dimensions[axis], table.labels[axis]
            own = (ground.site,) if name == SITE else labels(ground.declared[name])
            places.append([all_levels.index(level) for level in own])
        self.dimensions = tuple(dimensions[axis] for axis in kept if dimensions[axis] != SITE)
        numbered = np.arange(self.whole).reshape(self.shape)
        if dimensions:
            numbered = numbered.transpose(kept)[np.ix_(*places)]
        self._index = numbered.ravel()

    @property
    def size(self) -> int:
        """Cells that the dictionary allows."""
        return len(self._index)

    def take(self, array: Array, inner: tuple[int, ...] = ()) -> NDArray[Any]:
        """The allowed cells, in one order whatever the order of dimensions and the plan's further levels.

        inner: the shape of what stands in each cell, where it is more than a number.
        """
        return np.asarray(array).reshape(self.whole, *inner)[self._index]

    def put(self, cells: NDArray[Any]) -> NDArray[Any]:
        """The plan's whole table, zero where this site has no cell; cells: (cells, whatever stands in each)."""
        table = np.zeros((self.whole, *cells.shape[1:]), dtype=cells.dtype)
        table[self._index] = cells
        return table.reshape(*self.shape, *cells.shape[1:])
