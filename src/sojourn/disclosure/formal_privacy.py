"""Formal privacy: which numbers of a statistic are answered with noise, and how much one person can change them.

Law: with any one person's rows in or out of the dataset, whatever leaves is as likely as before up to the budget. So
nothing that leaves may depend on the data but through a mechanism: no cell is suppressed, no threshold is asked, no
answer is refused because of what the data hold. Every cell of the declared levels leaves with noise, empty ones too.

A form turns a statistic into vectors of whole numbers with a bound on what one person changes, and noisy vectors back
into what each round of the statistic gives. Turning back looks at no record and costs nothing (post-processing). What
has no form is refused. Bounds are the dictionary's, which each import enforces: never those of the data or the plan.

Sums: a value v of a column between low and high is taken from the middle m, so that with B = (high - low) / 2 a row
changes the sum of v - m by at most B, and that of (v - m)^2 - B^2 / 2 by at most B^2 / 2. Mean and deviation about any
centre follow from these two and the number of rows. They are rounded to 2^-20 of the bound and noised as whole numbers,
since a continuous sampler's low-order bits tell of the data (I. Mironov, CCS 2012). A sixteenth is added to each bound:
what rounding in two sums of up to 2^23 rows can make of it, in any order (N. J. Higham, Accuracy and Stability of
Numerical Algorithms, 2002, section 4.2).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.noise import Noise
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.statistic import Ask, Statistic
from sojourn.analysis.variable import Kind, Variables
from sojourn.disclosure.budget import Account, exact
from sojourn.disclosure.formal_ground import Grid, Ground, Vector
from sojourn.disclosure.formal_quantiles import Ranks
from sojourn.disclosure.gate import Policy
from sojourn.disclosure.mechanisms import Whole, mechanism_of, scale_for
from sojourn.disclosure.output import Finding, Output, Tier, Verdict, strictness
from sojourn.errors import DisclosureRefused
from sojourn.statistics.count import Count
from sojourn.statistics.crosstab import Crosstab, margin_of
from sojourn.statistics.describe import Describe
from sojourn.statistics.histogram import Histogram
from sojourn.statistics.quantiles import Quantiles

NOT_CERTIFIED = "formal privacy"
OVERSPENT = "privacy budget"
STEPS = 2**20  # of a bound, to which sums are rounded
MOST_ROWS = 2**23
SLACK = 17 / 16
FINEST = 2.0**-40  # of a middle: a narrower range drowns in the rounding of its own values


class Form(Protocol):
    """A statistic under formal privacy. counts_missing: it also tells of rows that lack a value."""

    counts_missing: ClassVar[bool]

    def measured(self) -> dict[str, Any]:
        """What is measured, in canonical form: equal for statistics that measure the same."""

    def asks(self) -> tuple[Ask, ...]:
        """What the site's computation is asked, in the statistic's own steps."""

    def vectors(self, parts: Mapping[str, Partial]) -> tuple[Vector, ...]:
        """The vectors out of the computed parts by step."""

    def answer(self, ask: Ask, noisy: Mapping[str, Whole]) -> Partial:
        """What a round gives, out of noisy vectors and its public broadcast alone."""


def form_of(statistic: Statistic, ground: Ground) -> Form:
    """The form of a statistic; DisclosureRefused where there is none, or a bound is not declared."""
    match statistic:
        case Count(by=dimensions):
            return Persons(Grid(dimensions, ground), ground.rows)
        case Crosstab(columns=dimensions):
            return Crossed(Grid(dimensions, ground), ground.rows, dimensions)
        case Histogram():
            return Bins(statistic, ground)
        case Describe():
            return Moments(statistic, ground)
        case Quantiles():
            return Ranks(statistic, ground)
    raise DisclosureRefused(NOT_CERTIFIED)


def scales(vectors: tuple[Vector, ...], account: Account) -> dict[str, float]:
    """The scale of each vector's noise, in whole numbers: the loss of an answer is shared out evenly."""
    share = account.cost / len(vectors)
    while Fraction(share) * len(vectors) > exact(account.cost):
        share = math.nextafter(share, 0)
    return {vector.name: scale_for(account.unit, vector.sensitivity(account.unit), share) for vector in vectors}


def noise_of(vectors: tuple[Vector, ...], account: Account, epsilon: float, delta: float) -> Noise:
    """What a release says of its noise."""
    drawn = scales(vectors, account)
    said = {vector.name: float(drawn[vector.name] * vector.unit) for vector in vectors}
    return Noise(mechanism_of(account.unit), float(epsilon), float(delta), said)


