"""What persons give to the squares of a normal model's outcome: about a mean, and of what a fit leaves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.matrix import Piece
from sojourn.analysis.sets import largest_two
from sojourn.analysis.support import Contributions
from sojourn.analysis.terms import Column, Factor, Survival
from sojourn.analysis.variable import Kind
from sojourn.statistics.design import most_of_piece
from sojourn.statistics.moments import width_of
from sojourn.statistics.rows import Rows

Vector = NDArray[np.float64]
_RANK = 1e-12  # eigenvalues of scaled cross-products under this share of the largest are zero
_ROUNDING = 1e-12  # what is left of an outcome, relative to the largest, where it is rounding


def outcome_squares(rows: Rows, outcome: Factor | Survival, family: str) -> tuple[Contributions, ...]:
    """What persons give to the squares of an outcome about its mean, and to what a least squares fit leaves of them.

    A normal model's sums tell both of each site. Nothing where the outcome has declared levels, or for other families.
    """
    if isinstance(outcome, Survival) or family != "gaussian":
        return ()
    if rows.population.variables[outcome.name].kind is Kind.BOOLEAN:
        return ()
    root = None if (rows.w == 1).all() else np.sqrt(rows.w)[:, None]
    y = (rows.y - rows.offset) * (1.0 if root is None else root[:, 0])
    found = []
    for name, x in (("squares of the outcome", np.ones((len(y), 1))), ("squares of the residuals", rows.x)):
        left = _left_over(x if root is None else x * root, y)
        found.append(_squares_of(rows, name, left, outcome))
    return tuple(found)


def squares_about(rows: Rows, outcome: Factor | Survival, mean: float) -> tuple[Contributions, ...]:
    """What persons give to the squares of an outcome about this mean; nothing where its levels are declared."""
    left = (rows.y - rows.offset - mean) * np.sqrt(rows.w)
    return squares_left(rows, outcome, left, "squares of the outcome")


def squares_left(
    rows: Rows, outcome: Factor | Survival, left: Vector, name: str = "squares of the residuals"
) -> tuple[Contributions, ...]:
    """What persons give to the squares of these rests of an outcome; nothing where its levels are declared."""
    if isinstance(outcome, Survival) or rows.population.variables[outcome.name].kind is Kind.BOOLEAN:
        return ()
    return (_squares_of(rows, name, left, outcome),)


def _squares_of(rows: Rows, name: str, left: Vector, outcome: Factor) -> Contributions:
    """What persons give to the sum of squares of these rests of an outcome; what is rounding alone is nothing."""
    variable, size = rows.population.variables[outcome.name], np.abs(rows.y).max(initial=0.0)
    most = width_of(variable) if isinstance(outcome, Column) else 2 * most_of_piece(Piece(outcome, name), variable)
    sizes = rows.per_person(np.where(np.abs(left) > _ROUNDING * size, left, 0.0) ** 2)
    largest, second = largest_two(sizes[:, None])
    return Contributions((name,), largest, second, np.array([sizes.sum()]), np.array([most**2]))


def _left_over(x: Vector, y: Vector) -> Vector:
    """What a least squares fit leaves of y, columns that follow from others left aside."""
    gram = x.T @ x
    size = np.sqrt(np.diag(gram))
    size = np.where(size > 0, size, 1.0)
    inverse = np.linalg.pinv(gram / np.outer(size, size), rcond=_RANK, hermitian=True)
    for _ in range(2):  # the second time what rounding left
        y = y - x @ (inverse @ (x.T @ y / size) / size)
    return np.asarray(y)
