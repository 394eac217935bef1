"""Sets of persons as compressed bitmaps."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.population import Population

Persons = NDArray[np.uint32]


def persons_of(persons: Persons) -> BitMap:
    """The distinct persons of some rows."""
    return BitMap(persons)


def persons_by_place(persons: Persons, places: NDArray[np.generic], size: int) -> tuple[BitMap, ...]:
    """The distinct persons of each of `size` places; `places` is the place (0 .. size - 1) of each row."""
    order = np.argsort(places, kind="stable")
    ends = np.searchsorted(places[order], np.arange(size + 1))
    ordered = persons[order]
    return tuple(BitMap(ordered[start:end]) for start, end in pairwise(ends))


def largest_two(contributions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest and second largest of each column, (2, columns), of (persons, columns); 0 where there are fewer."""
    top = np.zeros((2, contributions.shape[1]))
    count = min(2, len(contributions))
    if count:
        top[:count] = np.sort(np.partition(contributions, len(contributions) - count, axis=0)[-count:], axis=0)[::-1]
    return top


def constant(population: Population, columns: Iterable[str]) -> tuple[str, ...]:
    """Those columns that hold one value only in this population."""
    return tuple(name for name in columns if population.rows and np.ptp(population.column(name)) == 0)
