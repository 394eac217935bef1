"""Joint tests of squares about a pooled mean: whether a deviation over all sites is nearly one person's distance.

They come after the sums, whose mean is then known to all, and before the squares: each site puts in what its persons
give to the squares about that mean. Squares of a column in a table are shown all or not at all: for each cell that is
shown, and for what is left of each margin beside the shown cells, the same is asked as of a sum (`undominated`). For p
percent of a distance there must be (1 + p / 100)^2 of its square.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.support import Contributions, Support
from sojourn.disclosure.families.dominance import percent_of_squares
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_beside import still_hidden
from sojourn.disclosure.joint_forms import UNITS, undominated
from sojourn.disclosure.joint_levels import safe_alone
from sojourn.disclosure.joint_questions import MOST_FACTORS, MOST_INPUTS
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.suppression import Mask
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import MOST, Condition, JointTest, factors

LEVELS = 24  # of the grid: the square of the declared range rounded up, and what is each time half a square root of 2


@dataclass(frozen=True)
class Part:
    """Squares of one column in one table, as all sites know them.

    most: the greatest square. table: the place of the table in the layout, -1 of a model. cells: which are tested
    together, a line each.
    """

    output: tuple[str, ...]
    shape: tuple[int, ...]
    most: float
    table: int
    cells: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Squares:
    """The questions about the squares of one analysis, what a site puts in, and what follows from the bits."""

    layout: Layout
    parts: tuple[Part, ...]

    @classmethod
    def of(cls, layout: Layout, empty: Sequence[Contributions], cells: Mapping[str, Mask]) -> Self:
        """empty: of nobody. cells: what the first test hid. DisclosureRefused where a range is not declared."""
        parts = []
        for one in empty:
            if one.most is None or not np.isfinite(one.most).all():
                raise DisclosureRefused("dominance")
            table = next((n for n, t in enumerate(layout.tables) if set(one.output) & set(t.output)), -1)
            asked = _tested(layout, table, one, cells)
            parts.append(Part(one.output, one.total.shape, float(one.most.max()), table, asked))
        return cls(layout, tuple(part for part in parts if part.cells))

    @property
    def inputs(self) -> int:
        """How many numbers a site puts in."""
        return sum(len(part.cells) for part in self.parts) * (1 + 2 * LEVELS)

    def test(self, sites: Sequence[str], evaluators: Sequence[str]) -> JointTest | None:
        """The joint test, one condition a part; None where it would be too large."""
        conditions = tuple(self._conditions(len(sites)))
        if self.inputs > MOST_INPUTS or sum(map(factors, conditions)) > MOST_FACTORS:
            return None
        return JointTest(tuple(sorted(sites)), tuple(sorted(evaluators)), self.inputs, conditions)

    def _conditions(self, sites: int) -> Iterator[Condition]:
        first = 0
        for part in self.parts:
            clauses = []
            for _ in part.cells:
                over, units = range(first + 1, first + 1 + LEVELS), range(first + 1 + LEVELS, first + 1 + 2 * LEVELS)
                clauses.append(undominated(over, units, first, sites))
                first += 1 + 2 * LEVELS
            yield tuple(clauses)

    def numbers(
        self, support: Support, found: Sequence[Contributions], parameters: Parameters, clear: Sequence[BitMap]
    ) -> NDArray[np.int64]:
        """What a site puts in. found: its contributions about the pooled means; clear: as in `Layout.numbers`.

        ValueError where they are of other squares than those that are asked about.
        """
        asked = {part.output for part in self.parts}
        mine = [one for one in found if one.output in asked]
        if [(one.output, one.total.shape) for one in mine] != [(part.output, part.shape) for part in self.parts]:
            raise ValueError("other squares than those that are asked about")
        numbers: list[int] = []
        for part, one, own in zip(self.parts, mine, _alike(support.squares, mine), strict=True):
            for cells in part.cells:
                persons = self._persons(support, part, cells)
                hidden = still_hidden(persons, clear)
                largest, _, total = _together(one, cells)
                # Clear answers about the same persons need not have told their squares: only what may leave by itself.
                needs = (
                    hidden > 0 or own is None or not safe_alone(*_together(own, cells), parameters, _near(parameters))
                )
                numbers += _needs(largest, total if hidden == len(persons) else 0.0, part.most, parameters, needs)
        return np.array(numbers, dtype=np.int64)

    def nothing(self) -> NDArray[np.int64]:
        """What a site without data puts in."""
        return np.zeros(self.inputs, dtype=np.int64)

    def unknown(self) -> NDArray[np.int64]:
        """What a site puts in that cannot say: no level will do."""
        one = [1, *[1] * LEVELS, *[0] * LEVELS]
        return np.array(one * sum(len(part.cells) for part in self.parts), dtype=np.int64)

    def _persons(self, support: Support, part: Part, cells: tuple[int, ...]) -> BitMap:
        if part.table < 0:
            return support.population
        table = next(one for one in support.cells if self.layout.tables[part.table].holds(one))
        return BitMap.union(BitMap(), *(table.persons[place] for place in cells))

    def masks(self, bits: NDArray[np.bool_] | None) -> dict[str, Mask]:
        """What is hidden, all of it where there are no bits; DisclosureRefused of a model, where it is anything."""
        failed = [part for n, part in enumerate(self.parts) if bits is None or not bits[n]]
        if failed and self.layout.model is not None:
            raise DisclosureRefused("dominance")
        return {name: self._whole(part) for part in failed for name in part.output}

    def _whole(self, part: Part) -> Mask:
        mask = np.ones(part.shape, dtype=bool)
        mask.ravel()[list(self.layout.tables[part.table].empty)] = False
        return mask


def _tested(
    layout: Layout, table: int, squares: Contributions, cells: Mapping[str, Mask]
) -> tuple[tuple[int, ...], ...]:
    """Each cell that is shown, and of each number that a smaller table would show the cells that are not."""
    size = squares.total.size
    if table < 0:
        return tuple((place,) for place in range(size))
    hidden = np.zeros(size, dtype=bool)
    for name in squares.output:
        hidden |= cells.get(name, np.zeros(squares.total.shape, dtype=bool)).ravel()
    shown = [(place,) for place in layout.tables[table].places() if not hidden[place]]
    gone = [tuple(place for place in line if hidden[place]) for _, line in layout.tables[table].sums()]
    return tuple(dict.fromkeys([*shown, *(line for line in gone if line)])) if shown else ()


def _alike(squares: Sequence[Contributions], found: Sequence[Contributions]) -> list[Contributions | None]:
    """Of each of these squares those about the site's own means; None where there are none."""
    left, alike = list(squares), []
    for one in found:
        same = next((own for own in left if (own.output, own.total.shape) == (one.output, one.total.shape)), None)
        left = [own for own in left if own is not same]
        alike.append(same)
    return alike


