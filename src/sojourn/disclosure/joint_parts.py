"""What all sites know of an analysis's evidence from the plan alone: shapes, labels and declared bounds, no person."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Cells, Contributions, Design, Thresholds
from sojourn.analysis.variable import is_of_indicator
from sojourn.disclosure.thresholds import stretches, together, told_apart
from sojourn.errors import DisclosureRefused

MOST_PARTS = 16  # of a range, in each of whose stretches the persons are tested


@dataclass(frozen=True)
class Table:
    """A table of cells as all sites know it: see `Cells`. measured: whether its numbers are of more than persons."""

    output: tuple[str, ...]
    shape: tuple[int, ...]
    dimensions: tuple[str, ...]
    empty: tuple[int, ...]
    measured: bool

    @classmethod
    def of(cls, cells: Cells) -> Table:
        """Without the persons."""
        return cls(cells.output, cells.shape, cells.dimensions, cells.empty, bool(cells.measures))

    @property
    def size(self) -> int:
        """Number of cells."""
        return math.prod(self.shape)

    def holds(self, cells: Cells) -> bool:
        """Whether a site's cells are those of this table."""
        return (cells.output, cells.shape, cells.dimensions) == (self.output, self.shape, self.dimensions)

    def places(self) -> list[int]:
        """Those cells, in C order, that may hold somebody."""
        never = set(self.empty)
        return [place for place in range(self.size) if place not in never]

    def sums(self) -> Iterator[tuple[tuple[int, ...], list[int]]]:
        """What tables by fewer dimensions would show: each sum's place, -1 for what is summed over, and its cells."""
        axes = range(len(self.shape) if self.dimensions else 0)
        places = np.arange(self.size).reshape(self.shape)
        for kept in (kept for size in range(len(axes)) for kept in combinations(axes, size)):
            for index in np.ndindex(*(self.shape[axis] for axis in kept)):
                named = dict(zip(kept, index, strict=True))
                cells = places[tuple(named.get(axis, slice(None)) for axis in axes)]
                yield tuple(named.get(axis, -1) for axis in axes), cells.ravel().tolist()


@dataclass(frozen=True)
class Sum:
    """Sums of one measure as all sites know them: see `Contributions`.

    most: of each sum. table: the place of its table, -1 of a model. levels: how many are declared; 0: a number. cells:
    whether they are a model's sums over levels.
    """

    output: tuple[str, ...]
    shape: tuple[int, ...]
    most: tuple[float, ...]
    table: int
    levels: int
    cells: bool = False

    @classmethod
    def of(cls, sums: Contributions, tables: Sequence[Table], model: bool) -> Sum:
        """DisclosureRefused where the declarations do not bound a row's contribution."""
        if sums.most is None or not np.isfinite(sums.most).all():
            raise DisclosureRefused("dominance")
        table = -1
        if not model:
            table = next(place for place, table in enumerate(tables) if set(sums.output) <= set(table.output))
            if sums.values is None:
                raise DisclosureRefused("minimum frequency")
        return cls(
            sums.output,
            sums.total.shape,
            tuple(sums.most.ravel().tolist()),
            table,
            len(sums.persons),
            bool(sums.behind),
        )


@dataclass(frozen=True)
class Model:
    """A model's design as all sites know it: see `Design`.

    events, clusters: whether persons with an event, and a column's clusters, are counted. drawn: whether it is one of
    imputed sets.
    """

    levels: tuple[str, ...]
    parameters: int
    numbers: tuple[str, ...]
    events: bool
    clusters: bool
    drawn: bool = False

    @classmethod
    def of(cls, design: Design, classes: bool) -> Model:
        """DisclosureRefused where there are columns by site, or weights: neither has a joint test."""
        if design.by_site or design.effective is not None:
            raise DisclosureRefused("design support")
        counted = design.events is not None and not classes
        numbers = tuple(sorted(design.numbers))
        clusters, drawn = design.clusters is not None, design.drawn is not None
        return cls(tuple(design.levels), design.parameters, numbers, counted, clusters, drawn)

    def varying(self) -> Iterator[str]:
        """The levels that not everybody may have. That nobody lacks a value which sets would draw is no fault."""
        for label in self.levels:
            if " & " not in label and not (self.drawn and is_of_indicator(label) and label.endswith(")=False")):
                yield label

    def knows(self, label: str) -> bool:
        """Whether a level is asked about, or is one of a number, of which it is asked whether it has many values."""
        own = {f"{number}={word}" for number in self.numbers for word in ("lower", "upper")}
        return label in self.levels or all(part in own or part in self.levels for part in label.split(" & "))


@dataclass(frozen=True)
class Quantiles:
    """Order statistics as all sites know them: see `Positions`."""

    output: tuple[str, ...]
    fractions: tuple[float, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Range:
    """Rows counted up to given values, as all sites know it: see `Thresholds`. shape: (*groups, parts)."""

    output: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, counted: Thresholds) -> Range:
        """DisclosureRefused where a bit for every stretch would be too many."""
        if counted.shape[-1] > MOST_PARTS:
            raise DisclosureRefused("capacity")
        return cls(counted.output, counted.shape)

    @property
    def groups(self) -> int:
        """How many ranges there are, one a group."""
        return math.prod(self.shape[:-1])

    def stretches(self) -> list[tuple[int, int, int]]:
        """Every stretch of every group, as (group, first part, one after the last)."""
        return [(group, *stretch) for group in range(self.groups) for stretch in stretches(self.shape[-1])]

    def told(self, passed: Callable[[int, int, int], bool]) -> NDArray[np.bool_]:
        """Which values are told apart, in the shape of the output, where a bit says which stretches pass."""
        parts = self.shape[-1]
        lines = [told_apart(parts, partial(passed, group)) for group in range(self.groups)]
        return np.reshape(lines, (*self.shape[:-1], parts - 1, 1))

    def runs(self, told: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
        """The stretches between the values that are told, as of `stretches`."""
        found = []
        for group, line in enumerate(told.reshape(self.groups, -1)):
            ends = [0, *(np.flatnonzero(line) + 1).tolist(), self.shape[-1]]
            found += [(group, first, end) for first, end in pairwise(ends)]
        return found

    def persons(self, counted: Thresholds, stretch: tuple[int, int, int]) -> BitMap:
        """A site's persons in a stretch."""
        group, first, end = stretch
        start = group * self.shape[-1]
        return together(counted.persons[start + first : start + end])