@dataclass(frozen=True)
class Persons:
    """Distinct persons of each cell of a table: counts and contingency tables."""

    grid: Grid
    rows: int
    counts_missing: ClassVar[bool] = False

    def measured(self) -> dict[str, Any]:
        """See `Form`."""
        return {"persons of": list(self.grid.dimensions)}

    def asks(self) -> tuple[Ask, ...]:
        """See `Form`."""
        return (Ask("count"),)

    def vectors(self, parts: Mapping[str, Partial]) -> tuple[Vector, ...]:
        """See `Form`; a person counts once in a cell, and in as many cells as there are rows."""
        cells = self.grid.take(parts["count"]["count"]).astype(np.int64)
        return (_persons("count", cells, self.rows),)

    def answer(self, ask: Ask, noisy: Mapping[str, Whole]) -> Partial:
        """See `Form`."""
        return Partial({"count": self.grid.put(noisy["count"])})


@dataclass(frozen=True)
class Crossed(Persons):
    """A contingency table: the margins are sums of its noisy cells, so that they agree with them and cost nothing."""

    columns: tuple[str, ...]

    def answer(self, ask: Ask, noisy: Mapping[str, Whole]) -> Partial:
        """See `Form`."""
        cells = self.grid.put(noisy["count"])
        axes = range(cells.ndim)
        margins = {
            margin_of(name): cells.sum(axis=tuple(other for other in axes if other != axis))
            for axis, name in enumerate(self.columns)
        }
        return Partial({"count": cells, **margins})


@dataclass(frozen=True)
class Bins:
    """Distinct persons of each declared bin."""

    histogram: Histogram
    ground: Ground
    counts_missing: ClassVar[bool] = False

    def measured(self) -> dict[str, Any]:
        """See `Form`."""
        return {"persons of": [self.histogram.column], "edges": list(self.histogram.edges)}

    def asks(self) -> tuple[Ask, ...]:
        """See `Form`."""
        return (Ask("count"),)

    def vectors(self, parts: Mapping[str, Partial]) -> tuple[Vector, ...]:
        """See `Form`."""
        return (_persons("count", np.asarray(parts["count"]["count"], dtype=np.int64), self.ground.rows),)

    def answer(self, ask: Ask, noisy: Mapping[str, Whole]) -> Partial:
        """See `Form`."""
        return Partial({"count": noisy["count"]})


class Moments:
    """Rows, persons with a missing value, sums and squares of bounded columns, in all or by groups.

    One answer serves both rounds of `describe` and any centre that the hub broadcasts. The overall row is the sum of
    the groups, so that it agrees with them and costs nothing.
    """

    counts_missing: ClassVar[bool] = True

    def __init__(self, describe: Describe, ground: Ground) -> None:
        self._describe, self._ground = describe, ground
        self._grid = Grid(describe.by, ground)
        self._columns = sorted(describe.columns)
        self._middle, self._bound = {}, {}
        for name in self._columns:
            low, high = _bounds(name, ground.declared)
            self._middle[name], self._bound[name] = (low + high) / 2, (high - low) / 2
            fine = self._bound[name] == 0 or self._bound[name] > abs(self._middle[name]) * FINEST
            if not fine or not math.isfinite(self._bound[name] ** 2 * MOST_ROWS):
                raise DisclosureRefused(NOT_CERTIFIED)

    def measured(self) -> dict[str, Any]:
        """See `Form`."""
        return {"moments of": self._columns, "by": list(self._grid.dimensions)}

    def asks(self) -> tuple[Ask, ...]:
        """See `Form`; the squares about the middle, which is not the round's centre."""
        middles = np.array([self._middle[name] for name in self._describe.columns])
        centres = {"all_centre": middles[:, None]}
        if self._describe.by:
            flat = np.repeat(middles[:, None], self._grid.whole, axis=1)
            centres["group_centre"] = flat.reshape(len(middles), *self._grid.shape)
        return Ask("sums"), Ask("squares", centres)

    def vectors(self, parts: Mapping[str, Partial]) -> tuple[Vector, ...]:
        """See `Form`."""
        sums, squares, rows = parts["sums"], parts["squares"], self._ground.rows
        prefix = "group" if self._describe.by else "all"
        positions = [self._describe.columns.index(name) for name in self._columns]
        missing = np.asarray(sums["missing"], dtype=np.int64)[positions]
        number = self._grid.take(sums[f"{prefix}_n"]).astype(np.int64)
        found = [Vector("missing", missing, len(missing), math.sqrt(len(missing))), Vector("n", number, rows, rows)]
        for name in self._columns:
            bound = self._bound[name]
            first = self._grid.take(squares[f"{prefix}_drift.{name}"])
            second = self._grid.take(squares[f"{prefix}_squares.{name}"]) - number * bound**2 / 2
            found.append(_sum(f"sum.{name}", first, bound, rows))
            found.append(_sum(f"squares.{name}", second, bound**2 / 2, rows))
        return tuple(found)

    def answer(self, ask: Ask, noisy: Mapping[str, Whole]) -> Partial:
        """See `Form`."""
        arrays: dict[str, Array] = {}
        if ask.step == "sums":
            positions = [self._columns.index(name) for name in self._describe.columns]
            arrays["missing"] = noisy["missing"][positions]
        for prefix in ("all", "group") if self._describe.by else ("all",):
            whole = prefix == "all"
            n = self._laid(noisy["n"], whole)
            if ask.step == "sums":
                arrays[f"{prefix}_n"] = n
            for place, name in enumerate(self._describe.columns):
                middle, bound = self._middle[name], self._bound[name]
                first = self._laid(noisy[f"sum.{name}"] * (bound / STEPS), whole)
                second = self._laid(noisy[f"squares.{name}"] * (bound**2 / 2 / STEPS), whole) + n * bound**2 / 2
                if ask.step == "sums":
                    arrays[f"{prefix}_sum.{name}"] = first + n * middle
                else:
                    off = middle - np.asarray(ask.broadcast[f"{prefix}_centre"])[place]
                    arrays[f"{prefix}_squares.{name}"] = second + 2 * off * first + n * off**2
                    arrays[f"{prefix}_drift.{name}"] = first + n * off
        return Partial(arrays)

    def _laid(self, cells: NDArray[Any], whole: bool) -> NDArray[Any]:
        return np.atleast_1d(cells.sum()) if whole else self._grid.put(cells)


