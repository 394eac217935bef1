"""Regression against R: `glm`, `lm`, MASS' negative binomial, `sandwich`, `brglm2`, profiles of each site."""

import numpy as np
import oracle_data
import pandas as pd
import pytest
from federated import NUMBER, column, run
from oracle import Answers, agrees, ask, split

from sojourn.statistics.catalogue_models import firth, glm, profile_likelihood

pytestmark = [pytest.mark.oracle, pytest.mark.long]
QUINE = "Days ~ C(Sex) + C(Age) + C(Eth) + C(Lrn)"
HOUSES = "medv ~ rm + lstat + ptratio"
MODELS = {
    "binomial logit": ("menarche", glm("share ~ Age", "binomial", weights="Total")),
    "binomial probit": ("menarche", glm("share ~ Age", "binomial", "probit", weights="Total")),
    "binomial cloglog": ("menarche", glm("share ~ Age", "binomial", "cloglog", weights="Total")),
    "binomial log": ("birthwt", glm("low ~ smoke + ht + ui", "binomial", "log")),
    "binomial identity": ("birthwt", glm("low ~ smoke + ht + ui", "binomial", "identity")),
    "poisson": ("epil", glm("y ~ lbase + C(trt) + lage + V4 + lbase:C(trt)", "poisson")),
    "poisson offset": ("insurance", glm("Claims ~ C(District) + C(Group) + C(Age)", "poisson", offset="line")),
    "negative_binomial": ("quine", glm(QUINE, "negative_binomial")),
    "gamma log": ("boston", glm(HOUSES, "gamma")),
    "gamma inverse": ("boston", glm(HOUSES, "gamma", "inverse")),
    "gamma identity": ("boston", glm("medv ~ lstat + chas", "gamma", "identity")),
    "gaussian weights": ("boston", glm(HOUSES + " + chas", weights="dis")),
}
GRID = np.arange(-2, 3.1, 0.25)


@pytest.fixture(scope="module")
def r() -> Answers:
    births = oracle_data.births()
    return ask("models", birthwt_sites=pd.concat([frame.assign(site=site) for site, frame in births.items()]))


def test_every_family_and_link(r):
    for case, (data, model) in MODELS.items():
        table = r.data[data].assign(**{"District": r.data[data]["District"].astype(str)} if data == "insurance" else {})
        estimate, asks = run(model, split(table))
        # R ends where the deviance is the same twice, which is early for the one model whose scoring overshoots.
        agrees(estimate, r.of(case, "estimate"), r.of(case, "std_error"), 1e-6 if "identity" in case else 1e-9, 1e-8)
        facts = {name: estimate.facts[name] for name in r.named(case, "facts")}
        assert facts == pytest.approx(r.named(case, "facts"), rel=1e-10), case
        assert column(estimate, "p_value") == pytest.approx(r.of(case, "p_value"), rel=1e-7), case
        if case == "negative_binomial":
            assert estimate.facts["theta"] == pytest.approx(r.named(case, "theta")["theta"], rel=1e-8)
        assert len(asks) <= (11 if case == "gamma identity" else 7), case


@pytest.mark.parametrize("robust", ["HC0", "HC1", "cluster"])
def test_robust_errors(r, robust):
    column_of = {"cluster": "subject"} if robust == "cluster" else {"robust": robust}
    populations = split(r.data["epil"], "subject")
    estimate, _ = run(glm("y ~ C(trt) + lage + V4", "poisson", **column_of), populations)
    assert column(estimate, "std_error") == pytest.approx(r.of("robust", robust), rel=1e-8)


def test_firths_penalty(r):
    separated, _ = run(firth("HG ~ NV + PI + EH"), split(r.data["endometrial"]))
    counts, _ = run(firth("y ~ C(trt) + lage + V4", "poisson"), split(r.data["epil"]))
    for case, estimate in (("firth binomial", separated), ("firth poisson", counts)):
        agrees(estimate, r.of(case, "estimate"), r.of(case, "std_error"), 1e-6, 1e-6)


def test_profiles_of_each_site(r):
    births = oracle_data.births()
    populations = oracle_data.of_sites(dict.fromkeys(["low", "lwt", "smoke"], NUMBER), births)
    asked = profile_likelihood("low ~ lwt + smoke", "smoke", -2, 3, points=21)
    estimate, _ = run(asked, populations)
    assert estimate.facts["grid"] == pytest.approx(GRID)
    for site in births:
        told = np.array([r.named("profile", f"{site} {value:g}")["log_likelihood"] for value in GRID])
        assert estimate.facts["profiles"][site] == pytest.approx(told - told.max(), abs=1e-9)
