"""The rows of one site as a regression uses them, and its sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.matrix import Layout, design, outcome
from sojourn.analysis.partial import Partial
from sojourn.analysis.population import Population
from sojourn.analysis.terms import Formula
from sojourn.errors import SiteRefused
from sojourn.statistics.families import Family, Slopes
from sojourn.statistics.leverage import Leverages

Vector = NDArray[np.float64]
_BLOCK = 2**17  # numbers of the design that are worked on at once: they fit into a processor's cache


@dataclass(frozen=True)
class Weighed:
    """One round's sums, and of each row its working weight and the sizes of its terms in score, moment or curvature.

    gram: the design's cross-products under the working weights, around the round's centre; None where they have no end.
    """

    partial: Partial
    weight: Vector
    terms: tuple[Vector, ...]
    gram: Vector | None


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of positive weight. x: the design (rows, columns); y: outcome; w: prior weights; offset."""

    population: Population
    layout: Layout
    x: Vector
    y: Vector
    w: Vector
    offset: Vector

    @classmethod
    def of(cls, formula: Formula, weights: str | None, family: Family, population: Population) -> Rows:
        """Build the design; SiteRefused("dictionary") where an outcome or weight is outside its domain."""
        if weights is not None:
            w = population.numeric(weights)
            if not np.isfinite(w).all() or (w < 0).any():
                raise SiteRefused("dictionary")
            population, w = _subset(population, w > 0), w[w > 0]
        else:
            w = np.ones(population.rows)
        layout = Layout.of(formula, population.variables)
        y = outcome(formula, population)
        if ((y < family.low) | (y > family.high)).any() or (family.open and (y == family.low).any()):
            raise SiteRefused("dictionary")
        offset = population.numeric(formula.offset) if formula.offset else np.zeros(population.rows)
        return cls(population, layout, design(layout, population), y, w, offset)

    @cached_property
    def codes(self) -> NDArray[np.int64] | None:
        """The person of each row, numbered from 0; None where every row is a person."""
        persons, codes = np.unique(self.population.persons, return_inverse=True)
        return None if len(persons) == len(codes) else codes.astype(np.int64)

    @cached_property
    def largest(self) -> Vector:
        """The largest absolute value of each column of the design."""
        return np.array([max(column.max(), -column.min()) for column in self.x.T]) if len(self.y) else np.zeros(0)

    @cached_property
    def leverages(self) -> Leverages:
        """Under the prior weights."""
        return Leverages.under(self, self.w)

    def per_person(self, values: Vector, rows: NDArray[np.int64] | None = None) -> Vector:
        """The sum over each person's rows, of values of all rows or of these."""
        if self.codes is None:
            return values
        return np.asarray(
            np.bincount(self.codes if rows is None else self.codes[rows], weights=values), dtype=np.float64
        )

    def of_persons(self, persons: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The rows of some persons, marked in the order of `per_person`."""
        return np.flatnonzero(persons if self.codes is None else persons[self.codes])

    def handshake(self, family: Family) -> Partial:
        """Number of rows and sums of the design's columns; where a family starts from it, the weighted outcomes too."""
        outcome = {"outcome": np.array([self.w @ self.y, self.w.sum()])} if family.levelled else {}
        return Partial({"n": np.array([len(self.y)]), "sum": self.x.sum(axis=0), **outcome})

    def start(self, family: Family, centre: Vector, mean: Vector | None = None) -> Weighed:
        """Weighted least squares at means made from the outcomes alone, on centred columns.

        saturated: not of a family with a shape. weight: sum of the prior weights, which a gamma likelihood needs.
        """
        width = self.layout.width
        gram, moment, saturated = np.zeros((width, width)), np.zeros(width), 0.0
        weight, term = np.zeros(len(self.y)), np.zeros(len(self.y))
        with np.errstate(all="ignore"):
            for part in self.blocks():
                z, weight[part] = family.start(self.y[part], self.w[part], *(() if mean is None else mean))
                term[part] = weight[part] * (z - self.offset[part])
                x = self.x[part] - centre
                gram += _gram(x, weight[part])
                moment += x.T @ term[part]
                if not family.shape:
                    saturated += float(family.saturated(self.y[part], self.w[part]).sum())
        arrays = {"gram": gram, "moment": moment}
        if not family.shape:
            arrays["saturated"] = np.array([saturated])
        if family.name == "gamma":
            arrays["weight"] = np.array([self.w.sum()])
        return Weighed(Partial(arrays), weight, (np.abs(term),), gram)

    def predicted(
        self, family: Family, x: Vector, slopes: Vector, part: slice, level: Vector | None
    ) -> tuple[Vector, Vector]:
        """Linear predictor and outcome of some rows, where a family allows it both less the offset and a level."""
        if level is None or not family.shifts:
            return x @ slopes + self.offset[part], self.y[part]
        return x @ slopes, self.y[part] - level - self.offset[part]

    def left(self, family: Family, centre: Vector, coefficients: Vector, level: Vector | None = None) -> Vector:
        """Of each row the root of its part in the deviance at these coefficients."""
        found = np.zeros(len(self.y))
        with np.errstate(all="ignore"):
            for part in self.blocks():
                eta, y = self.predicted(family, self.x[part] - centre, coefficients, part, level)
                found[part] = np.sqrt(family.slopes(eta, y, self.w[part]).deviance)
        return found

    def newton(self, family: Family, centre: Vector, coefficients: Vector, level: Vector | None = None) -> Weighed:
        """Deviance, score, expected and, where it differs, observed information; what `sums_of` names besides.

        level: what the coefficients leave out of the outcomes. `invalid` is 1, and all else 0, where a mean is outside
        its domain.
        """
        sums = Sums.of(family, self.layout.width)
        weight, *terms = (np.zeros(len(self.y)) for _ in range(2 + sums.bent))
        slopes, shape = coefficients[: sums.width], coefficients[sums.width :]
        with np.errstate(all="ignore"):
            for part in self.blocks():
                x, w = self.x[part] - centre, self.w[part]
                eta, y = self.predicted(family, x, slopes, part, level)
                at = family.slopes(eta, y, w, *shape)
                weight[part], terms[0][part] = at.information, np.abs(at.score)
                if not (at.information >= 0).all():
                    sums.arrays["deviance"][0] = np.nan
                    break
                sums.add(x, w, at)
                if sums.bent:
                    terms[1][part] = np.abs(at.curvature)
                if len(shape):
                    sums.arrays["saturated"] += family.saturated(y, w, *shape).sum()
        valid = sums.finish()
        gram = sums.arrays["information"][: sums.width, : sums.width] if valid else None
        return Weighed(Partial({**sums.arrays, "invalid": np.array([0 if valid else 1])}), weight, tuple(terms), gram)

    def blocks(self) -> Iterator[slice]:
        """Pieces of rows, of a size that a pass over the design is fastest with."""
        size = max(_BLOCK // self.layout.width, 64)
        return (slice(start, start + size) for start in range(0, len(self.y), size))


@dataclass(frozen=True)
class Sums:
    """The sums of a Newton round, of a design of this width. bent: whether observed and expected information differ."""

    width: int
    bent: bool
    arrays: dict[str, Vector]

    @classmethod
    def of(cls, family: Family, width: int) -> Sums:
        """Zeros of the right shapes."""
        shapes = sums_of(family, width)
        return cls(width, "curvature" in shapes, {name: np.zeros(shape) for name, shape in shapes.items()})

    def add(self, x: Vector, w: Vector, at: Slopes) -> None:
        """What a block of rows gives."""
        arrays, p = self.arrays, self.width
        arrays["deviance"] += at.deviance.sum()
        arrays["score"][:p] += x.T @ at.score
        arrays["information"][:p, :p] += _gram(x, at.information)
        if self.bent:
            arrays["curvature"][:p, :p] += x.T @ (x * at.curvature[:, None])
        if "pearson" in arrays:
            arrays["pearson"] += (at.score**2 / at.information).sum()
        if at.shape is not None:
            score, own, cross = at.shape
            arrays["score"][p] += score.sum()
            arrays["information"][p, p] += (score**2 / w).sum()  # their expectation, and never negative
            arrays["curvature"][p, p] += own.sum()
            arrays["curvature"][:p, p] += x.T @ cross

    def finish(self) -> bool:
        """Make what is symmetric so to the last bit; whether all is finite: else all is 0."""
        if self.bent:
            curvature, p = self.arrays["curvature"], self.width
            curvature[p:, :p] = curvature[:p, p:].T
            self.arrays["curvature"] = (curvature + curvature.T) / 2
        valid = all(bool(np.isfinite(array).all()) for array in self.arrays.values())
        if not valid:
            self.arrays.update({name: np.zeros_like(array) for name, array in self.arrays.items()})
        return valid


def sums_of(family: Family, width: int) -> dict[str, tuple[int, ...]]:
    """The arrays of a Newton round and their shapes, `invalid` apart; a shape is one more coefficient, the last.

    pearson: the sum of squares that the dispersion of a gamma family is estimated from. saturated: of a family with a
    shape, on which it depends.
    """
    p = width + bool(family.shape)
    shapes: dict[str, tuple[int, ...]] = {"deviance": (1,), "score": (p,), "information": (p, p)}
    if not family.canonical:
        shapes["curvature"] = (p, p)
    if family.name == "gamma":
        shapes["pearson"] = (1,)
    if family.shape:
        shapes["saturated"] = (1,)
    return shapes


def _gram(x: Vector, weight: Vector) -> Vector:
    scaled = x * np.sqrt(weight)[:, None]
    return np.asarray(scaled.T @ scaled)


def _subset(population: Population, keep: NDArray[np.bool_]) -> Population:
    if keep.all():
        return population
    columns = {name: values[keep] for name, values in population.columns.items()}
    return replace(population, columns=columns, persons=population.persons[keep])
