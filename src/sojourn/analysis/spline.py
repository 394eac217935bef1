"""B-splines by the Cox-de Boor recursion (C. de Boor, A Practical Guide to Splines, 2001, ch. IX)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def basis(values: Vector, knots: Sequence[float], degree: int, low: float, high: float) -> NDArray[np.float64]:
    """All B-spline functions, (rows, knots + degree + 1), of values from `low` to `high`; each row sums to 1."""
    places = np.array([*[low] * (degree + 1), *knots, *[high] * (degree + 1)], dtype=np.float64)
    last = len(places) - degree - 2
    interval = np.clip(np.searchsorted(places, values, side="right") - 1, degree, last)
    functions = np.zeros((len(values), len(places) - 1))
    functions[np.arange(len(values)), interval] = 1.0
    for order in range(1, degree + 1):
        for index in range(len(places) - order - 1):
            functions[:, index] = _blend(places, values, functions, index, order)
    return functions[:, : last + 1]


def _blend(places: Vector, values: Vector, functions: NDArray[np.float64], index: int, order: int) -> Vector:
    """One function of the next order; a span of width zero gives nothing."""
    left, right = places[index + order] - places[index], places[index + order + 1] - places[index + 1]
    result = np.zeros(len(values))
    if left > 0:
        result += (values - places[index]) / left * functions[:, index]
    if right > 0:
        result += (places[index + order + 1] - values) / right * functions[:, index + 1]
    return result
