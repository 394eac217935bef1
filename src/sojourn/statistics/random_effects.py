"""The random effects of a site's own clusters at given coefficients and covariance: they never leave it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.statistics.clusters import Clusters
from sojourn.statistics.families import Family

Vector = NDArray[np.float64]
MOST_STEPS = 100
_NORMAL = 1e-100  # working weights under this are none
_SETTLED = 1e-24  # the gain of a step, in units of the log-likelihood, relative to the objective's


@dataclass(frozen=True, eq=False)
class Effects:
    """At the modes of the clusters' effects: the working outcome and weight of each row, and the joint likelihood.

    response: less the offset, which no coefficient is of.
    """

    clusters: Clusters
    response: Vector
    weight: Vector
    log_likelihood: float

    @classmethod
    def at_mode(cls, family: Family, clusters: Clusters, fixed: Vector, origin: Vector, covariance: Vector) -> Effects:
        """By damped Newton steps in v, the effects being G v, as G may be singular. fixed: the fixed part of eta."""
        y, w, codes = clusters.rows.y, clusters.rows.w, clusters.codes
        if not len(y):
            return cls(clusters, np.zeros(0), np.zeros(0), 0.0)
        z, q = clusters.z - origin, len(covariance)
        v = np.zeros((clusters.count, q))
        eta, value = fixed, _objective(family, clusters, fixed, v, covariance)
        for _ in range(MOST_STEPS):
            at = family.slopes(eta, y, w)
            turned = clusters.turned(origin, covariance, at.information)
            pulled = clusters.summed(z, (at.score + at.information * (eta - fixed))[:, None])[..., 0]
            move = np.einsum("gij,gj->gi", np.swapaxes(turned, 1, 2), pulled) - v
            size = np.ones(len(v))
            for _ in range(30):
                new = v + size[:, None] * move
                there = fixed + np.einsum("iq,iq->i", z, (new @ covariance)[codes])
                worth = _objective(family, clusters, there, new, covariance)
                worse = worth < value - 1e-12 * (np.abs(value) + 1)
                if not worse.any():
                    break
                size = np.where(worse, size / 2, size)
            change = there - eta
            v, eta, value = new, there, worth
            if float(change @ (at.information * change)) <= _SETTLED * (1 + len(y)):
                break
        at = family.slopes(eta, y, w)
        weighs = at.information > _NORMAL  # so far out that a row weighs nothing, it has no working outcome
        response = eta - clusters.rows.offset + np.where(weighs, at.score, 0.0) / np.where(weighs, at.information, 1.0)
        return cls(clusters, response, at.information, float(value.sum()))


def _objective(family: Family, clusters: Clusters, eta: Vector, v: Vector, covariance: Vector) -> Vector:
    """Of each cluster the log-likelihood less half the effects' squares under their covariance."""
    rows = clusters.rows
    own = family.saturated(rows.y, rows.w) - family.slopes(eta, rows.y, rows.w).deviance / 2
    summed = np.bincount(clusters.codes, weights=own, minlength=len(v))
    return np.asarray(summed - np.einsum("gi,ij,gj->g", v, covariance, v) / 2)
