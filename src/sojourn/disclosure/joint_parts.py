"""What all sites know of an analysis's evidence from the plan alone: shapes, labels and declared bounds, no person."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sojourn.analysis.support import Cells, Contributions, Design
from sojourn.errors import DisclosureRefused


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

    most: of each sum. table: the place of its table, -1 of a model. levels: how many are declared; 0: a number.
    """

    output: tuple[str, ...]
    shape: tuple[int, ...]
    most: tuple[float, ...]
    table: int
    levels: int

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
        return cls(sums.output, sums.total.shape, tuple(sums.most.ravel().tolist()), table, len(sums.persons))


@dataclass(frozen=True)
class Model:
    """A model's design as all sites know it: see `Design`. events: whether persons with an event are counted."""

    levels: tuple[str, ...]
    parameters: int
    numbers: tuple[str, ...]
    events: bool

    @classmethod
    def of(cls, design: Design, classes: bool) -> Model:
        """DisclosureRefused where there are columns by site, or weights: neither has a joint test."""
        if design.by_site or design.effective is not None:
            raise DisclosureRefused("design support")
        counted = design.events is not None and not classes
        return cls(tuple(design.levels), design.parameters, tuple(sorted(design.numbers)), counted)

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
