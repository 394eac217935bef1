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


def rows(columns: dict[str, np.ndarray], formula: str, weights: str | None = None) -> Rows:
    """One site's rows, each a person."""
    persons = np.arange(len(columns["y"]), dtype=np.uint32)
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
    slow, _ = leverage._from_rows(made)
    fast = leverage._from_products(made)
    assert fast is not None
    assert fast[0] == pytest.approx(slow, rel=1e-7, abs=1e-12)


def test_collinear_columns_go_the_slow_way() -> None:
    draw = np.random.default_rng(1)
    a = draw.normal(size=30)
    made = rows({"y": a * 2, "a": a, "b": a + 1e-12 * draw.normal(size=30)}, "y ~ a + b")
    assert leverage._from_products(made) is None
    assert leverage.largest_leverage(made)[1] == 2
