"""Quadratic forms under an elastic net penalty, minimised exactly from sums alone.

    b' G b / 2 - m' b + sum over penalised columns of (l1 |b| + l2 b^2 / 2)

Coordinate descent finds which coefficients are zero and the signs of the others; the linear equations of these give
them to rounding, and the conditions of Karush, Kuhn and Tucker say whether that is the minimum.

Source: J. Friedman, T. Hastie, R. Tibshirani, J. of Statistical Software 33(1), 2010; H. Zou, T. Hastie, J. R. Statist.
Soc. B 67, 2005.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import NDArray

from sojourn.errors import ConvergenceError

Vector = NDArray[np.float64]
MOST_SWEEPS = 20_000
POLISH = 25  # sweeps between two attempts at the equations
MET = 1e-11  # how closely the conditions are met, relative to the largest moment
STILL = 1e-13  # change of a sweep, relative, at which columns that are copies of each other have settled


@dataclass(frozen=True)
class Penalty:
    """l1, l2: weights of the absolute values and of the halved squares; on: which columns are penalised."""

    l1: float
    l2: float
    on: NDArray[np.bool_]

    def of(self, coefficients: Vector) -> float:
        """Its value."""
        own = coefficients[self.on]
        return float(self.l1 * np.abs(own).sum() + self.l2 / 2 * (own @ own))


def minimise(gram: Vector, moment: Vector, penalty: Penalty, first: Vector) -> Vector:
    """The coefficients, from a guess; a column whose diagonal is zero gets zero."""
    l1, l2 = np.where(penalty.on, penalty.l1, 0.0), np.where(penalty.on, penalty.l2, 0.0)
    there = np.diag(gram) > 0
    curved = np.where(there, np.diag(gram) + l2, 1.0)
    limit = MET * max(float(np.abs(moment).max(initial=0.0)), float(l1.max(initial=0.0)), np.finfo(float).tiny)
    b = np.where(there, first, 0.0)
    rest = moment - gram @ b
    places = np.flatnonzero(there)
    for sweep in range(MOST_SWEEPS):
        largest = 0.0
        for j in places:
            pulled = rest[j] + gram[j, j] * b[j]
            new = np.sign(pulled) * max(abs(pulled) - l1[j], 0.0) / curved[j]
            if (moved := new - b[j]) != 0.0:
                rest -= moved * gram[:, j]
                b[j] = new
                largest = max(largest, abs(moved) * np.sqrt(curved[j]))
        if sweep % POLISH == POLISH - 1 or largest == 0.0:
            if (solved := _polished(gram, moment, l1, l2, b, there, limit)) is not None:
                return solved
            rest = moment - gram @ b
        if largest <= STILL * (1 + float(np.abs(b).max(initial=0.0))):
            return b
    raise ConvergenceError("The penalised fit did not settle.", remedy="Use a larger lambda, or fewer terms.")


def _polished(
    gram: Vector, moment: Vector, l1: Vector, l2: Vector, b: Vector, there: NDArray[np.bool_], limit: float
) -> Vector | None:
    """The minimum, if it has the signs of b."""
    active, sign = there & ((b != 0) | (l1 == 0)), np.sign(b) * (l1 > 0)
    found = np.zeros_like(b)
    try:
        inner = gram[np.ix_(active, active)] + np.diag(l2[active])
        found[active] = np.linalg.solve(inner, (moment - l1 * sign)[active])
    except LinAlgError:
        return None
    slope = moment - gram @ found - l2 * found
    same = (np.sign(found) * (l1 > 0))[active] == sign[active]
    met = np.abs(slope - l1 * sign)[active] <= limit
    still = np.abs(slope)[there & ~active] <= l1[there & ~active] + limit
    return found if same.all() and met.all() and still.all() else None
