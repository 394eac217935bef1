"""Mixed models against lme4, and penalised quasi-likelihood against nlme's fits of its working outcomes."""

import numpy as np
import oracle_data
import pytest
from federated import NUMBER, column, run
from oracle import Answers, agrees, ask, split

from sojourn.statistics.catalogue_models import glmm, lmm

pytestmark = [pytest.mark.oracle, pytest.mark.long]


@pytest.fixture(scope="module")
def r() -> Answers:
    return ask("mixed", hospitals=oracle_data.hospitals())


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_linear_mixed_models_equal_lme4(r, method):
    parts = dict(iter(oracle_data.hospitals().groupby("site")))
    by_hospital = oracle_data.of_sites(dict.fromkeys("xyz", NUMBER), parts)
    sleep, dye = split(r.data["sleepstudy"], "Subject"), split(r.data["dyestuff"], "Batch")
    cases = {
        "sleepstudy intercepts": (lmm("Reaction ~ Days", "Subject", method=method), sleep),
        "sleepstudy slopes": (lmm("Reaction ~ Days", "Subject", "Days", method), sleep),
        "dyestuff": (lmm("Yield ~ 1", "Batch", method=method), dye),
        "hospitals": (lmm("y ~ x + z", "site", method=method), by_hospital),
    }
    for case, (model, populations) in cases.items():
        case = f"{case} {method}"
        estimate, asks = run(model, populations)
        agrees(estimate, r.of(case, "estimate"), r.of(case, "std_error"), 1e-6, 1e-6)
        told = r.named(case, "facts")
        assert estimate.facts["log_likelihood"] == pytest.approx(told["log_likelihood"], rel=1e-10)
        assert estimate.facts["sigma"] == pytest.approx(told["sigma"], rel=1e-6)
        assert np.ravel(estimate.facts["random"]["covariance"]) == pytest.approx(r.of(case, "covariance"), rel=1e-5)
        assert len(asks) <= 12


@pytest.fixture(scope="module")
def infections(r):
    return split(r.data["bacteria"], "ID", trt=("placebo", "drug", "drug+"))


def test_penalised_quasi_likelihood(r, infections):
    logistic, seizures = "y ~ C(trt) + late", split(r.data["epil"], "subject")
    cases = {
        "pql binomial ML": (glmm(logistic, "ID", method="ML"), infections),
        "pql binomial REML": (glmm(logistic, "ID"), infections),
        "pql poisson REML": (glmm("y ~ C(trt) + lage + V4", "subject", family="poisson"), seizures),
    }
    for case, (model, populations) in cases.items():
        estimate, _ = run(model, populations)
        agrees(estimate, r.of(case, "estimate"), r.of(case, "std_error"), 1e-6, 1e-6)
        assert estimate.facts["random"]["std_dev"] == pytest.approx(r.of(case, "std_dev"), rel=1e-6)


def test_mass_ends_its_search_after_three_digits(r, infections):
    estimate, _ = run(glmm("y ~ C(trt) + late", "ID", method="ML"), infections)
    assert column(estimate, "estimate") == pytest.approx(r.of("glmmPQL", "estimate"), rel=1e-3)
    assert estimate.facts["random"]["std_dev"] == pytest.approx(r.of("glmmPQL", "std_dev"), rel=1e-3)
