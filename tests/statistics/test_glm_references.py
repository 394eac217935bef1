"""GLMs against published and independent numbers: NIST, R 4.2.2, statsmodels."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest
import statsmodels.api as sm
from federated import BOOLEAN, NUMBER, REFERENCES, category, column, federation, read_reference, run
from scipy import stats

from sojourn.statistics.catalogue_models import glm

CHEST_PAIN = ("asymptomatic", "non-anginal", "atypical angina", "typical angina")


def reference(case):
    return json.loads((REFERENCES / case / "reference.json").read_text())["reference"][case]


def digits(found, expected):
    return float(np.min(-np.log10(np.maximum(np.abs(found / np.asarray(expected) - 1), 1e-17))))


@pytest.fixture(scope="module")
def longley():
    names = ("TOTEMP", "GNPDEFL", "GNP", "UNEMP", "ARMED", "POP", "YEAR")
    sites = {
        site: {name: [float(row[name]) for row in rows] for name in names}
        for site, rows in read_reference("ols_longley").items()
    }
    return federation(dict.fromkeys(names, NUMBER), sites)


@pytest.fixture(scope="module")
def birthwt():
    numbers = ("low", "age", "lwt", "smoke", "ht", "ui", "ftv", "bwt")
    race = {"1": "white", "2": "black", "3": "other"}
    variables = {**dict.fromkeys(numbers, NUMBER), "race": category(*race.values()), "ptd": BOOLEAN}
    sites = {}
    for site, rows in read_reference("glm_birthwt").items():
        sites[site] = {name: [float(row[name]) for row in rows] for name in numbers}
        sites[site] |= {"race": [race[row["race"]] for row in rows], "ptd": [int(row["ptl"]) > 0 for row in rows]}
    return federation(variables, sites)


@pytest.fixture(scope="module")
def heart():
    numbers, needed = ("age", "trestbps", "thalch", "oldpeak"), ("sex", "cp", "exang", "num")
    variables = {**dict.fromkeys(numbers, NUMBER), "cp": category(*CHEST_PAIN)}
    variables |= {"male": BOOLEAN, "ex": BOOLEAN, "disease": BOOLEAN}
    sites = {}
    for site, rows in read_reference("glm_heart_uci").items():
        kept = [row for row in rows if all(row[name] for name in numbers + needed)]
        sites[site] = {name: [float(row[name]) for row in kept] for name in numbers}
        sites[site] |= {"cp": [row["cp"] for row in kept], "male": [row["sex"] == "Male" for row in kept]}
        sites[site] |= {"ex": [row["exang"] == "True" for row in kept]}
        sites[site] |= {"disease": [int(row["num"]) > 0 for row in kept]}
    return federation(variables, sites)


def test_longley_has_ten_certified_digits(longley):
    certified = reference("ols_longley")
    estimate, asks = run(glm("TOTEMP ~ GNPDEFL + GNP + UNEMP + ARMED + POP + YEAR"), longley)
    assert digits(column(estimate, "estimate"), list(certified["coef"].values())) >= 12
    assert digits(column(estimate, "std_error"), certified["sd"]) >= 12
    assert digits(np.sqrt(estimate.facts["dispersion"]), certified["residual_sd"]) >= 12
    assert digits(1 - estimate.facts["deviance"] / estimate.facts["null_deviance"], certified["r2"]) >= 12
    assert estimate.facts["df_residual"] == 9
    assert len(asks) == 3


@pytest.mark.parametrize(
    ("case", "formula", "family", "link", "shift"),
    [
        ("logistic", "low ~ age + lwt + race + smoke + ptd + ht + ui + ftv", "binomial", None, 1e-9),
        ("hosmer", "low ~ age + lwt + race + ftv", "binomial", None, 1e-9),
        ("probit", "low ~ age + lwt + race + smoke", "binomial", "probit", 2e-8),  # R stops 1.2e-8 SE before
        ("gaussian", "bwt ~ age + lwt + race + smoke + ht + ui", "gaussian", None, 1e-9),
    ],
)
def test_birthwt_equals_r(birthwt, case, formula, family, link, shift):
    estimate, asks = run(glm(formula, family, link), birthwt)
    assert_equals_r(estimate, reference("glm_birthwt")[case], shift)
    assert len(asks) <= 6


COVARIATES = ("age", "lwt", "smoke", "ht", "ui", "ftv", "race", "ptd")
HARD = [("smoke", "ui", "race"), ("ht", "ftv", "race"), ("age", "smoke", "ht", "race"), ("age", "ui", "ftv", "ptd")]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("link", "oracle"), [("log", sm.families.links.Log()), ("identity", sm.families.links.Identity())]
)
def test_other_links_converge_where_statsmodels_does(birthwt, link, oracle):
    """All models of two covariates, and some that take many halvings; not those whose maximum is on the boundary."""
    whole = {name: np.concatenate([one.columns[name] for one in birthwt]) for name in (*COVARIATES, "low")}
    whole |= {"black": whole["race"] == 1, "other": whole["race"] == 2}
    reached = 0
    for terms in [*combinations(COVARIATES, 2), *HARD]:
        names = [name for term in terms for name in (("black", "other") if term == "race" else (term,))]
        design = np.column_stack([np.ones(189), *(whole[name] for name in names)]).astype(float)
        model = sm.GLM(whole["low"], design, family=sm.families.Binomial(oracle))
        try:
            fit = model.fit(maxiter=300, tol=1e-14)
        except ValueError:
            continue
        if not (fit.converged and np.isfinite(fit.params).all() and ((fit.mu > 1e-6) & (fit.mu < 1 - 1e-6)).all()):
            continue
        estimate, asks = run(glm(f"low ~ {' + '.join(terms)}", "binomial", link), birthwt)
        assert np.max(np.abs(column(estimate, "estimate") - fit.params) / fit.bse) < 1e-6, terms
        assert estimate.facts["log_likelihood"] == pytest.approx(fit.llf, rel=1e-10)
        assert len(asks) <= 12
        reached += 1
    assert reached >= 22


@pytest.mark.parametrize(("case", "more", "rounds"), [("logistic", "", 6), ("logistic_site_fe", " + C(site)", 7)])
def test_heart_equals_r(heart, case, more, rounds):
    estimate, asks = run(glm("disease ~ age+male+cp+trestbps+thalch+ex+oldpeak" + more, "binomial"), heart)
    assert_equals_r(estimate, reference("glm_heart_uci")[case], 1e-9)
    assert len(asks) <= rounds  # the handshake among them


def assert_equals_r(estimate, expected, shift):
    errors = np.array(list(expected["se"].values()))
    difference = column(estimate, "estimate") - list(expected["coef"].values())
    assert np.max(np.abs(difference) / errors) <= shift
    assert np.max(np.abs(column(estimate, "std_error") / errors - 1)) <= 4e-8  # R's are one iteration behind
    assert estimate.facts["log_likelihood"] == pytest.approx(expected["loglik"], rel=1e-10)
    assert estimate.facts["aic"] == pytest.approx(expected["aic"], rel=1e-10)
    assert estimate.facts["deviance"] == pytest.approx(expected["deviance"], rel=1e-10)
    assert estimate.facts["n"] == expected["n"]


def made(outcome, seed=3, n=900):
    """Three sites of made-up rows, and the same rows pooled."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(50, 9, n), rng.normal(size=n)
    group = rng.integers(0, 3, n)
    offset, weight = rng.uniform(0, 1, n), rng.uniform(0.5, 3, n)
    eta = -0.5 + 0.03 * (x - 50) + 0.2 * z + 0.3 * (group == 2)
    columns = {"x": x, "z": z, "group": group, "o": offset, "w": weight, "y": outcome(rng, eta, offset)}
    ends = [0, 150, 480, n]
    levels = np.array(["a", "b", "c"])
    variables = {**dict.fromkeys(("x", "z", "o", "w", "y"), NUMBER), "group": category("a", "b", "c")}
    sites = {
        f"s{i}": {name: levels[v[a:b]] if name == "group" else v[a:b] for name, v in columns.items()}
        for i, (a, b) in enumerate(pairwise(ends))
    }
    design = np.column_stack([np.ones(n), x, z, group == 1, group == 2]).astype(float)
    return federation(variables, sites), columns, design


