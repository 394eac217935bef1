"""One statistic on one data set against another program: how many digits agree, in how many rounds, for what bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Estimate, Statistic

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "oracles"), str(TESTS / "statistics")]  # `oracle`, `oracle_data`, `federated`

from federated import column, run  # noqa: E402

HEART, BIRTHS, FALLS = "UCI heart disease, 4 hospitals", "birth weights (birthwt), 3 sites", "made-up falls, 3 sites"


@dataclass(frozen=True)
class Line:
    """One statistic on one data set."""

    statistic: str
    what: str
    data: str
    oracle: str
    digits: float
    rounds: int
    bytes_left: int


def agreeing(found: Any, expected: Any, unit: Any = None) -> float:
    """Digits of the worst number; unit: standard errors, or the expected numbers themselves."""
    found, expected = (np.array(list(given), dtype=float) for given in (found, expected))
    unit = np.where(expected == 0, 1.0, np.abs(expected)) if unit is None else np.array(list(unit), dtype=float)
    apart = float((np.abs(found - expected) / unit).max())
    return round(min(16.0, -np.log10(max(apart, 1e-16))), 1)


def compared(
    statistic: Statistic,
    populations: Sequence[Population],
    words: tuple[str, str, str],
    numbers: Callable[[Estimate], Any],
    expected: Any,
    unit: Any = None,
    name: str = "",
) -> Line:
    """words: what, data, oracle. numbers: what of the estimate is compared."""
    estimate, asks = run(statistic, populations)
    left = [sum(statistic.local(one.step, site, one.broadcast).numbers() for one in asks) for site in populations]
    digits = agreeing(numbers(estimate), expected, unit)
    return Line(name or statistic.name, *words, digits, len(asks), 8 * max(left))


def coefficients(estimate: Estimate) -> np.ndarray:
    """Of a model's table."""
    return column(estimate, "estimate")


def first(*names: str) -> Callable[[Estimate], Any]:
    """These columns of the first row."""
    return lambda estimate: [column(estimate, name)[0] for name in names]


def last(count: int) -> Callable[[Estimate], Any]:
    """The last numbers of the first row."""
    return lambda estimate: estimate.rows[0][-count:]


def cells(estimate: Estimate) -> Any:
    """The last column."""
    return [row[-1] for row in estimate.rows]
