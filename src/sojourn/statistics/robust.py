"""Sandwich standard errors: the meat is a sum over sites, of the squares of each cluster's share of the score.

    (X'WX)^-1 (sum over clusters u u') (X'WX)^-1,   u the sum of x_i s_i over a cluster's rows

s_i is the derivative of a row's log-likelihood by its linear predictor. HC0: each row is a cluster. HC1: times
n / (n - p). Clusters: times G / (G - 1) (n - 1) / (n - p), as in statsmodels and Stata's `regress`; a cluster lies in
one site, so that one with rows in two sites counts twice.

Source: H. White, Econometrica 48, 1980; J. G. MacKinnon, H. White, J. of Econometrics 29, 1985; K.-Y. Liang, S. L.
Zeger, Biometrika 73, 1986.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Working
from sojourn.statistics.families import Family
from sojourn.statistics.rows import Rows

Vector = NDArray[np.float64]
CHOICES = ("HC0", "HC1", "cluster")
_RANK = 1e-9


def meat_step(newton: Step) -> Step:
    """One round at the estimate, of a model with this step. dispersion: for the evidence of masked rounds."""
    (width,) = newton.broadcast["centre"]
    return Step("meat", {**newton.broadcast, "dispersion": (1,)}, {"meat": (width, width), "clusters": (1,)})


@dataclass(frozen=True, eq=False)
class Meat:
    """Each cluster's part of the score, (clusters, columns), around the round's centre; codes: the cluster of each row.

    HC0 and HC1 square row by row; codes are then the persons, for the evidence alone.
    """

    parts: Vector
    codes: NDArray[np.int64]
    by_row: bool

    @classmethod
    def of(cls, rows: Rows, family: Family, choice: str, column: str | None, at: dict[str, Vector]) -> Meat:
        """At the coefficients that were sent."""
        width = rows.layout.width
        slopes, shape = at["coefficients"][:width], at["coefficients"][width:]
        x = rows.x - at["centre"]
        with np.errstate(all="ignore"):
            eta, y = rows.predicted(family, x, slopes, slice(None), at.get("level"))
            score = family.slopes(eta, y, rows.w, *shape).score
        parts, codes = x * score[:, None], clusters(rows, column)
        if choice == "cluster":
            return cls(_summed(parts, codes), codes, by_row=False)
        return cls(parts, codes, by_row=True)

    def partial(self) -> Partial:
        """What leaves; zeros where the score is not finite."""
        meat = self.parts.T @ self.parts
        if not np.isfinite(meat).all():
            return Partial({"meat": np.zeros_like(meat), "clusters": np.zeros(1, dtype=np.int64)})
        return Partial({"meat": (meat + meat.T) / 2, "clusters": np.array([len(self.parts)])})

    def working(self) -> Working | None:
        """How few clusters, or persons, make up the meat; a cluster's leverage is its share of it."""
        meat = self.parts.T @ self.parts
        if not np.isfinite(meat).all():
            return None
        scale = np.sqrt(np.diag(meat))
        kept = scale > 0
        if not kept.any():
            return Working(0.0, 1.0)
        parts = self.parts[:, kept] / scale[kept]
        sizes = self._of_cluster((parts**2).sum(axis=1))
        return Working(float(sizes.sum() ** 2 / (sizes @ sizes)), self.share(_inverse(parts.T @ parts), kept, scale))

    def share(self, inverse: Vector, kept: NDArray[np.bool_], scale: Vector) -> float:
        """The largest share of a cluster, or a person, in sums with this inverse of the scaled columns."""
        parts = self.parts[:, kept] / scale[kept]
        return float(self._of_cluster(np.einsum("ij,jk,ik->i", parts, inverse, parts)).max(initial=0.0))

    def beside(self, information: Vector, dispersion: float) -> float:
        """The largest share beside all sites, whose meat is close to their information times the dispersion."""
        scale = np.sqrt(np.diag(information) * dispersion)
        kept = scale > 0
        if not kept.any() or not np.isfinite(self.parts).all():
            return np.inf if self.parts.any() else 0.0
        matrix = (information * dispersion)[np.ix_(kept, kept)] / np.outer(scale[kept], scale[kept])
        return self.share(_inverse(matrix), kept, scale)

    def _of_cluster(self, values: Vector) -> Vector:
        return np.bincount(self.codes, weights=values).astype(np.float64) if self.by_row else values


def clusters(rows: Rows, column: str | None) -> NDArray[np.int64]:
    """The cluster of each row, numbered from 0: by a column, or the person."""
    if column is None:
        return np.arange(len(rows.y)) if rows.codes is None else rows.codes
    codes = np.unique(rows.population.column(column), return_inverse=True)[1]
    return np.asarray(codes.ravel(), dtype=np.int64)


def sandwich(covariance: Vector, meat: Vector, choice: str, n: int, clusters: int) -> Vector:
    """The covariance of the coefficients. covariance: the inverse of the information, without any dispersion."""
    p = len(covariance)
    factor = 1.0 if choice == "HC0" else n / (n - p)
    if choice == "cluster":
        factor = clusters / (clusters - 1) * (n - 1) / (n - p)
    return factor * covariance @ meat @ covariance


def _summed(parts: Vector, codes: NDArray[np.int64]) -> Vector:
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    return np.add.reduceat(parts[order], starts, axis=0) if len(starts) else parts[:0]


def _inverse(matrix: Vector) -> Vector:
    return np.asarray(np.linalg.pinv(matrix, rcond=_RANK, hermitian=True))
