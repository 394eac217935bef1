"""Linear mixed models against lme4 and a pooled likelihood; clusters inside sites, and sites as clusters."""

import json

import numpy as np
import pytest
from federated import NUMBER, REFERENCES, column, federation, read_reference, run
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.mixed import Blocks, Criterion, elements, profile
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.catalogue_models import lmm

NAMES = ("Reaction", "Days", "Subject")


@pytest.fixture(scope="module")
def sleep():
    sites = {
        site: {name: [float(row[name]) for row in rows] for name in NAMES}
        for site, rows in read_reference("lmm_sleepstudy").items()
    }
    return federation(dict.fromkeys(NAMES, NUMBER), sites)


CASES = {
    "reml": (lmm("Reaction ~ Days", "Subject", slopes="Days"), "Subject"),
    "ml": (lmm("Reaction ~ Days", "Subject", slopes="Days", method="ML"), "Subject"),
    "ri_reml": (lmm("Reaction ~ Days", "Subject"), "Subject"),
    "site_ri_reml": (lmm("Reaction ~ Days", "site"), "site"),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_lme4(sleep, case):
    expected = json.loads((REFERENCES / "lmm_sleepstudy" / "reference.json").read_text())["reference"][
        "lmm_sleepstudy"
    ][case]
    statistic, group = CASES[case]
    estimate, asks = run(statistic, sleep)
    error = np.array(list(expected["se"].values()))
    assert np.abs(column(estimate, "estimate") - list(expected["fixef"].values())) / error == pytest.approx(0, abs=1e-9)
    assert column(estimate, "std_error") == pytest.approx(error, rel=2e-6)  # lme4's optimiser stops before
    assert estimate.facts["log_likelihood"] == pytest.approx(expected["loglik"], rel=1e-10)
    assert estimate.facts["sigma"] == pytest.approx(expected["sigma"], rel=1e-6)
    assert estimate.facts["random"]["std_dev"] == pytest.approx(list(expected["vc"][group]["sd"].values()), rel=1e-5)
    assert np.ravel(estimate.facts["random"]["covariance"]) == pytest.approx(
        np.ravel(expected["vc"][group]["cov"]), rel=5e-4
    )
    assert estimate.facts["clusters"] == (4 if group == "site" else 18)
    assert len(asks) <= (2 if group == "site" else 12)


def made(seed=1, groups=40, spread=(1.0, 0.3)):
    """Unbalanced clusters with a random intercept and slope; columns of floats."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rng.integers(1, 9, groups))
    n = len(g)
    x, z = rng.normal(50, 9, n), rng.normal(size=n)
    u = rng.normal(size=(groups, 2)) * spread
    y = 3 + 0.2 * x - z + u[g, 0] + u[g, 1] * (x - 50) / 9 + rng.normal(size=n)
    w = rng.integers(1, 4, n) / 2
    return {"x": x, "z": z, "y": y, "g": g.astype(float), "w": w, "one": np.ones(n)}


def split(columns, site_of):
    """site_of: the site of each cluster."""
    places = np.asarray(site_of)[columns["g"].astype(int)]
    parts = {f"s{i}": {name: v[places == i] for name, v in columns.items()} for i in range(3)}
    return federation(dict.fromkeys(columns, NUMBER), parts)


def dense(columns, names, covariance, sigma, restricted, weights="one"):
    """-2 log-likelihood, and the fixed effects, from the whole covariance matrix of the outcomes."""
    n = len(columns["y"])
    x = np.column_stack([np.ones(n), columns["x"], columns["z"]])
    z = np.column_stack([np.ones(n), *(columns[name] for name in names)])
    v = (z @ covariance @ z.T) * (columns["g"][:, None] == columns["g"]) + np.diag(sigma**2 / columns[weights])
    w = np.linalg.inv(v)
    b = np.linalg.solve(x.T @ w @ x, x.T @ w @ columns["y"])
    r = columns["y"] - x @ b
    value = np.linalg.slogdet(v)[1] + r @ w @ r + (n - 3 * restricted) * np.log(2 * np.pi)
    value += np.linalg.slogdet(x.T @ w @ x)[1] * restricted
    return value, b, np.sqrt(np.diag(np.linalg.inv(x.T @ w @ x)))


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize(("slopes", "weights"), [((), "one"), (("x",), "one"), ((), "w"), (("x",), "w")])
def test_is_the_maximum_of_the_dense_likelihood(method, slopes, weights):
    columns = made()
    model = lmm("y ~ x + z", "g", slopes=slopes, method=method, weights=None if weights == "one" else weights)
    estimate, asks = run(model, split(columns, np.arange(40) % 3))
    sigma, covariance = estimate.facts["sigma"], np.array(estimate.facts["random"]["covariance"])
    best, b, errors = dense(columns, slopes, covariance, sigma, method == "REML", weights)
    assert estimate.facts["log_likelihood"] == pytest.approx(-best / 2, rel=1e-10)
    assert np.abs(column(estimate, "estimate") - b) / errors == pytest.approx(0, abs=1e-9)
    assert column(estimate, "std_error") == pytest.approx(errors, rel=1e-8)
    for i, j in elements(1 + len(slopes)):
        for move in (1e-3, -1e-3):
            near = covariance.copy()
            near[i, j] = near[j, i] = covariance[i, j] * (1 + move)
            assert dense(columns, slopes, near, sigma, method == "REML", weights)[0] > best
    assert dense(columns, slopes, covariance, sigma * 1.001, method == "REML", weights)[0] > best
    assert len(asks) <= 12


def test_variances_at_the_edge_take_few_rounds():
    """A slope that hardly varies beside few rows a cluster: the search neither runs off nor stops at zero."""
    for seed in (1, 5, 9):
        columns = made(seed, spread=(0.1, 0.05))
        estimate, asks = run(lmm("y ~ x + z", "g", slopes="x"), split(columns, np.arange(40) % 3))
        sigma, covariance = estimate.facts["sigma"], np.array(estimate.facts["random"]["covariance"])
        best = -2 * estimate.facts["log_likelihood"]
        for factor in (0.9, 1.1):
            assert dense(columns, ("x",), covariance * factor, sigma, True)[0] >= best - 1e-9 * abs(best)
        for grown in (np.diag([1e-4, 0.0]), np.diag([0.0, 1e-6])):
            assert dense(columns, ("x",), covariance + grown, sigma, True)[0] >= best - 1e-6
        assert len(asks) <= 20


def test_sites_as_clusters_with_weights_are_the_clusters_of_a_column():
    columns = made()
    columns["g"] = columns["g"] % 3
    columns = {name: columns[name] for name in ("x", "z", "y", "g", "w")}
    sites = split(columns, np.arange(3))
    of_sites, _ = run(lmm("y ~ x", "site", weights="w"), sites)
    of_column, _ = run(lmm("y ~ x", "g", weights="w"), sites)
    assert column(of_sites, "estimate") == pytest.approx(column(of_column, "estimate"), rel=1e-8)
    assert of_sites.facts["log_likelihood"] == pytest.approx(of_column.facts["log_likelihood"], rel=1e-12)


@settings(max_examples=10, deadline=None)
@given(site_of=st.lists(st.integers(0, 2), min_size=40, max_size=40), slopes=st.sampled_from([(), ("x",)]))
def test_any_split_of_whole_clusters_gives_the_same_answer(site_of, slopes):
    columns, model = made(), lmm("y ~ x + z", "g", slopes=slopes)
    pooled, _ = run(model, split(columns, np.zeros(40, dtype=int)))
    apart, _ = run(model, split(columns, site_of)[::-1])
    error = column(pooled, "std_error")
    assert np.abs(column(apart, "estimate") - column(pooled, "estimate")) / error == pytest.approx(0, abs=1e-9)
    assert column(apart, "std_error") == pytest.approx(error, rel=1e-8)
    assert apart.facts["log_likelihood"] == pytest.approx(pooled.facts["log_likelihood"], rel=1e-11)


def test_slopes_far_from_zero_and_outcomes_near_1e9_lose_nothing():
    columns = {name: np.round(values * 1024) / 1024 for name, values in made().items()}
    far = {**columns, "x": columns["x"] + 2**17, "y": columns["y"] + 2**30}
    near, _ = run(lmm("y ~ x + z", "g", slopes="x"), split(columns, np.arange(40) % 3))
    moved, _ = run(lmm("y ~ x + z", "g", slopes="x"), split(far, np.arange(40) % 3))
    assert column(moved, "estimate")[1:] == pytest.approx(column(near, "estimate")[1:], rel=1e-8)
    assert moved.facts["sigma"] == pytest.approx(near.facts["sigma"], rel=1e-8)


def test_no_variance_between_clusters_is_found_and_said():
    rng = np.random.default_rng(5)
    columns = made()
    columns["y"] = columns["x"] + rng.normal(size=len(columns["x"]))
    columns["g"] = np.arange(len(columns["g"])) % 40.0  # no cluster has anything of its own
    estimate, asks = run(lmm("y ~ x", "g"), split(columns, np.arange(40) % 3))
    if estimate.facts["random"]["std_dev"][0] < 1e-3:
        assert any("zero" in warning for warning in estimate.warnings)
        x = np.column_stack([np.ones(len(columns["x"])), columns["x"]])
        assert column(estimate, "estimate") == pytest.approx(np.linalg.lstsq(x, columns["y"])[0], rel=1e-6)
    assert len(asks) <= 12


def test_persons_are_clusters_and_sites_are():
    columns = made()
    populations = split(columns, np.arange(40) % 3)
    for one in populations:
        one.persons[:] = one.columns["g"].astype(np.uint32)
    named, _ = run(lmm("y ~ x", "g"), populations)
    persons, _ = run(lmm("y ~ x"), populations)
    assert column(persons, "estimate") == pytest.approx(column(named, "estimate"), rel=1e-12)
    for one in populations:
        one.variables["s"] = NUMBER
        one.columns["s"] = np.full(one.rows, float(one.site[1:]))
    by_site, asks = run(lmm("y ~ x", "site"), populations)
    by_column, _ = run(lmm("y ~ x", "s"), populations)
    assert column(by_site, "estimate") == pytest.approx(column(by_column, "estimate"), rel=1e-9)
    assert len(asks) == 2
    assert "only 3 clusters" in by_site.warnings[0]


def test_derivatives_are_differences():
    rng = np.random.default_rng(2)
    z = rng.normal(size=(6, 5, 2))
    xy = rng.normal(size=(6, 5, 3))
    blocks = Blocks(np.einsum("gij,gik->jk", xy, xy), np.einsum("gij,gik->gjk", z, xy), np.einsum("gij,gik->gjk", z, z))
    g, step, criterion = np.array([[1.0, 0.2], [0.2, 0.5]]), 1e-5, Criterion(30, restricted=True)
    at = profile(blocks, g)
    value, slope, bend = criterion.at(at)
    for place, (i, j) in enumerate(elements(2)):
        unit = np.zeros((2, 2))
        unit[i, j] = unit[j, i] = step
        low, high = profile(blocks, g - unit), profile(blocks, g + unit)
        for name, derivative in (
            ("quadratic", at.first),
            ("first", at.second),
            ("volume", at.slope),
            ("slope", at.bend),
        ):
            found = (getattr(high, name) - getattr(low, name)) / (2 * step)
            assert np.ravel(derivative[place]) == pytest.approx(np.ravel(found), rel=1e-6, abs=1e-6), name
        (lower, below, _), (upper, above, _) = criterion.at(low), criterion.at(high)
        assert slope[place] == pytest.approx((upper - lower) / (2 * step), rel=1e-5, abs=1e-6)
        assert bend[place] == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-6)
    assert np.isfinite(value)


# --- what stands behind the sums ---------------------------------------------------------------------------------


def test_shares_of_persons_are_those_of_the_dense_model():
    columns = made()
    [one] = [p for p in split(columns, np.zeros(40, dtype=int)) if p.rows]
    one.persons[:] = one.columns["g"].astype(np.uint32)
    model = lmm("y ~ x + z", "g")
    centre, covariance = np.array([0.0, 50.0, 0.0, 13.0]), np.array([[0.7]])
    found = model.working("profile", one, {"centre": centre, "origin": np.zeros(1), "covariance": covariance})
    x = np.column_stack([np.ones(one.rows), columns["x"] - 50, columns["z"]])
    v = np.eye(one.rows) + 0.7 * (columns["g"][:, None] == columns["g"])
    left = np.linalg.solve(v, x)
    share = np.einsum("ij,jk,ik->i", x, np.linalg.inv(x.T @ left), left)
    total = np.linalg.solve(
        v, np.column_stack([x, columns["y"] - 13])
    )  # V^-1 sums up to (I + G S)^-1 of a cluster's sums
    parts = np.array([total[columns["g"] == g].sum(axis=0) for g in range(40)])
    of_cluster = np.einsum("ij,jk,ik->i", parts, np.linalg.inv(parts.T @ parts), parts)
    of_person = np.bincount(columns["g"].astype(int), weights=share)
    assert found.leverage == pytest.approx(max(of_person.max(), of_cluster.max()), rel=1e-9)
    weight = np.bincount(columns["g"].astype(int), weights=np.diag(np.linalg.inv(v)))
    assert found.effective <= weight.sum() ** 2 / (weight**2).sum() + 1e-9
    assert found.effective > 10
    design = model.support(one).design
    assert design.clusters == 40
    assert design.parameters == 3 + 2


def test_one_person_with_most_rows_is_seen():
    columns = made()
    heavy = {name: np.concatenate([v, np.repeat(v[:1], 300)]) for name, v in columns.items()}
    heavy["x"][-300:] = np.linspace(0, 400, 300)
    [one] = [p for p in split(heavy, np.zeros(40, dtype=int)) if p.rows]
    one.persons[:] = one.columns["g"].astype(np.uint32)
    at = {"centre": np.array([0.0, 50.0, 0.0, 13.0]), "origin": np.zeros(1), "covariance": np.array([[0.7]])}
    assert lmm("y ~ x + z", "g").working("profile", one, at).leverage > 1 / 3


def test_a_cluster_far_from_all_others_is_seen_in_the_derivatives():
    """Its row weighs no more than others do, but the square of its sums is nearly all of their sum."""
    columns = made(groups=60)
    columns["y"] = np.where(columns["g"] == 7, columns["y"] + 1e4, columns["y"])
    [one] = [p for p in split(columns, np.zeros(60, dtype=int)) if p.rows]
    at = {"centre": np.array([0.0, 50.0, 0.0, 13.0]), "origin": np.zeros(1), "covariance": np.array([[0.7]])}
    model = lmm("y ~ x + z", "g")
    assert model.working("profile", one, at).leverage > 0.99
    sums = model.local("profile", one, at)
    assert model.joint_leverage("profile", one, at, sums) > 0.99


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"formula": "y ~ x + offset(z)"}, "lmm.formula"),
        ({"formula": "y ~ x", "slopes": "site"}, "lmm.slopes"),
    ],
)
def test_arguments(arguments, field):
    with pytest.raises(PlanError) as caught:
        lmm(**arguments)
    assert caught.value.field == field


def test_collinear_terms_are_named_and_one_site_is_no_cluster():
    columns = made()
    columns["z"] = 2 * columns["x"]
    with pytest.raises(ConvergenceError, match="z"):
        run(lmm("y ~ x + z", "g"), split(columns, np.arange(40) % 3))
    with pytest.raises(ConvergenceError, match="two at least"):
        run(lmm("y ~ x", "site"), split(columns, np.zeros(40, dtype=int)))


@pytest.mark.parametrize("slopes", [None, "x"])
def test_one_row_a_cluster_tells_nothing_between_clusters(slopes):
    """What is between and what within cannot be told apart; rounding would choose. Known weights tell them apart."""
    columns = made() | {"g": np.arange(len(made()["g"]), dtype=float)}
    with pytest.raises(ConvergenceError, match="one row"):
        run(lmm("y ~ x", "g", slopes=slopes), split(columns, np.arange(len(columns["g"])) % 3))
    run(lmm("y ~ x", "g", slopes=slopes, weights="w"), split(columns, np.arange(len(columns["g"])) % 3))
    columns["g"][:2] = 0.0
    run(lmm("y ~ x", "g"), split(columns, np.where(columns["g"] == 0, 0, np.arange(len(columns["g"])) % 3)))
