"""Meta-analysis against metafor: estimators, intervals, prediction, regression, influence, and a whole study."""

import numpy as np
import oracle_data
import pytest
from federated import run
from oracle import Answers, ask

from sojourn.analysis.heterogeneity import Studies
from sojourn.analysis.influence import egger, influence
from sojourn.analysis.meta_analysis import ADJUSTED, HARTUNG_KNAPP, NORMAL, combine, leave_one_out
from sojourn.statistics.catalogue_models import glm, meta

pytestmark = [pytest.mark.oracle, pytest.mark.long]
METHODS = ("DL", "PM", "REML", "ML", "SJ", "EB", "HE", "HS")
INTERVALS = {"normal": NORMAL, "knha": HARTUNG_KNAPP, "adhoc": ADJUSTED}


@pytest.fixture(scope="module")
def r() -> Answers:
    return ask("studies", heart=oracle_data.heart())


def studies(r, name, moderated=False):
    table = r.data[name]
    return Studies.of(table["yi"], table["vi"], *([table["moderator"]] if moderated else []))


def is_that_fit(r, case, found, near=1e-9):
    assert found.estimate == pytest.approx(r.of(case, "estimate"), rel=near)
    assert found.std_error == pytest.approx(r.of(case, "std_error"), rel=near)
    assert found.p_value == pytest.approx(r.of(case, "p_value"), rel=1e2 * near)
    assert [*found.ci_low, *found.ci_high] == pytest.approx(r.of(case, "ends"), rel=near, abs=near)
    told = r.named(case, "facts")
    assert {name: getattr(found, name) for name in told} == pytest.approx(told, rel=10 * near, abs=1e-10)


@pytest.mark.parametrize("name", ["bcg", "smoke", "teachers"])
def test_every_estimator_and_interval(r, name):
    is_that_fit(r, f"{name} FE normal", combine(studies(r, name), "fixed", NORMAL))
    for method in METHODS:
        for word, interval in INTERVALS.items():
            found = combine(studies(r, name), method, interval)
            is_that_fit(r, f"{name} {method} {word}", found)
            if word != "normal":
                ends = r.of(f"{name} {method} {word}", "prediction")
                assert [found.prediction_low, found.prediction_high] == pytest.approx(ends, rel=1e-9)
        found = combine(studies(r, name, moderated=True), method, HARTUNG_KNAPP)
        is_that_fit(r, f"{name} {method} regression", found)
        explained = found.r_squared or 0.0  # None where there is nothing to explain, which is 0 to R
        test = [found.moderated, found.moderated_p_value, explained]
        assert test == pytest.approx(r.of(f"{name} {method} regression", "test"), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("name", ["bcg", "smoke", "teachers"])
def test_what_is_told_beside(r, name):
    made = combine(studies(r, name), "REML", NORMAL)
    assert [made.tau2_low, made.tau2_high] == pytest.approx(r.of(name, "tau2_ends"), rel=1e-9, abs=1e-10)
    left = leave_one_out(made.studies, "REML", NORMAL)
    assert [one.estimate[0] for one in left] == pytest.approx(r.of(name, "left_out"), rel=1e-9)
    assert [one.std_error[0] for one in left] == pytest.approx(r.of(name, "left_out_error"), rel=1e-9)
    assert [one.tau2 for one in left] == pytest.approx(r.of(name, "left_out_tau2"), rel=1e-8, abs=1e-10)
    for additive, word in ((True, "egger"), (False, "egger of the first form")):
        tested = egger(made.studies, additive)
        assert [tested.statistic, tested.p_value, tested.limit] == pytest.approx(r.of(name, word), rel=1e-8)
    moved = influence(made)
    assert [*moved.share, *moved.moved] == pytest.approx(r.of(name, "baujat"), rel=1e-8, abs=1e-10)
    assert moved.deleted == pytest.approx(r.of(name, "deleted"), rel=1e-8)


def test_a_study_over_hospitals(r):
    populations = oracle_data.patients()
    model = meta(glm("disease ~ age + oldpeak", "binomial"), interval="hartung_knapp")
    estimate, _ = run(model, populations)
    for row, term in zip(estimate.rows, ("(Intercept)", "age", "oldpeak"), strict=True):
        told, case = dict(zip(estimate.columns, row[1:], strict=True)), f"hospitals {term}"
        facts = r.named(case, "facts")
        assert told["sites"] == 4
        assert abs(told["estimate"] - r.of(case, "estimate")[0]) <= 1e-6 * r.of(case, "std_error")[0]
        assert told["std_error"] == pytest.approx(r.of(case, "std_error")[0], rel=1e-6)
        assert [told["ci_low"], told["ci_high"]] == pytest.approx(r.of(case, "ends"), rel=1e-6)
        assert told["tau2"] == pytest.approx(facts["tau2"], rel=1e-6, abs=1e-9)
        assert estimate.facts["meta"][row[0]]["q"] == pytest.approx(facts["q"], rel=1e-7)
        assert np.isfinite(told["p_value"])
