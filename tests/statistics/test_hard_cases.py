"""What breaks fits elsewhere, for every model: each answer is that of the same rows in one place."""

from dataclasses import replace

import numpy as np
import pytest
from federated import BOOLEAN, NUMBER, category, column, federation, run

from sojourn.analysis.variable import with_site
from sojourn.disclosure.gate import judge
from sojourn.disclosure.output import Output, Verdict
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import ConvergenceError
from sojourn.statistics.catalogue_models import elastic_net, firth, glm, glmm, lmm

VARIABLES = {
    **dict.fromkeys(("x", "z", "y", "e", "n", "c", "m", "w", "o"), NUMBER),
    "b": BOOLEAN,
    "k": category("p", "q", "r"),
}
MODELS = {
    "linear": glm("m ~ x + k + b", weights="w"),
    "logistic": glm("y ~ x + k + b", "binomial"),
    "poisson with offset": glm("n ~ x + k", "poisson", offset="o"),
    "negative binomial": glm("n ~ x + k", "negative_binomial", weights="w"),
    "gamma": glm("m ~ x + k", "gamma", weights="w"),
    "robust": glm("y ~ x + k", "binomial", robust="HC1"),
    "clustered": glm("m ~ x + k", cluster="c"),
    "firth": firth("y ~ x + k + b"),
    "lasso": elastic_net("y ~ x + k + b", "binomial", lambdas=(0.05, 0.01)),
    "lasso with weights": elastic_net("y ~ x + k + b", "binomial", lambdas=(0.05, 0.01), weights="w"),
    "elastic net with weights and offset": elastic_net("m ~ x + k + b", alpha=0.5, count=6, weights="w", offset="o"),
    "mixed": lmm("m ~ x + k", "c"),
    "mixed with weights": lmm("m ~ x + k", "c", weights="w"),
    "counts, mixed, with offset": glmm("n ~ x + k", "c", family="poisson", offset="o"),
    "logistic mixed": glmm("y ~ x + k", "c"),
}


