"""Firth's penalised likelihood: exact answers of small tables, a pooled search by another way, and separation."""

from itertools import pairwise

import numpy as np
import pytest
from federated import BOOLEAN, NUMBER, column, federation, run
from scipy.optimize import minimize
from scipy.stats import chi2
from test_glm_references import birthwt  # noqa: F401 (a fixture)

from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.catalogue_models import firth, glm


def table(cells):
    """Rows of a table: (x, y, how many)."""
    rows = [(x, y) for x, y, n in cells for _ in range(n)]
    return {"x": np.array([x for x, _ in rows], dtype=bool), "y": np.array([y for _, y in rows], dtype=float)}


def split(columns, variables, ends):
    parts = {f"s{i}": {name: v[a:b] for name, v in columns.items()} for i, (a, b) in enumerate(pairwise(ends))}
    return federation(variables, parts)


@pytest.mark.parametrize("cells", [(12, 0, 9, 14), (20, 3, 7, 15), (0, 11, 16, 0)])
def test_a_saturated_table_is_that_with_half_a_person_more_in_each_cell(cells):
    a, b, c, d = cells
    columns = table([(1, 1, a), (1, 0, b), (0, 1, c), (0, 0, d)])
    shuffled = np.random.default_rng(0).permutation(sum(cells))
    columns = {name: values[shuffled] for name, values in columns.items()}
    populations = split(columns, {"x": BOOLEAN, "y": NUMBER}, (0, 10, 10, sum(cells)))
    estimate, asks = run(firth("y ~ x"), populations)
    half = np.array(cells) + 0.5
    expected = np.log([half[2] / half[3], half[0] * half[3] / half[1] / half[2]])
    assert column(estimate, "estimate") == pytest.approx(expected, rel=1e-10)
    p = np.array([half[0] / half[:2].sum(), half[2] / half[2:].sum()])
    weight = np.array([a + b, c + d]) * p * (1 - p)
    assert column(estimate, "std_error") == pytest.approx(np.sqrt([1 / weight[1], (1 / weight).sum()]), rel=1e-8)
    assert len(asks) <= 22


def penalised(x, y, offset, family):
    """Minus the penalised log-likelihood, without constants, and its numerical maximum by another method."""

    def value(b):
        eta = x @ b + offset
        if family == "binomial":
            p = 1 / (1 + np.exp(-eta))
            w, log_likelihood = p * (1 - p), (y * eta - np.logaddexp(0, eta)).sum()
        else:
            w, log_likelihood = np.exp(eta), (y * eta - np.exp(eta)).sum()
        return -log_likelihood - np.linalg.slogdet(x.T @ (x * w[:, None]))[1] / 2

    def slope(b):
        eta = x @ b + offset
        p = 1 / (1 + np.exp(-eta)) if family == "binomial" else np.exp(eta)
        w = p * (1 - p) if family == "binomial" else p
        h = w * np.einsum("ij,ji->i", x, np.linalg.solve(x.T @ (x * w[:, None]), x.T))
        return -x.T @ (y - p + h * ((0.5 - p) if family == "binomial" else 0.5))

    best = minimize(value, np.zeros(x.shape[1]), jac=slope, method="BFGS", options={"gtol": 1e-7}).x
    for _ in range(5):  # polished by the derivative of its slope
        rate = np.array([(slope(best + e) - slope(best - e)) / 2e-5 for e in np.eye(len(best)) * 1e-5])
        best = best - np.linalg.solve(rate, slope(best))
    eta = x @ best + offset
    p = 1 / (1 + np.exp(-eta)) if family == "binomial" else np.exp(eta)
    w = p * (1 - p) if family == "binomial" else p
    return best, np.sqrt(np.diag(np.linalg.inv(x.T @ (x * w[:, None])))), -value(best)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
@pytest.mark.parametrize(("n", "ends"), [(60, (0, 25, 60)), (400, (0, 100, 100, 280, 400))])
def test_equals_a_pooled_search(family, n, ends):
    rng = np.random.default_rng(n)
    x, z, o = rng.normal(size=n), rng.random(n) < 0.2, rng.uniform(0, 1, n)
    eta = -0.5 + 0.8 * x + z
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))) if family == "binomial" else rng.poisson(np.exp(eta - 1))
    columns = {"x": 10 * x + 60, "z": z, "o": o, "y": y.astype(float)}
    populations = split(columns, {"x": NUMBER, "o": NUMBER, "y": NUMBER, "z": BOOLEAN}, ends)
    estimate, asks = run(firth("y ~ x + z", family, offset="o"), populations)
    design = np.column_stack([np.ones(n), x, z]).astype(float)
    found, errors, _ = penalised(design, columns["y"], o, family)
    slopes = column(estimate, "estimate")[1:] * [10, 1]
    assert np.max(np.abs(slopes - found[1:]) / errors[1:]) < 1e-8
    assert column(estimate, "std_error")[1:] * [10, 1] == pytest.approx(errors[1:], rel=1e-8)
    assert len(asks) <= 22


