"""The rows of one site as a regression uses them, and its sums over them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.matrix import Layout, design, outcome
from sojourn.analysis.partial import Array, Partial
from sojourn.analysis.population import Population
from sojourn.analysis.terms import Formula
from sojourn.errors import SiteRefused
from sojourn.statistics.families import Family

Vector = NDArray[np.float64]
_BLOCK = 2**17  # numbers of the design that are worked on at once: they fit into a processor's cache


@dataclass(frozen=True)
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
        if ((y < family.low) | (y > family.high)).any():
            raise SiteRefused("dictionary")
        offset = population.numeric(formula.offset) if formula.offset else np.zeros(population.rows)
        return cls(population, layout, design(layout, population), y, w, offset)

    def handshake(self) -> Partial:
        """Number of rows and sums of the design's columns."""
        return Partial({"n": np.array([len(self.y)]), "sum": self.x.sum(axis=0)})

    def start(self, family: Family, centre: Vector) -> Partial:
        """Weighted least squares at means made from the outcomes alone, on centred columns."""
        width = self.layout.width
        gram, moment, saturated = np.zeros((width, width)), np.zeros(width), 0.0
        with np.errstate(all="ignore"):
            for part in self.blocks():
                z, weight = family.start(self.y[part], self.w[part])
                x = self.x[part] - centre
                gram += _gram(x, weight)
                moment += x.T @ (weight * (z - self.offset[part]))
                saturated += float(family.saturated(self.y[part], self.w[part]).sum())
        return Partial({"gram": gram, "moment": moment, "saturated": np.array([saturated])})

    def newton(self, family: Family, centre: Vector, coefficients: Vector) -> Partial:
        """Deviance, score, expected and, where it differs, observed information.

        `invalid` is 1, and all else 0, where a mean is outside its domain.
        """
        width = self.layout.width
        deviance, score, information = np.zeros(1), np.zeros(width), np.zeros((width, width))
        curvature = np.zeros((width, width))
        with np.errstate(all="ignore"):
            for part in self.blocks():
                x = self.x[part] - centre
                at = family.slopes(x @ coefficients + self.offset[part], self.y[part], self.w[part])
                if not (at.information >= 0).all():
                    deviance[0] = np.nan
                    break
                deviance += at.deviance.sum()
                score += x.T @ at.score
                information += _gram(x, at.information)
                if not family.canonical:
                    curvature += x.T @ (x * at.curvature[:, None])
        arrays = {"deviance": deviance, "score": score, "information": information}
        if not family.canonical:
            arrays["curvature"] = (curvature + curvature.T) / 2
        valid = all(bool(np.isfinite(array).all()) for array in arrays.values())
        if not valid:
            arrays = {name: np.zeros_like(array) for name, array in arrays.items()}
        return Partial({**arrays, "invalid": np.array([0 if valid else 1])})

    def weighed(self, family: Family, centre: Vector, coefficients: Array | None) -> tuple[Vector, Vector, Vector]:
        """Of each row the working weight and the sizes of its terms in the score (or moment) and in the curvature."""
        weight, term, curvature = (np.zeros(len(self.y)) for _ in range(3))
        with np.errstate(all="ignore"):
            for part in self.blocks():
                y, w, offset = self.y[part], self.w[part], self.offset[part]
                if coefficients is None:
                    z, weight[part] = family.start(y, w)
                    term[part] = np.abs(weight[part] * (z - offset))
                else:
                    at = family.slopes((self.x[part] - centre) @ coefficients + offset, y, w)
                    weight[part], term[part] = at.information, np.abs(at.score)
                    if not family.canonical:
                        curvature[part] = np.abs(at.curvature)
        return weight, term, curvature

    def blocks(self) -> Iterator[slice]:
        """Pieces of rows, of a size that a pass over the design is fastest with."""
        size = max(_BLOCK // self.layout.width, 64)
        return (slice(start, start + size) for start in range(0, len(self.y), size))


def _gram(x: Vector, weight: Vector) -> Vector:
    scaled = x * np.sqrt(weight)[:, None]
    return np.asarray(scaled.T @ scaled)


def _subset(population: Population, keep: NDArray[np.bool_]) -> Population:
    if keep.all():
        return population
    columns = {name: values[keep] for name, values in population.columns.items()}
    return replace(population, columns=columns, persons=population.persons[keep])