def rows(n=320, seed=8):
    rng = np.random.default_rng(seed)
    c = np.arange(n) // 4
    x, k, b = rng.normal(size=n), rng.integers(0, 3, n), rng.random(n) < 0.4
    eta = 0.5 * x + 0.4 * (k == 1) + 0.6 * rng.normal(size=n // 4)[c]
    y = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    counts = rng.poisson(np.exp(0.5 + 0.3 * eta) * rng.gamma(1.5, 1 / 1.5, n)).astype(float)
    columns = {
        "x": x,
        "z": x,
        "y": y,
        "e": y,
        "n": counts,
        "c": c.astype(float),
        "m": np.exp(1 + eta / 4 + rng.normal(size=n) / 5),
    }
    return columns | {
        "w": rng.integers(0, 3, n).astype(float),
        "o": rng.random(n),
        "b": b,
        "k": np.array(list("pqr"))[k],
    }


def split(columns, places, sites=5):
    return federation(VARIABLES, {f"s{i}": {name: v[places == i] for name, v in columns.items()} for i in range(sites)})


def same(model, columns, places):
    """Equal to the same rows in one place, in estimates, errors and likelihood."""
    pooled, _ = run(model, split(columns, np.zeros(len(columns["x"])), 1))
    apart, _ = run(model, split(columns, places))
    scale = column(pooled, "std_error") if "std_error" in pooled.columns else 1.0
    approximate = not pooled.exactness.startswith("pooled")
    shift = np.abs(column(apart, "estimate") - column(pooled, "estimate")) / scale
    assert shift.max() < (1e-7 if approximate else 1e-8 if model.name == "firth" else 1e-9)
    if "std_error" in pooled.columns:
        assert column(apart, "std_error") == pytest.approx(column(pooled, "std_error"), rel=1e-8)
    for fact in ("log_likelihood", "deviance", "theta", "dispersion"):
        if fact in pooled.facts:
            assert apart.facts[fact] == pytest.approx(pooled.facts[fact], rel=1e-10 if fact != "theta" else 1e-8)


@pytest.mark.parametrize("name", MODELS)
def test_an_empty_site_one_without_events_one_level_and_duplicates(name):
    columns = rows()
    columns = {label: np.concatenate([v, v[:40]]) for label, v in columns.items()}  # duplicate rows
    places = columns["c"].astype(int) % 2
    quiet = np.isin(columns["c"], np.arange(20, 24))
    columns["y"] = np.where(quiet, 0.0, columns["y"])
    columns["n"] = np.where(quiet, 0.0, columns["n"])
    places = np.where(quiet, 2, places)  # a site without events
    single = np.isin(columns["c"], np.arange(40, 46))
    columns["k"] = np.where(single, "q", columns["k"])
    columns["b"] = np.where(single, False, columns["b"])
    places = np.where(single, 3, places)  # one level of one factor, the other one constant; site 4 is empty
    same(MODELS[name], columns, places)


@pytest.mark.parametrize("name", ["linear", "negative binomial", "gamma", "mixed with weights", "lasso with weights"])
def test_a_weight_of_zero_is_no_row(name):
    columns = rows()
    kept = {label: values[columns["w"] > 0] for label, values in columns.items()}
    with_zeros, _ = run(MODELS[name], split(columns, columns["c"] % 3))
    without, _ = run(MODELS[name], split(kept, kept["c"] % 3))
    assert column(with_zeros, "estimate") == pytest.approx(column(without, "estimate"), rel=1e-11)
    assert with_zeros.facts["n"] == without.facts["n"] == len(kept["x"])


@pytest.mark.parametrize(
    "model",
    [glm("m ~ x + k"), glm("m ~ x + k", robust="HC1"), lmm("m ~ x + k", "c"), elastic_net("m ~ x + k", lambdas=[0.01])],
)
def test_columns_and_outcomes_near_1e9_lose_nothing(model):
    columns = rows()
    columns |= {name: np.round(columns[name] * 1024) / 1024 for name in ("x", "m")}
    far = {**columns, "x": columns["x"] + 1e9, "m": columns["m"] + 1e9}
    near, _ = run(model, split(columns, columns["c"] % 3))
    moved, _ = run(model, split(far, far["c"] % 3))
    assert column(moved, "estimate")[1:] == pytest.approx(column(near, "estimate")[1:], rel=1e-7, abs=1e-9)
    if "std_error" in near.columns:
        scale = column(near, "std_error")[1:]
        assert np.max(np.abs(column(moved, "estimate") - column(near, "estimate"))[1:] / scale) < 1e-7
        assert column(moved, "std_error")[1:] == pytest.approx(scale, rel=1e-8)


def test_an_offset_of_1e9_moves_the_intercept_alone():
    columns = rows()
    columns["m"] = np.round(columns["m"] * 1024) / 1024
    far = {**columns, "o": np.full(320, 1e9), "m": columns["m"] + 1e9}
    near, _ = run(glm("m ~ x + k"), split(columns, columns["c"] % 3))
    moved, _ = run(glm("m ~ x + k", offset="o"), split(far, far["c"] % 3))
    assert np.max(np.abs(column(moved, "estimate") - column(near, "estimate")) / column(near, "std_error")) < 1e-6


@pytest.mark.parametrize("model", [MODELS["firth"], glm("n ~ x + k", "poisson"), glmm("y ~ x + k", "c")])
def test_columns_near_1e9_lose_nothing_where_the_outcome_is_no_number_far_out(model):
    columns = rows()
    columns["x"] = np.round(columns["x"] * 1024) / 1024
    near, _ = run(model, split(columns, columns["c"] % 3))
    moved, _ = run(model, split({**columns, "x": columns["x"] + 1e9}, columns["c"] % 3))
    scale = column(near, "std_error")[1:]
    assert np.max(np.abs(column(moved, "estimate") - column(near, "estimate"))[1:] / scale) < 1e-7
    assert column(moved, "std_error")[1:] == pytest.approx(scale, rel=1e-7)


SEPARATED = {
    "logit": (glm("y ~ x + k", "binomial"), "x"),
    "probit": (glm("y ~ x + k", "binomial", "probit"), "x"),
    "cloglog": (glm("y ~ x + k", "binomial", "cloglog"), "x"),
    "log": (glm("e ~ x + k", "binomial", "log"), r"k\[T.q\]"),
    "robust": (glm("e ~ x + k", "binomial", robust="HC0"), r"k\[T.q\]"),
    "poisson": (glm("n ~ x + k", "poisson"), r"k\[T.q\]"),
    "negative binomial": (glm("n ~ x + k", "negative_binomial"), r"k\[T.q\]"),
    "mixed, of a number": (glmm("y ~ x + k", "c"), "x"),
    "mixed, of a level": (glmm("e ~ x + k", "c"), r"k\[T.q\]"),
    "mixed, of counts": (glmm("n ~ x + k", "c", family="poisson"), r"k\[T.q\]"),
}


@pytest.mark.parametrize("name", SEPARATED)
def test_perfect_separation_names_the_term_and_a_remedy(name):
    columns = rows()
    quiet = columns["k"] == "q"  # a level without events
    columns |= {"e": np.where(quiet, 0.0, columns["y"]), "n": np.where(quiet, 0.0, columns["n"])}
    columns["y"] = (columns["x"] > 0.2).astype(float)
    model, term = SEPARATED[name]
    with pytest.raises(ConvergenceError, match=rf"^The estimate of {term} grows without end") as caught:
        run(model, split(columns, columns["c"] % 3))
    assert "Leave the term out" in caught.value.remedy


def test_a_penalty_has_an_answer_under_separation():
    columns = rows()
    columns["y"] = (columns["x"] > 0.2).astype(float)
    same(MODELS["lasso"], columns, columns["c"] % 3)


@pytest.mark.parametrize(("persons", "verdict"), [(49, Verdict.RELEASE), (48, Verdict.REFUSE)])
def test_sixteen_parameters_of_forty_nine_persons(persons, verdict):
    """p close to 0.33 n: 16 / 49 is below, 16 / 48 above."""
    rng = np.random.default_rng(0)
    names = [f"v{i}" for i in range(15)]
    variables = with_site(dict.fromkeys([*names, "y"], NUMBER), ("here",))
    columns = {name: rng.normal(size=persons) for name in [*names, "y"]}
    [here] = federation(dict.fromkeys([*names, "y"], NUMBER), {"here": columns})
    model = glm("y ~ " + " + ".join(names))
    support = model.support(here)
    support = replace(support, design=replace(support.design, leverage=0.05))  # that rule alone
    step = model.steps(variables)[0]
    output = Output(
        "glm", step, model.local("handshake", here, {}), support, variables, ("parameters to observations",)
    )
    assert judge(output, StandardPolicy()).verdict is verdict
    estimate, _ = run(model, [here])
    x = np.column_stack([np.ones(persons), *(columns[name] for name in names)])
    assert column(estimate, "estimate") == pytest.approx(np.linalg.lstsq(x, columns["y"])[0], rel=1e-9)


def test_scoring_that_overshoots_gives_way_to_newtons_steps():
    """A line through means that bend, where each step by the expected information is seven tenths of the one before."""
    rng = np.random.default_rng(2)
    x = 2 + rng.gamma(2, 5, 400).clip(0, 35)
    y = (38 * np.exp(-0.12 * x) + 8) * rng.gamma(16, 1 / 16, 400)
    sites = {f"s{i}": {"x": x[i::3], "y": y[i::3]} for i in range(3)}
    estimate, asks = run(glm("y ~ x", "gamma", "identity"), federation({"x": NUMBER, "y": NUMBER}, sites))
    design = np.stack([np.ones(400), x], axis=1)
    mean = design @ column(estimate, "estimate")
    assert (design.T @ ((y - mean) / mean**2)) * column(estimate, "std_error") == pytest.approx(0, abs=1e-12)
    assert len(asks) <= 9  # 11 by scoring alone
