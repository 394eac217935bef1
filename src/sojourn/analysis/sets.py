"""Sets of persons as compressed bitmaps."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.population import Population

Persons = NDArray[np.uint32]


def persons_of(persons: Persons) -> BitMap:
    """The distinct persons of some rows."""
    return BitMap(
        array("I", np.ascontiguousarray(persons, dtype=np.uint32).tobytes())
    )  # read as a whole, not one by one


def persons_by_place(persons: Persons, places: NDArray[np.generic], size: int) -> tuple[BitMap, ...]:
    """The distinct persons of each of `size` places; `places` is the place (0 .. size - 1) of each row."""
    order = np.argsort(places, kind="stable")
    ends = np.searchsorted(places[order], np.arange(size + 1))
    ordered = persons[order]
    return tuple(persons_of(ordered[start:end]) for start, end in pairwise(ends))


def largest_two(contributions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest and second largest of each column, (2, columns), of (persons, columns); 0 where there are fewer."""
    top = np.zeros((2, contributions.shape[1]))
    for position, column in enumerate(contributions.T):
        if len(column):
            first = int(column.argmax())
            top[0, position] = column[first]
            top[1, position] = max(column[:first].max(initial=0.0), column[first + 1 :].max(initial=0.0))
    return top


def constant(population: Population, columns: Iterable[str]) -> tuple[str, ...]:
    """Those columns that hold one value only in this population."""
    return tuple(name for name in columns if population.rows and np.ptp(population.column(name)) == 0)