@dataclass(frozen=True)
class Noised:
    """A perturbation whose numbers were noised before: see `node/privacy.py`, which draws once and remembers.

    spent: the share of the nearer budget that is spent with it.
    """

    partial: Partial
    noise: Noise
    spent: float
    close: float

    def apply(self, output: Output) -> Output:
        """See `Perturbation`."""
        return replace(output, partial=self.partial)

    @property
    def tier(self) -> Tier:
        """Medium close to the limit: what is left of a budget is for people to give away."""
        return Tier.LOW if self.spent <= self.close else Tier.MEDIUM


@dataclass(frozen=True)
class Formal:
    """A site's policy for an answer under formal privacy: its name and form, and no rule that looks at the data."""

    base: Policy
    tier: Tier

    @property
    def name(self) -> str:
        return self.base.name

    @property
    def version(self) -> str:
        return self.base.version

    @property
    def watermark(self) -> str:
        return self.base.watermark

    def hidden_max(self) -> int:
        """As elsewhere at this site, though nothing is hidden here."""
        return self.base.hidden_max()

    @property
    def automatic(self) -> Tier:
        """The highest risk that leaves without a checker."""
        if self.watermark:  # rules that are not the product's let everything out
            return Tier.HIGH
        found = getattr(getattr(self.base, "parameters", None), "automatic", None)
        return found if isinstance(found, Tier) else Tier.LOW

    def differencing(self) -> None:
        """Noisy answers are bounded by their budget: no exact number is told that could be compared."""

    @property
    def leaves(self) -> bool:
        """Whether an answer of this tier leaves the site."""
        return strictness(self.tier) <= strictness(self.automatic)

    def judge(self, output: Output) -> Finding:
        """Release; close to the limit not without a person, and the gate still asks for the form."""
        raised = "" if self.tier is Tier.LOW else OVERSPENT
        return Finding(Verdict.RELEASE, tier=self.tier, note="close to the limit" if raised else "", raised=raised)


def _persons(name: str, cells: Whole, rows: int) -> Vector:
    most = min(rows, max(len(cells), 1))
    return Vector(name, cells, most, math.sqrt(most))


def _sum(name: str, values: NDArray[np.float64], bound: float, rows: int) -> Vector:
    """Rounded to steps of the bound; of two roundings one may go up and the other down."""
    most = math.ceil(rows * STEPS * SLACK) + 1
    if not bound:  # a constant by declaration
        return Vector(name, np.zeros(len(values), dtype=np.int64), most, float(most), 0.0)
    return Vector(name, np.rint(values / (bound / STEPS)).astype(np.int64), most, float(most), bound / STEPS)


def _bounds(name: str, declared: Variables) -> tuple[float, float]:
    variable = declared[name]
    if variable.kind is Kind.BOOLEAN:
        return 0.0, 1.0
    if variable.low is None or variable.high is None:
        raise DisclosureRefused(NOT_CERTIFIED)
    return variable.low, variable.high
