"""Lasso and elastic net against glmnet, scikit-learn and their own conditions; sites left out one after the other."""

import json
from itertools import pairwise

import numpy as np
import pytest
from federated import NUMBER, REFERENCES, column, federation, read_reference, run
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet as Pooled

from sojourn.analysis.penalised import Penalty, minimise
from sojourn.errors import PlanError
from sojourn.statistics.catalogue_models import elastic_net


@pytest.fixture(scope="module")
def cancer():
    sites = read_reference("ml_breast_cancer")
    names = [name for name in sites["s1"][0] if name not in ("site", "target")]
    values = {site: np.array([[float(row[n]) for n in names] for row in rows]) for site, rows in sites.items()}
    pooled = np.concatenate(list(values.values()))
    # glmnet was given columns over their standard deviation with n - 1
    scaled = {site: (x - pooled.mean(0)) / pooled.std(0, ddof=1) for site, x in values.items()}
    data = {
        site: dict(zip(names, scaled[site].T, strict=True)) | {"target": [float(row["target"]) for row in rows]}
        for site, rows in sites.items()
    }
    return names, federation(dict.fromkeys([*names, "target"], NUMBER), data)


def test_logistic_lasso_equals_glmnet(cancer):
    names, populations = cancer
    expected = json.loads((REFERENCES / "ml_breast_cancer" / "reference.json").read_text())
    expected = expected["reference"]["ml_breast_cancer"]["lasso_logit"]
    lambdas = [float(size) for size in expected]
    model = elastic_net("target ~ " + " + ".join(names), "binomial", lambdas=lambdas, standardise=False)
    estimate, asks = run(model, populations)
    found = column(estimate, "estimate").reshape(3, -1)
    for line, size in zip(found, expected, strict=True):
        assert line == pytest.approx(list(expected[size].values()), abs=1e-7)  # glmnet's own tolerance
        assert ((line != 0) == (np.array(list(expected[size].values())) != 0)).all()
    assert len(asks) <= 10
    assert estimate.facts["nonzero"] == [(line[1:] != 0).sum() for line in found]


def made(seed=1, n=300, logistic=False):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) @ (np.eye(6) + 0.6) * [1, 2, 5, 1, 0.1, 3] + 40
    eta = (x - 40) @ [0.5, 0, -0.2, 0, 3, 0]
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float) if logistic else eta + rng.normal(size=n) + 1000
    return x, y


def test_weights_and_offset_equal_scikit_learn():
    x, y = made()
    rng = np.random.default_rng(5)
    w, o = rng.integers(0, 4, 300).astype(float), rng.normal(size=300)
    columns = {**{f"x{j}": x[:, j] for j in range(6)}, "y": y + o, "w": w, "o": o}
    parts = {f"s{i}": {name: v[i::3] for name, v in columns.items()} for i in range(3)}
    sites = federation(dict.fromkeys(columns, NUMBER), parts)
    formula, lambdas = "y ~ " + " + ".join(f"x{j}" for j in range(6)), (0.5, 0.05)
    model = elastic_net(formula, alpha=0.6, lambdas=lambdas, standardise=False, weights="w", offset="o")
    estimate, asks = run(model, sites)
    for line, size in zip(column(estimate, "estimate").reshape(2, -1), lambdas, strict=True):
        oracle = Pooled(alpha=size, l1_ratio=0.6, tol=1e-14, max_iter=100_000).fit(x, y, sample_weight=w)
        assert line == pytest.approx([oracle.intercept_, *oracle.coef_], rel=1e-8, abs=1e-8)
    assert (len(asks), estimate.facts["n"]) == (2, (w > 0).sum())
    twice, _ = run(elastic_net(formula, lambdas=lambdas, weights="w"), sites)
    again = {**columns, "w": 2 * w}
    parts = {f"s{i}": {name: v[i::3] for name, v in again.items()} for i in range(3)}
    same, _ = run(elastic_net(formula, lambdas=lambdas, weights="w"), federation(dict.fromkeys(columns, NUMBER), parts))
    assert column(same, "estimate") == pytest.approx(column(twice, "estimate"), rel=1e-10, abs=1e-12)
    with pytest.raises(PlanError, match="offset already"):
        elastic_net("y ~ x0 + offset(x1)", offset="o")


