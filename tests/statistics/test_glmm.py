"""Penalised quasi-likelihood against its definition on the whole covariance matrix; what it says of itself."""

import numpy as np
import pytest
from federated import NUMBER, column, federation, run

from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.catalogue_models import glmm


def made(family, groups=60, seed=4):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rng.integers(2, 12, groups))
    n = len(g)
    x, z = rng.normal(50, 9, n), rng.normal(size=n)
    eta = -0.3 + 0.05 * (x - 50) - 0.4 * z + rng.normal(size=groups)[g] * 0.9
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))) if family == "binomial" else rng.poisson(np.exp(eta))
    return {"x": x, "z": z, "y": y.astype(float), "g": g.astype(float)}


def split(columns, site_of):
    places = np.asarray(site_of)[columns["g"].astype(int)]
    parts = {f"s{i}": {name: v[places == i] for name, v in columns.items()} for i in range(3)}
    return federation(dict.fromkeys(columns, NUMBER), parts)


def working(columns, family, b, size):
    """Design, working outcomes and their weights at the modes of the effects, on the whole covariance matrix."""
    n = len(columns["y"])
    x = np.column_stack([np.ones(n), columns["x"], columns["z"]])
    same = (columns["g"][:, None] == columns["g"]).astype(float)
    u = np.zeros(n)
    for _ in range(40):
        eta = x @ b + u
        mean = 1 / (1 + np.exp(-eta)) if family == "binomial" else np.exp(eta)
        w = mean * (1 - mean) if family == "binomial" else mean
        z = eta + (columns["y"] - mean) / w
        u = size * same @ np.linalg.solve(np.diag(1 / w) + size * same, z - x @ b)
    return x, same, z, w


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_is_the_fixed_point_of_its_definition(family):
    """Its working outcomes have a linear mixed model whose estimates are those that made them."""
    columns = made(family, 25)
    estimate, asks = run(glmm("y ~ x + z", "g", family=family), split(columns, np.arange(25) % 3))
    size = estimate.facts["random"]["covariance"][0][0]
    x, same, z, w = working(columns, family, column(estimate, "estimate"), size)

    def fit(size):
        left = np.linalg.inv(np.diag(1 / w) + size * same)
        form = x.T @ left @ x
        b = np.linalg.solve(form, x.T @ left @ z)
        r = z - x @ b
        return b, form, -np.linalg.slogdet(left)[1] + np.linalg.slogdet(form)[1] + r @ left @ r

    b, form, value = fit(size)
    errors = np.sqrt(np.diag(np.linalg.inv(form)))
    assert np.abs(column(estimate, "estimate") - b) / errors == pytest.approx(0, abs=1e-7)
    assert column(estimate, "std_error") == pytest.approx(errors, rel=1e-8)
    below, above = fit(size * 0.999)[2], fit(size * 1.001)[2]
    assert value < min(below, above)
    assert abs(above - below) / (above + below - 2 * value) < 5e-3  # it is the lowest to a few millionths
    assert estimate.exactness.startswith("approximate: ")
    assert len(asks) <= 25


@pytest.mark.parametrize("slopes", [(), ("z",)])
def test_any_split_of_whole_clusters_gives_the_same_answer(slopes):
    columns, model = made("binomial"), glmm("y ~ x + z", "g", slopes=slopes)
    whole, _ = run(model, split(columns, np.zeros(60, dtype=int)))
    apart, asks = run(model, split(columns, np.arange(60) % 3)[::-1])
    error = column(whole, "std_error")
    assert np.abs(column(apart, "estimate") - column(whole, "estimate")) / error == pytest.approx(0, abs=1e-7)
    assert apart.facts["laplace_log_likelihood"] == pytest.approx(whole.facts["laplace_log_likelihood"], rel=1e-9)
    assert apart.facts["clusters"] == 60
    assert len(asks) <= 30


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_an_offset_is_a_term_whose_coefficient_is_one(family):
    """An offset of 2 + x / 20 moves the intercept by -2 and the coefficient of x by -1 / 20, and nothing else."""
    columns = made(family)
    columns["o"] = 2 + columns["x"] / 20
    plain, _ = run(glmm("y ~ x + z", "g", family=family), split(columns, np.arange(60) % 3))
    moved, asks = run(glmm("y ~ x + z", "g", family=family, offset="o"), split(columns, np.arange(60) % 3))
    error = column(plain, "std_error")
    shift = column(moved, "estimate") - column(plain, "estimate") + [2, 1 / 20, 0]
    assert np.abs(shift) / error == pytest.approx(0, abs=1e-7)
    assert column(moved, "std_error") == pytest.approx(error, rel=1e-7)
    assert moved.facts["random"]["std_dev"] == pytest.approx(plain.facts["random"]["std_dev"], rel=1e-6)
    assert len(asks) <= 30
    assert glmm("y ~ x + offset(o)", "g") == glmm("y ~ x", "g", offset="o")
    with pytest.raises(PlanError, match="offset already"):
        glmm("y ~ x + offset(o)", "g", offset="o")


def test_the_likelihood_is_laplaces():
    """Against the integral over each cluster's effect, which Laplace's is close to where clusters are large."""
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(12.0), 60)
    y = (rng.random(720) < 1 / (1 + np.exp(-0.2 - rng.normal(size=12)[g.astype(int)]))).astype(float)
    estimate, _ = run(glmm("y ~ 1", "g"), split({"g": g, "y": y, "x": g, "z": g}, np.arange(12) % 3))
    b, size = column(estimate, "estimate")[0], estimate.facts["random"]["std_dev"][0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    eta = b + size * nodes[:, None]
    each = [
        np.log(weights @ np.exp((y[g == k] * eta - np.logaddexp(0, eta)).sum(axis=1)) / np.sqrt(2 * np.pi))
        for k in range(12)
    ]
    assert estimate.facts["laplace_log_likelihood"] == pytest.approx(sum(each), abs=0.05)


def test_what_has_no_such_model_says_so():
    with pytest.raises(PlanError, match="no clusters"):
        glmm("y ~ x", "site")
    columns = made("binomial", 20)
    columns["y"] = np.zeros(len(columns["y"]))
    with pytest.raises(ConvergenceError, match="All outcomes are the same"):
        run(glmm("y ~ x", "g"), split(columns, np.arange(20) % 3))
    columns = made("binomial", 20) | {"z": made("binomial", 20)["x"] * 2}
    with pytest.raises(ConvergenceError, match="z"):
        run(glmm("y ~ x + z", "g"), split(columns, np.arange(20) % 3))
