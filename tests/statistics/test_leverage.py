"""The largest leverage of a person: the fast way and the slow way agree, with statsmodels as oracle."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.formula import parse
from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.statistics import leverage
from sojourn.statistics.families import family
from sojourn.statistics.rows import Rows

NUMBER = Variable(Kind.NUMBER)


def rows(columns: dict[str, np.ndarray], formula: str, weights: str | None = None, each: int = 1) -> Rows:
    """One site's rows, so many of each person."""
    persons = (np.arange(len(columns["y"])) // each).astype(np.uint32)
    variables = with_site(dict.fromkeys(columns, NUMBER), ("here",))
    population = Population("here", variables, columns, persons, {})
    return Rows.of(parse(formula), weights, family("gaussian", "identity"), population)


@given(st.integers(0, 2**31), st.integers(20, 60), st.booleans())
def test_both_ways_agree_with_the_hat_matrix(seed: int, n: int, intercept: bool) -> None:
    draw = np.random.default_rng(seed)
    columns = {name: draw.normal(3, 2, n) for name in ("y", "a", "b")} | {"w": draw.uniform(0.1, 3, n)}
    made = rows(columns, "y ~ a + b" + ("" if intercept else " - 1"), weights="w")
    root = np.sqrt(made.w)
    fit = sm.OLS(root * made.y, root[:, None] * made.x).fit()
    hat = fit.get_influence().hat_matrix_diag
    found, rank = leverage.largest_leverage(made)
    assert found == pytest.approx(hat.max(), rel=1e-8)
    assert rank == made.x.shape[1]
    slow, _ = leverage._from_rows(made, made.w)
    assert made.leverages.products is not None
    assert made.leverages.of_row == pytest.approx(slow, rel=1e-7, abs=1e-12)


def test_collinear_columns_go_the_slow_way() -> None:
    draw = np.random.default_rng(1)
    a = draw.normal(size=30)
    made = rows({"y": a * 2, "a": a, "b": a + 1e-12 * draw.normal(size=30)}, "y ~ a + b")
    assert made.leverages.products is None
    assert leverage.largest_leverage(made)[1] == 2


@given(
    seed=st.integers(0, 2**31),
    n=st.integers(20, 400),
    each=st.integers(1, 3),
    intercept=st.booleans(),
    steepness=st.floats(0, 8),
    apart=st.floats(-30, 30),
)
def test_looking_at_few_persons_finds_the_largest_of_all(
    seed: int, n: int, each: int, intercept: bool, steepness: float, apart: float
) -> None:
    """Under working weights, from cross-products around any centre: as the hat matrix of all rows says."""
    draw = np.random.default_rng(seed)
    columns = {name: 1 + draw.standard_t(3, n) for name in ("y", "a", "b")} | {"w": draw.uniform(0.1, 3, n)}
    made = rows(columns, "y ~ a + b" + ("" if intercept else " - 1"), weights="w", each=each)
    mean = 1 / (1 + np.exp(-steepness * columns["a"]))
    weight = made.w * np.maximum(mean * (1 - mean), 1e-12)
    weight[draw.random(n) < 0.1] = 0.0
    weight /= weight.max()
    centre = np.array([0.0, apart, -apart]) if intercept else np.zeros(2)
    centred = made.x - centre
    gram = (centred * weight[:, None]).T @ centred
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leverage, "_FEW", 1.0)  # never give up and look at all
        found = leverage.largest_under(made, weight, gram, centre)
    q, _ = np.linalg.qr(np.sqrt(weight)[:, None] * made.x)
    hat = np.bincount(made.population.persons, weights=(q**2).sum(axis=1))
    assert found == pytest.approx(hat.max(), rel=1e-6)


def test_few_persons_are_looked_at() -> None:
    """The bounds are tight enough to leave out nearly everybody, which is what they are for."""
    draw = np.random.default_rng(3)
    columns = {name: draw.normal(size=20_000) for name in ("y", "a", "b", "c", "d")}
    made = rows(columns, "y ~ a + b + c + d")
    mean = 1 / (1 + np.exp(-columns["a"]))
    weight = mean * (1 - mean)
    looked: list[int] = []
    plain = leverage.Products.leverage

    def counted(self: leverage.Products, turn: np.ndarray, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        looked.append(len(x))
        return plain(self, turn, x, w)

    assert made.leverages.rank == 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leverage.Products, "leverage", counted)
        leverage.largest_under(made, weight, (made.x * weight[:, None]).T @ made.x, np.zeros(5))
    assert 0 < sum(looked) < 2_000