def binary(rng, eta, offset):
    return (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(float)


def proportion(rng, eta, offset):
    return rng.binomial(4, 1 / (1 + np.exp(-eta))) / 4


def event(rng, eta, offset):
    return rng.poisson(np.exp(eta + offset)).astype(float)


def rare(rng, eta, offset):
    return (rng.random(len(eta)) < np.exp(np.minimum(eta - 1, -0.05))).astype(float)


def many(rng, eta, offset):
    return rng.poisson(np.maximum(5 + eta, 0.1)).astype(float)


def skewed(rng, eta, offset):
    return rng.gamma(3.0, np.exp(0.5 + eta / 4) / 3)


def overdispersed(rng, eta, offset):
    return rng.poisson(np.exp(1 + eta + offset) * rng.gamma(2.0, 0.5, len(eta))).astype(float)


def positive(rng, eta, offset):
    return np.exp(1 + eta) + rng.normal(size=len(eta)) * 0.1


F, L = sm.families, sm.families.links
CASES = {
    "poisson with offset": (event, "poisson", None, F.Poisson(), "offset"),
    "poisson with weights": (event, "poisson", None, F.Poisson(), "weights"),
    "poisson identity": (many, "poisson", "identity", F.Poisson(L.Identity()), ""),
    "logit with weights": (binary, "binomial", None, F.Binomial(), "weights"),
    "logit with offset": (binary, "binomial", None, F.Binomial(), "offset"),
    "proportion": (proportion, "binomial", None, F.Binomial(), ""),
    "cloglog": (binary, "binomial", "cloglog", F.Binomial(L.CLogLog()), ""),
    "probit": (binary, "binomial", "probit", F.Binomial(L.Probit()), ""),
    "log-binomial": (rare, "binomial", "log", F.Binomial(L.Log()), ""),
    "gaussian with weights": (event, "gaussian", None, F.Gaussian(), "weights"),
    "gaussian log": (positive, "gaussian", "log", F.Gaussian(L.Log()), ""),
    "gamma": (skewed, "gamma", None, F.Gamma(L.Log()), ""),
    "gamma inverse": (skewed, "gamma", "inverse", F.Gamma(L.InversePower()), "weights"),
    "gamma identity": (skewed, "gamma", "identity", F.Gamma(L.Identity()), ""),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore:.*does not respect the domain.*")
def test_equals_statsmodels(case):
    outcome, family, link, oracle, extra = CASES[case]
    populations, columns, design = made(outcome)
    given = {"offset": "o"} if extra == "offset" else {"weights": "w"} if extra == "weights" else {}
    estimate, asks = run(glm("y ~ x + z + group", family, link, **given), populations)
    keywords = {"offset": columns["o"]} if extra == "offset" else {}
    keywords |= {"var_weights": columns["w"]} if extra == "weights" else {}
    start = np.r_[column(estimate, "estimate")] * (1 + 1e-6)  # its own start leaves the domain of some links
    fit = sm.GLM(columns["y"], design, family=oracle, **keywords).fit(
        tol=1e-15, maxiter=200, start_params=start, tol_criterion="params"
    )
    assert np.max(np.abs(column(estimate, "estimate") - fit.params) / fit.bse) < 1e-7
    assert column(estimate, "std_error") == pytest.approx(fit.bse, rel=1e-8)
    assert estimate.facts["deviance"] == pytest.approx(fit.deviance, rel=1e-10)
    if family == "gamma":  # its own likelihood is at Pearson's dispersion, R's at the mean deviance
        scale = fit.deviance / np.sum(keywords.get("var_weights", np.ones(900)))
        log_likelihood = fit.family.loglike(columns["y"], fit.mu, scale=scale) if not keywords else None
        assert keywords or estimate.facts["log_likelihood"] == pytest.approx(log_likelihood, rel=1e-10)
        assert estimate.facts["dispersion"] == pytest.approx(fit.scale, rel=1e-8)
    elif case not in ("proportion", "gaussian with weights", "gaussian log"):  # other constants there, by convention
        assert estimate.facts["log_likelihood"] == pytest.approx(fit.llf, rel=1e-9)
    assert len(asks) <= (7 if link in (None, "probit", "cloglog") else 12)
    if family in ("gaussian", "gamma"):
        assert column(estimate, "p_value") == pytest.approx(
            2 * stats.t.sf(np.abs(fit.params / fit.bse), fit.df_resid), rel=1e-6
        )
    else:
        assert column(estimate, "p_value") == pytest.approx(fit.pvalues, rel=1e-6, abs=1e-300)
        assert column(estimate, "ci_low") == pytest.approx(fit.conf_int()[:, 0], rel=1e-6)
        assert column(estimate, "ci_high") == pytest.approx(fit.conf_int()[:, 1], rel=1e-6)


def test_weighted_proportions_have_the_likelihood_of_their_trials():
    trials = {"y": [0.25, 0.5, 0.75, 0.5], "m": [4.0, 4.0, 4.0, 2.0], "x": [0.0, 1.0, 2.0, 3.0]}
    long = {"y": [], "x": []}
    for y, m, x in zip(*trials.values(), strict=True):
        long["y"] += [1.0] * round(m * y) + [0.0] * round(m * (1 - y))
        long["x"] += [float(x)] * round(m)
    short, _ = run(glm("y ~ x", "binomial", weights="m"), federation(dict.fromkeys("yxm", NUMBER), {"a": trials}))
    rows, _ = run(glm("y ~ x", "binomial"), federation(dict.fromkeys("yx", NUMBER), {"a": long}))
    assert column(short, "estimate") == pytest.approx(column(rows, "estimate"), rel=1e-9)
    assert column(short, "std_error") == pytest.approx(column(rows, "std_error"), rel=2e-8)
    ways = np.log([4, 6, 4, 2]).sum()
    assert short.facts["log_likelihood"] == pytest.approx(rows.facts["log_likelihood"] + ways, rel=1e-10)