def test_separated_outcomes_have_an_estimate():
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=90), np.arange(90) < 15
    y = np.where(z, 1.0, rng.random(90) < 0.4)
    columns = {"x": x, "z": z, "y": y}
    populations = split(columns, {"x": NUMBER, "y": NUMBER, "z": BOOLEAN}, (0, 40, 60, 90))
    with pytest.raises(ConvergenceError, match=r"z\[T.True\]"):
        run(glm("y ~ x + z", "binomial"), populations)
    estimate, asks = run(firth("y ~ x + z"), populations)
    design = np.column_stack([np.ones(90), x, z]).astype(float)
    found, errors, _ = penalised(design, y, np.zeros(90), "binomial")
    assert np.max(np.abs(column(estimate, "estimate") - found) / errors) < 1e-8
    assert len(asks) <= 22


def test_profile_intervals_end_where_the_profile_has_fallen_far_enough():
    """By another way: at each end the penalised likelihood, maximised over the others, is lower by 3.84 / 2."""
    rng = np.random.default_rng(1)
    x, z = rng.normal(size=90), np.arange(90) < 15
    y = np.where(z, 1.0, rng.random(90) < 0.4)  # z separates
    sites = split({"x": x, "z": z, "y": y}, {"x": NUMBER, "y": NUMBER, "z": BOOLEAN}, (0, 40, 60, 90))
    wald, _ = run(firth("y ~ x + z"), sites)
    estimate, asks = run(firth("y ~ x + z", interval="profile"), sites)
    design, least = np.column_stack([np.ones(90), x, z]).astype(float), wald.facts["penalised_log_likelihood"]

    def profile(place: int, value: float) -> float:
        others = [k for k in range(3) if k != place]

        def minus(free: np.ndarray) -> float:
            b = np.insert(free, place, value)
            eta = design @ b
            p = 1 / (1 + np.exp(-eta))
            information = design.T @ (design * (p * (1 - p))[:, None])
            return float(np.logaddexp(0, eta).sum() - y @ eta - np.linalg.slogdet(information)[1] / 2)

        start = column(wald, "estimate")[others]
        return -minimize(minus, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-11}).fun

    assert column(estimate, "estimate") == pytest.approx(column(wald, "estimate"), rel=1e-12)
    assert column(estimate, "std_error") == pytest.approx(column(wald, "std_error"), rel=1e-12)
    for place in range(3):
        for end in ("ci_low", "ci_high"):
            fallen = 2 * (least - profile(place, column(estimate, end)[place]))
            assert fallen == pytest.approx(3.841458820694124, rel=1e-7)
        ratio = 2 * (least - profile(place, 0.0))
        assert column(estimate, "statistic")[place] ** 2 == pytest.approx(ratio, rel=1e-7)
        assert column(estimate, "p_value")[place] == pytest.approx(chi2.sf(ratio, 1), rel=1e-6)
    assert column(estimate, "ci_high")[2] > column(wald, "ci_high")[2] + 1  # towards the side that separates
    assert len(asks) <= 36 and not estimate.warnings
    assert firth("y ~ x", interval="profile").arguments() == {"formula": "y ~ x", "interval": "profile"}


def test_birth_weights_in_any_split(birthwt):  # noqa: F811
    formula = "low ~ age + lwt + race + smoke + ptd + ht + ui + ftv"
    apart, asks = run(firth(formula), birthwt)
    again, _ = run(firth(formula), birthwt[::-1])
    assert column(apart, "estimate") == pytest.approx(column(again, "estimate"), rel=1e-11)
    plain, _ = run(glm(formula, "binomial"), birthwt)
    assert (np.abs(column(apart, "estimate"))[1:-1] < np.abs(column(plain, "estimate"))[1:-1]).all()  # towards zero
    assert len(asks) <= 18


def test_collinear_terms_and_arguments():
    columns = {"x": np.arange(30.0), "z": np.arange(30) < 0, "y": np.arange(30) % 2.0}
    with pytest.raises(ConvergenceError, match="z"):
        run(firth("y ~ x + z"), split(columns, {"x": NUMBER, "y": NUMBER, "z": BOOLEAN}, (0, 30)))
    with pytest.raises(PlanError, match="no intercept"):
        firth("y ~ 0 + x")
