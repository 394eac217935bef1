"""The noise is the one that theory demands: scale, centre, shape, and what a neighbour's data can change.

Each test with chance in it fails a sound build with a probability below 1e-7: one test in ten million runs.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sojourn.disclosure.budget import EPSILON, RHO
from sojourn.disclosure.mechanisms import draw, loss_of, scale_for

DRAWS = 40_000
ALPHA = 1e-8


def drawn(unit: str, scale: float, value: int = 0) -> np.ndarray:
    return draw(unit, np.full(DRAWS, value), scale)


def laplace_cells(scale: float, most: int) -> np.ndarray:
    """P(-most), …, P(most) of the discrete Laplace distribution (Ghosh, Roughgarden, Sundararajan 2009)."""
    ratio = math.exp(-1 / scale)
    return np.array([(1 - ratio) / (1 + ratio) * ratio ** abs(k) for k in range(-most, most + 1)])


def gaussian_cells(scale: float, most: int) -> np.ndarray:
    """Of the discrete Gaussian distribution (Canonne, Kamath, Steinke 2020)."""
    wide = int(40 * scale)
    weights = np.exp(-(np.arange(-wide, wide + 1) ** 2) / (2 * scale**2))
    return (weights / weights.sum())[wide - most : wide + most + 1]


def misfit(noise: np.ndarray, cells: np.ndarray) -> float:
    """The p-value of Pearson's chi-squared against the theory, tails joined."""
    most = len(cells) // 2
    observed = np.array([(noise == k).sum() for k in range(-most, most + 1)] + [(np.abs(noise) > most).sum()])
    expected = DRAWS * np.append(cells, 1 - cells.sum())
    return float(stats.chisquare(observed, expected).pvalue)


@pytest.mark.parametrize(("unit", "theory"), [(EPSILON, laplace_cells), (RHO, gaussian_cells)])
@pytest.mark.parametrize("scale", [1.5, 4.0])
def test_shape_and_scale(unit: str, theory, scale: float) -> None:
    assert misfit(drawn(unit, scale), theory(scale, int(4 * scale))) > ALPHA


@pytest.mark.parametrize("unit", [EPSILON, RHO])
def test_without_bias(unit: str) -> None:
    noise = drawn(unit, 5.0, 1_000) - 1_000
    deviation = 5.0 * (math.sqrt(2) if unit == EPSILON else 1)
    assert abs(noise.mean()) < 5.7 * deviation / math.sqrt(DRAWS)  # 5.7 deviations: 1.2e-8


def test_a_planted_defect_is_seen() -> None:
    """No noise, half the scale, and a bias of a tenth of it."""
    assert misfit(np.zeros(DRAWS), laplace_cells(4.0, 16)) < ALPHA
    assert misfit(drawn(EPSILON, 2.0), laplace_cells(4.0, 16)) < ALPHA
    assert misfit(np.rint(drawn(EPSILON, 4.0) + 0.6), laplace_cells(4.0, 16)) < ALPHA


@given(st.integers(1, 1_000), st.floats(1e-3, 5.0))
def test_a_scale_costs_its_share_and_no_smaller_one_does(sensitivity: int, share: float) -> None:
    for unit in (EPSILON, RHO):
        scale = scale_for(unit, sensitivity, share)
        assert loss_of(unit, sensitivity, scale) <= share
        assert loss_of(unit, sensitivity, scale * 0.999) > share


def test_a_neighbour_changes_no_outcome_by_more_than_the_factor() -> None:
    """Both neighbours' outcomes are counted; e^epsilon holds within 6 deviations of the ratio, and is nearly met."""
    epsilon = 0.5
    scale = scale_for(EPSILON, 1, epsilon)
    here, there = (Counter(drawn(EPSILON, scale, value).tolist()) for value in (10, 11))
    worst = 0.0
    for outcome in range(4, 18):
        a, b = here[outcome], there[outcome]
        ratio, error = abs(math.log(a / b)), 6 * math.sqrt(1 / a + 1 / b)
        assert ratio <= epsilon + error
        worst = max(worst, ratio)
    assert worst > 0.8 * epsilon  # no more noise than is needed


def test_too_little_noise_is_seen_by_a_neighbour() -> None:
    here, there = (Counter(drawn(EPSILON, 0.8, value).tolist()) for value in (10, 11))
    a, b = here[10], there[10]
    assert abs(math.log(a / b)) > 0.5 + 6 * math.sqrt(1 / a + 1 / b)
