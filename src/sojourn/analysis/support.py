"""Support: how many persons stand behind each number. Evidence for the gate; it never leaves a site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap


@dataclass(frozen=True)
class Cells:
    """The persons behind each cell of a table of counts or groups.

    output: the partial's arrays whose last axes are these cells (suppressed together), e.g. ("count",) or
    ("n", "sum"). shape: of the cells. persons: one set a cell, C order. dimensions: the variable of each axis.
    measures: what the numbers measure, column names. empty: places, in C order, that are declared to hold nobody
    (structural zeros).
    """

    output: tuple[str, ...]
    shape: tuple[int, ...]
    persons: tuple[BitMap, ...]
    dimensions: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    empty: tuple[int, ...] = ()

    def counts(self) -> NDArray[np.int64]:
        """Distinct persons of each cell."""
        return np.array([len(cell) for cell in self.persons], dtype=np.int64).reshape(self.shape)

    def structural(self) -> NDArray[np.bool_]:
        """The cells that are declared to hold nobody; ValueError where one holds a person all the same."""
        mask = np.zeros(self.shape, dtype=bool)
        mask.flat[list(self.empty)] = True
        if any(self.persons[place] for place in self.empty):
            raise ValueError("a cell that is declared empty holds a person")
        return mask


@dataclass(frozen=True)
class Contributions:
    """The largest two absolute contributions of persons to each sum of `output`, and their absolute total.

    For joint tests, all of the shape of the sums: most, the greatest absolute value that the declarations allow a row,
    NaN where they do not say. values: the bins that the summed numbers hit (`analysis.values`); -1 where their levels
    are declared, and then persons: of each declared level the persons of each sum, C order.

    behind: of a model's sums over levels the persons of each cell, the last axis; else everybody's, or a table's.
    local: of levels that only this site knows, of a number with two values here.
    """

    output: tuple[str, ...]
    largest: NDArray[np.float64]
    second: NDArray[np.float64]
    total: NDArray[np.float64]
    most: NDArray[np.float64] | None = None
    values: NDArray[np.int64] | None = None
    persons: tuple[tuple[BitMap, ...], ...] = ()
    behind: tuple[BitMap, ...] = ()
    local: bool = False


@dataclass(frozen=True)
class Working:
    """How few persons the sums of one round rest on, where that depends on what was broadcast.

    effective: the effective number of persons, (sum v)^2 / sum v^2, the smallest over the working weights and over the
    absolute terms of score or moment. leverage: the largest of a person in the design under the working weights.
    """

    effective: float
    leverage: float


@dataclass(frozen=True)
class Drawn:
    """What the sums of several sets tell by differing, where a site drew the values that its rows lack.

    effective: the smallest effective number of persons whose values differ between two sets, None where none do.
    lacking: the fewest persons without a value of a column, over the independent differences of the sets; None where
    nobody lacks one. persons: the fewest with a value. parameters: of the widest model that a column is drawn from.
    share: the largest that two persons have of what two sets' sums, or one's and the complete rows', differ by. levels:
    the fewest persons of a level with a product of its own whose values differ between two sets; None where none do.
    """

    effective: float | None
    lacking: float | None
    persons: int
    parameters: int
    share: float = 0.0
    levels: int | None = None


@dataclass(frozen=True)
class Design:
    """What a regression shows of its design.

    persons, rows, parameters: counts. levels: persons of every level, of every pair of levels of two factors, and of
    every level within each outcome class, by a readable label (kept inside); a two-valued number is a factor. events:
    the rarer outcome class of a binary outcome, or persons with an event of a count; None for a continuous outcome.
    leverage: the largest of a person.
    effective: (sum w)^2 / sum w^2, None without weights. patterns: persons of the rarest covariate pattern where the
    model is saturated, else None. working: of the round at hand, where its broadcast decides which persons count.
    numbers: of outcome and columns without declared levels the bins that their values hit (`analysis.values`); where
    such a number has two values here, `levels` holds its levels too, which no other site need have.
    by_site: whether there are columns by site. clusters: how many a named column tells apart, None where none is named.
    drawn: of a model of imputed sets, whose demands the other numbers contain.
    """

    persons: int
    rows: int
    parameters: int
    levels: Mapping[str, BitMap]
    events: int | None
    leverage: float
    effective: float | None = None
    patterns: int | None = None
    working: Working | None = None
    numbers: Mapping[str, int] = field(default_factory=dict)
    by_site: bool = False
    clusters: int | None = None
    drawn: Drawn | None = None


@dataclass(frozen=True)
class Effective:
    """Of sums over weighted persons how many persons the weights leave, (sum w)^2 / sum w^2, of each cell."""

    output: tuple[str, ...]
    numbers: NDArray[np.float64]


@dataclass(frozen=True)
class Positions:
    """Persons behind order statistics: `output` arrays whose last axis is `fractions` (0 the minimum, 1 the maximum).

    persons: of each group, the arrays' leading axes; shape () without groups.
    """

    output: tuple[str, ...]
    fractions: tuple[float, ...]
    persons: NDArray[np.int64]


@dataclass(frozen=True)
class Thresholds:
    """Persons between the values at which rows are counted, the parts of a range.

    output: the array of the numbers at or below each part but the last, of shape (*groups, parts - 1, 1). shape:
    (*groups, parts). persons: one set a part, C order; a person with several rows may stand in several. measures: what
    the numbers measure, column names.
    """

    output: str
    shape: tuple[int, ...]
    persons: tuple[BitMap, ...]
    measures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Steps:
    """Persons behind the published steps of survival curves, along the last axis of the `output` arrays.

    left: events and censorings since the step before, at the step itself included. at_risk: just before each step.
    """

    output: tuple[str, ...]
    left: NDArray[np.int64]
    at_risk: NDArray[np.int64]


@dataclass(frozen=True)
class RiskSets:
    """The times of a Cox model's sums. times: as they are sent; grid: as declared. left, at_risk: as of `Steps`."""

    times: tuple[float, ...]
    grid: tuple[float, ...]
    left: NDArray[np.int64]
    at_risk: NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """What correlations or tests rest on.

    persons: complete for each pair of columns. columns: how many columns are paired; constructed: how many of them the
    analyst's plan computes rather than takes from the dataset. levels: persons of each level, pair of levels or group.
    """

    persons: NDArray[np.int64]
    columns: int
    constructed: int
    levels: Mapping[str, BitMap]


@dataclass(frozen=True)
class Capacity:
    """spent: distinct numbers that the analysis released before. most: its declared cap; a node knows it of each.

    digits: significant digits of each number, 17 for full precision; trusted: whether the product's own code made them.
    """

    spent: int = 0
    most: int | None = None
    digits: int = 17
    trusted: bool = True


@dataclass(frozen=True)
class Support:
    """All evidence for one analysis at one site. population: the complete cases; measures: columns that it measures.

    contributions: to sums of values; squares: to sums of squares about this site's own means, most: of a row's square.
    """

    population: BitMap
    measures: tuple[str, ...]
    cells: tuple[Cells, ...] = ()
    contributions: tuple[Contributions, ...] = ()
    design: Design | None = None
    positions: tuple[Positions, ...] = ()
    thresholds: tuple[Thresholds, ...] = ()
    steps: tuple[Steps, ...] = ()
    risk_sets: RiskSets | None = None
    pairs: Pairs | None = None
    capacity: Capacity = field(default_factory=Capacity)
    constant: tuple[str, ...] = field(default=())  # variables that do not vary in this population
    squares: tuple[Contributions, ...] = field(default=())
    effective: tuple[Effective, ...] = field(default=())