def test_an_offset_of_a_logistic_path_meets_its_conditions():
    x, y = made(logistic=True)
    o = np.random.default_rng(5).normal(size=300)
    columns = {**{f"x{j}": x[:, j] for j in range(6)}, "y": y, "o": o, "two": np.full(300, 2.0)}
    parts = {f"s{i}": {name: v[i::3] for name, v in columns.items()} for i in range(3)}
    sites = federation(dict.fromkeys(columns, NUMBER), parts)
    formula, lambdas = "y ~ " + " + ".join(f"x{j}" for j in range(6)), (0.1, 0.02)
    model = elastic_net(formula, "binomial", lambdas=lambdas, standardise=False, offset="o")
    estimate, asks = run(model, sites)
    for line, size in zip(column(estimate, "estimate").reshape(2, -1), lambdas, strict=True):
        left = y - 1 / (1 + np.exp(-(line[0] + x @ line[1:] + o)))
        pull = x.T @ left / 300
        assert left.sum() == pytest.approx(0, abs=1e-6)
        there = line[1:] != 0
        assert pull[there] == pytest.approx(size * np.sign(line[1:][there]), abs=1e-7)
        assert (np.abs(pull[~there]) <= size + 1e-9).all()
    assert 0 <= estimate.facts["deviance_ratio"][0] < estimate.facts["deviance_ratio"][1] < 1 and len(asks) <= 12
    plain, _ = run(elastic_net(formula, "binomial", lambdas=lambdas), sites)
    moved, _ = run(elastic_net(formula, "binomial", lambdas=lambdas, offset="two"), sites)
    shift = column(moved, "estimate").reshape(2, -1) - column(plain, "estimate").reshape(2, -1)
    assert shift == pytest.approx(np.tile([-2.0, *(0.0,) * 6], (2, 1)), abs=1e-7)
    assert moved.facts["deviance_ratio"] == pytest.approx(plain.facts["deviance_ratio"], rel=1e-9)


def test_whole_weights_of_a_logistic_lasso_are_rows_so_often():
    x, y = made(logistic=True)
    w = np.random.default_rng(5).integers(0, 3, 300)
    columns = {**{f"x{j}": x[:, j] for j in range(6)}, "y": y, "w": w.astype(float)}
    often = {name: np.repeat(v, w) for name, v in columns.items()}
    formula = "y ~ " + " + ".join(f"x{j}" for j in range(6))
    found = []
    for one, weights in ((columns, "w"), (often, None)):
        parts = {f"s{i}": {name: v[i::3] for name, v in one.items()} for i in range(3)}
        model = elastic_net(formula, "binomial", count=8, weights=weights)
        found.append(run(model, federation(dict.fromkeys(columns, NUMBER), parts))[0])
    assert column(found[0], "estimate") == pytest.approx(column(found[1], "estimate"), rel=1e-7, abs=1e-9)
    assert found[0].facts["deviance_ratio"] == pytest.approx(found[1].facts["deviance_ratio"], rel=1e-9)


def split(x, y, ends=(0, 90, 200, 300)):
    parts = {
        f"s{i}": {**{f"x{j}": x[a:b, j] for j in range(6)}, "y": y[a:b]} for i, (a, b) in enumerate(pairwise(ends))
    }
    return federation(dict.fromkeys([f"x{j}" for j in range(6)] + ["y"], NUMBER), parts)


FORMULA = "y ~ " + " + ".join(f"x{j}" for j in range(6))


@pytest.mark.parametrize("alpha", [1.0, 0.3])
@pytest.mark.parametrize("standardise", [True, False])
def test_linear_equals_scikit_learn(alpha, standardise):
    x, y = made()
    estimate, asks = run(elastic_net(FORMULA, alpha=alpha, count=8, standardise=standardise), split(x, y))
    found = column(estimate, "estimate").reshape(8, -1)
    scale = x.std(axis=0) if standardise else np.ones(6)
    for line, size in zip(found, estimate.facts["lambdas"], strict=True):
        pooled = Pooled(alpha=size, l1_ratio=alpha, tol=1e-14, max_iter=100_000).fit((x - x.mean(0)) / scale, y)
        assert line[1:] * scale == pytest.approx(pooled.coef_, abs=1e-9)
        assert line[0] == pytest.approx(pooled.intercept_ - (x.mean(0) / scale) @ pooled.coef_, abs=1e-8)
        ratio = 1 - ((y - pooled.predict((x - x.mean(0)) / scale)) ** 2).sum() / ((y - y.mean()) ** 2).sum()
        assert estimate.facts["deviance_ratio"][estimate.facts["lambdas"].index(size)] == pytest.approx(
            ratio, abs=1e-10
        )
    assert (found[0, 1:] == 0).all()
    assert len(asks) == 2


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_logistic_meets_its_conditions(alpha):
    x, y = made(logistic=True)
    estimate, _ = run(elastic_net(FORMULA, "binomial", alpha, count=8), split(x, y))
    scale = x.std(axis=0)
    for line, size in zip(column(estimate, "estimate").reshape(8, -1), estimate.facts["lambdas"], strict=True):
        p = 1 / (1 + np.exp(-line[0] - x @ line[1:]))
        slope, b = (x - x.mean(0)).T @ (y - p) / scale / 300, line[1:] * scale
        assert abs((y - p).mean()) < 1e-10
        assert np.abs(slope - size * (1 - alpha) * b)[b == 0] == pytest.approx(0, abs=size * alpha + 1e-9)
        assert (slope - size * ((1 - alpha) * b + alpha * np.sign(b)))[b != 0] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_leaving_out_a_site_is_fitting_the_others(family):
    x, y = made(logistic=family == "binomial")
    populations, lambdas = split(x, y), (0.2, 0.05, 0.01)
    estimate, _ = run(elastic_net(FORMULA, family, lambdas=lambdas, cross_validate=True), populations)
    errors, sizes = [], []
    for left in populations:
        rest = [one for one in populations if one is not left]
        fit, _ = run(elastic_net(FORMULA, family, lambdas=lambdas), rest)
        own = np.column_stack([left.columns[f"x{j}"] for j in range(6)])
        out = left.columns["y"]
        for line in column(fit, "estimate").reshape(3, -1):
            eta = line[0] + own @ line[1:]
            deviance = 2 * (np.logaddexp(0, eta) - out * eta)
            errors.append(np.mean(deviance if family == "binomial" else (out - eta) ** 2))
        sizes.append(left.rows)
    expected = np.average(np.reshape(errors, (3, 3)), axis=0, weights=sizes)
    facts = estimate.facts
    assert facts["cross_validation"]["mean"] == pytest.approx(expected, rel=1e-8)
    assert facts["lambda_min"] == lambdas[int(np.argmin(expected))]
    assert facts["lambda_1se"] >= facts["lambda_min"]