def _together(squares: Contributions, cells: Sequence[int]) -> tuple[float, float, float]:
    """The largest two contributions to the squares of some cells, and all of them."""
    places = list(cells)
    top = np.sort(np.concatenate([squares.largest.ravel()[places], squares.second.ravel()[places]]))[::-1]
    return float(top[0]), float(top[1]), float(squares.total.ravel()[places].sum())


def _near(parameters: Parameters) -> float:
    return percent_of_squares(parameters.p_percent)


def _levels(most: float) -> list[float]:
    """Powers of the square root of 2, the greatest first, whatever range is declared: see `joint_forms.grid`."""
    share, power = math.frexp(most)
    top = math.ldexp(1.0, power - (share == 0.5))
    return [top * 2.0 ** (-level / 2) for level in range(LEVELS)]


def _needs(largest: float, total: float, most: float, parameters: Parameters, hidden: bool) -> list[int]:
    """As of a sum (`joint.Layout`): whether anybody gives any, whose need is above each level, units of each level."""
    if not (math.isfinite(largest) and math.isfinite(total) and largest >= 0 and total >= 0):
        raise DisclosureRefused("dominance")
    factor = max(2 + _near(parameters) / 100, 100 * parameters.dominance_n / parameters.dominance_k)
    levels = _levels(most)
    over = [int(hidden and factor * largest > level) for level in levels]
    units = [int(min(total * UNITS / level * (1 - 1e-12), MOST)) if hidden else 0 for level in levels]
    return [int(hidden and largest > 0), *over, *units]
