"""Sandwich standard errors against statsmodels; what stands behind a meat; arguments that do not go together."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from federated import NUMBER, column, population, run
from test_glm_references import binary, event, made, overdispersed, skewed

from sojourn.analysis.variable import with_site
from sojourn.disclosure.gate import judge
from sojourn.disclosure.output import Output, Verdict
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import PlanError
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_models import glm
from sojourn.statistics.robust import Meat

F, L = sm.families, sm.families.links
CASES = {
    "gaussian": (event, "gaussian", None, F.Gaussian()),
    "logit": (binary, "binomial", None, F.Binomial()),
    "probit": (binary, "binomial", "probit", F.Binomial(L.Probit())),
    "poisson": (event, "poisson", None, F.Poisson()),
    "gamma": (skewed, "gamma", None, F.Gamma(L.Log())),
    "negative binomial": (overdispersed, "negative_binomial", None, None),
}


def fitted(columns, design, estimate, oracle, **covariance):
    """statsmodels at our coefficients, which it takes as its start; its sandwich is of the expected information."""
    oracle = oracle or F.NegativeBinomial(alpha=1 / estimate.facts["theta"])
    model = sm.GLM(columns["y"], design, family=oracle)
    return model.fit(start_params=column(estimate, "estimate"), tol=1e-15, tol_criterion="params", **covariance)


@pytest.mark.parametrize("choice", ["HC0", "HC1"])
@pytest.mark.parametrize("case", CASES)
def test_rows_equal_statsmodels(case, choice):
    outcome, family, link, oracle = CASES[case]
    populations, columns, design = made(outcome)
    estimate, asks = run(glm("y ~ x + z + group", family, link, robust=choice), populations)
    # Away from the canonical link statsmodels takes the observed information where R's sandwich takes the expected.
    model = fitted(columns, design, estimate, oracle)
    score = model.model.score_factor(model.params, scale=1.0)
    bread = np.linalg.inv(design.T @ (design * model.model.hessian_factor(model.params, 1.0, False)[:, None]))
    meat = (design * (score**2)[:, None]).T @ design
    expected = np.sqrt(np.diag(bread @ meat @ bread) * (900 / 895 if choice == "HC1" else 1))
    assert column(estimate, "std_error") == pytest.approx(expected, rel=1e-8)
    if choice == "HC0" and (family in ("gaussian", "poisson") or (family, link) == ("binomial", None)):
        own = fitted(columns, design, estimate, oracle, cov_type=choice)
        assert column(estimate, "std_error") == pytest.approx(own.bse, rel=1e-8)
    assert asks[-1].step == "meat"
    assert len(asks) <= 8


def clustered(outcome, groups=60):
    populations, columns, design = made(outcome)
    names = np.random.default_rng(9).integers(0, groups, 900) + 1000 * np.repeat([0, 1, 2], [150, 330, 420])
    start = 0
    for one in populations:
        one.columns["g"] = names[start : start + one.rows].astype(float)
        one.variables["g"] = NUMBER
        start += one.rows
    return populations, columns, design, names


@pytest.mark.parametrize("case", ["gaussian", "logit", "poisson"])
def test_clusters_equal_statsmodels(case):
    outcome, family, link, oracle = CASES[case]
    populations, columns, design, names = clustered(outcome)
    estimate, _ = run(glm("y ~ x + z + group", family, link, cluster="g"), populations)
    own = fitted(columns, design, estimate, oracle, cov_type="cluster", cov_kwds={"groups": names})
    assert column(estimate, "std_error") == pytest.approx(own.bse, rel=1e-8)
    assert estimate.facts["clusters"] == len(np.unique(names))


def test_persons_are_clusters_without_a_column():
    populations, *_ = clustered(binary)
    for one in populations:
        one.persons[:] = one.columns["g"].astype(np.uint32)
    named, _ = run(glm("y ~ x", "binomial", cluster="g"), populations)
    persons, _ = run(glm("y ~ x", "binomial", robust="cluster"), populations)
    assert column(persons, "std_error") == pytest.approx(column(named, "std_error"), rel=1e-12)


def test_arguments():
    model = glm("y ~ x", cluster="g")
    assert model.arguments() == {"formula": "y ~ x", "cluster": "g"}
    assert make("glm", model.arguments()) == model == glm("y ~ x", robust="cluster", cluster="g")
    assert model.variables() == ("g", "x", "y")
    for robust, cluster in (("HC0", "g"), (None, "site")):
        with pytest.raises(PlanError) as caught:
            glm("y ~ x", robust=robust, cluster=cluster)
        assert caught.value.field == "glm.cluster"
    with pytest.raises(PlanError, match="no column `h`"):
        glm("y ~ x", cluster="h").check({"x": NUMBER, "y": NUMBER})


# --- what stands behind a meat -----------------------------------------------------------------------------------


def verdict(y, groups=None, choice="HC1", persons=None):
    """Of the round of robust errors of one site, whose line is flat at 0."""
    x = np.tile([-1.0, 0.5, 1.5, 2.5, -0.5], len(y) // 5)
    variables = with_site(dict.fromkeys("xyg", NUMBER), ("here",))
    people = population(
        "here", variables, {"x": x, "y": y, "g": np.arange(len(y)) if groups is None else groups}, persons
    )
    model = glm("y ~ x", robust=choice, cluster=None if groups is None else "g")
    broadcast = {"centre": np.zeros(2), "coefficients": np.zeros(2), "dispersion": np.ones(1)}
    support = model.support(people)
    working = model.working("meat", people, broadcast)
    support = replace(support, design=replace(support.design, working=working))
    step = next(step for step in model.steps(variables) if step.name == "meat")
    partial = model.local("meat", people, broadcast)
    return judge(Output(model.name, step, partial, support, variables, ("design support",)), StandardPolicy()).verdict


def noise(n=100):
    return np.random.default_rng(3).normal(size=n)


def test_a_meat_of_many_leaves_and_that_of_one_does_not():
    assert verdict(noise()) is Verdict.RELEASE
    one = noise() * 1e-3
    one[7] = 50.0  # its square is all that the meat shows
    assert verdict(one) is Verdict.REFUSE
    assert verdict(one, choice="HC0", persons=np.arange(100) // 2) is Verdict.REFUSE


def test_few_clusters_tell_of_their_sums():
    assert verdict(noise(), np.arange(100) // 4, "cluster") is Verdict.RELEASE
    assert verdict(noise(), np.arange(100) // 20, "cluster") is Verdict.REFUSE  # five clusters
    few = np.r_[np.zeros(86), np.arange(1, 15)]  # fifteen, one of which holds nearly all
    assert verdict(np.r_[np.full(86, 3.0), noise(14)], few, "cluster") is Verdict.REFUSE


def test_beside_all_sites_a_part_is_small():
    rng = np.random.default_rng(1)
    parts = rng.normal(size=(50, 3))
    meat = Meat(parts, np.arange(50), by_row=True)
    assert meat.beside(parts.T @ parts, 1.0) < 1 / 3
    assert meat.beside(parts.T @ parts / 50, 1.0) > 1 / 3