@settings(max_examples=8, deadline=None)
@given(places=st.lists(st.integers(0, 3), min_size=300, max_size=300), family=st.sampled_from(["gaussian", "binomial"]))
def test_any_split_gives_the_same_path(places, family):
    x, y = made(logistic=family == "binomial")
    order = np.argsort(places, kind="stable")
    ends = [0, *np.cumsum(np.bincount(places, minlength=4))]
    model = elastic_net(FORMULA, family, lambdas=(0.1, 0.01))
    pooled, _ = run(model, split(x, y, (0, 300)))
    apart, _ = run(model, split(x[order], y[order], ends))
    assert column(apart, "estimate") == pytest.approx(column(pooled, "estimate"), rel=1e-9, abs=1e-9)


def test_copies_constants_and_columns_far_from_zero():
    x, y = made()
    x = np.round(x * 1024) / 1024
    x[:, 3], x[:, 4] = x[:, 0], 7.0
    near, _ = run(elastic_net(FORMULA, lambdas=[0.1]), split(x, y))
    far, _ = run(elastic_net(FORMULA, lambdas=[0.1]), split(x + 2**30, y))
    assert column(near, "estimate")[5] == 0
    assert column(far, "estimate")[1:] == pytest.approx(column(near, "estimate")[1:], rel=1e-9, abs=1e-9)
    fitted = column(near, "estimate")[[1, 4]].sum()
    alone, _ = run(elastic_net("y ~ x0 + x1 + x2 + x5", lambdas=[0.1]), split(x, y))
    assert fitted == pytest.approx(column(alone, "estimate")[1], rel=1e-8)


def test_minimise_is_exact_where_the_signs_are_found():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(20, 5))
    gram, moment = a.T @ a, rng.normal(size=5) * 10
    penalty = Penalty(3.0, 0.5, np.array([False, True, True, True, True]))
    b = minimise(gram, moment, penalty, np.zeros(5))
    slope = moment - gram @ b - np.where(penalty.on, 0.5 * b, 0)
    assert slope[0] == pytest.approx(0, abs=1e-12)
    assert (np.abs(slope[1:]) <= 3 + 1e-12).all()


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"formula": "y ~ 0 + x0"}, "formula"),
        ({"formula": "y ~ x0 + offset(x1)", "family": "binomial"}, "lambdas"),
        ({"formula": FORMULA, "alpha": 0}, "alpha"),
        ({"formula": FORMULA, "lambdas": [0.1, -1]}, "lambdas"),
        ({"formula": FORMULA, "count": 2.5}, "count"),
    ],
)
def test_arguments(arguments, field):
    with pytest.raises(PlanError) as caught:
        elastic_net(**arguments)
    assert caught.value.field == f"elastic_net.{field}"
    assert caught.value.remedy


def test_two_sites_are_too_few_to_leave_one_out():
    x, y = made()
    with pytest.raises(PlanError, match="three sites"):
        run(elastic_net(FORMULA, cross_validate=True), split(x, y, (0, 150, 300)))
