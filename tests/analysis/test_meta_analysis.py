"""Meta-analysis against metafor 3.8 (R 4.2.2), statsmodels and its own equations."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.meta_analysis import combine_effects

from sojourn.analysis.heterogeneity import METHODS, Studies, q_profile, tau_squared
from sojourn.analysis.influence import egger, influence
from sojourn.analysis.meta_analysis import INTERVALS, NORMAL, combine, leave_one_out
from sojourn.errors import ConvergenceError

CASE = Path(__file__).parents[1] / "data" / "references" / "meta_bcg"
LIMITED = {"PM": 1e-3}  # what metafor's own search leaves: by default it ends at 1e-4 of Q


@pytest.fixture(scope="module")
def bcg() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((CASE / "reference.json").read_text())["reference"]["meta_bcg"]
    rows = [next(csv.DictReader(path.read_text().splitlines())) for path in sorted((CASE / "sites").glob("*.csv"))]
    latitude = [float(row["ablat"]) for row in rows]
    return found | {"latitude": latitude, "studies": Studies.of(found["yi"], found["vi"])}


@pytest.mark.parametrize("method", ["FE", "DL", "PM", "REML", "ML", "SJ", "HE", "HS", "EB"])
def test_every_estimator_equals_metafor(bcg: dict[str, Any], method: str) -> None:
    expected, near = bcg[method], LIMITED.get(method, 1e-12)
    found = combine(bcg["studies"], "fixed" if method == "FE" else method, NORMAL)
    pairs = {
        "b": found.estimate[0],
        "se": found.std_error[0],
        "tau2": found.tau2,
        "Q": found.q,
        "I2": found.i_squared,
        "H2": found.h_squared,
    }
    assert pairs == pytest.approx({name: expected[name] for name in pairs}, rel=near)
    assert found.p_value[0] == pytest.approx(expected["p"], rel=max(near, 1e-9))
    assert [found.ci_low[0], found.ci_high[0]] == pytest.approx(expected["ci"], rel=near)
    if method != "FE":
        knapp = combine(bcg["studies"], method)
        assert knapp.std_error[0] == pytest.approx(expected["hksj"]["se"], rel=near)
        assert [knapp.ci_low[0], knapp.ci_high[0]] == pytest.approx(expected["hksj"]["ci"], rel=near)
        assert [knapp.prediction_low, knapp.prediction_high] == pytest.approx(expected["pi_hksj"], rel=near)


def test_tau_squared_solves_its_own_equations_beyond_the_oracle(bcg: dict[str, Any]) -> None:
    studies = bcg["studies"]
    assert tau_squared(studies, "PM") == pytest.approx(bcg["PM_exact_tau2"], rel=1e-14)
    for method in ("ML", "REML"):
        at = studies.at(tau_squared(studies, method))
        trace = np.trace(at.projection) if method == "REML" else at.weights.sum()
        assert at.bend == pytest.approx(trace, rel=1e-12)
    low, high = q_profile(studies)
    assert [low, high] == pytest.approx(bcg["tau2_ci"], rel=1e-3)  # metafor's `uniroot` ends at 1e-4
    assert [studies.at(end).spread for end in (low, high)] == pytest.approx([23.336664158645, 4.403788506981], 1e-12)


def test_meta_regression_and_egger_equal_metafor(bcg: dict[str, Any]) -> None:
    expected = bcg["metareg_ablat"]
    found = combine(Studies.of(bcg["yi"], bcg["vi"], bcg["latitude"]), "REML", NORMAL)
    assert found.estimate == pytest.approx(expected["b"], rel=1e-10)
    assert found.std_error == pytest.approx(expected["se"], rel=1e-10)
    numbers = [found.tau2, found.r_squared, found.moderated]
    assert numbers == pytest.approx([expected[name] for name in ("tau2", "R2", "QM")], rel=1e-10)
    tested = egger(bcg["studies"])
    assert tested is not None
    assert [tested.statistic, tested.p_value] == pytest.approx([bcg["egger"]["z"], bcg["egger"]["p"]], rel=1e-6)


@pytest.mark.oracle
def test_statsmodels_agrees(bcg: dict[str, Any]) -> None:
    y, v = np.array(bcg["yi"]), np.array(bcg["vi"])
    for method, word in (("DL", "dl"), ("PM", "iterated")):
        theirs = combine_effects(y, v, method_re=word, use_t=True, atol=1e-14, maxiter=500)
        mine, plain = combine(bcg["studies"], method), combine(bcg["studies"], method, NORMAL)
        assert mine.tau2 == pytest.approx(theirs.tau2, rel=1e-9)
        assert plain.std_error[0] == pytest.approx(theirs.sd_eff_w_re, rel=1e-9)
        assert mine.std_error[0] == pytest.approx(theirs.sd_eff_w_re_hksj, rel=1e-9)


def test_egger_of_the_first_form_equals_weighted_least_squares(bcg: dict[str, Any]) -> None:
    from statsmodels.regression.linear_model import WLS

    y, v = np.array(bcg["yi"]), np.array(bcg["vi"])
    theirs = WLS(y, np.stack([np.ones(13), np.sqrt(v)], axis=1), weights=1 / v).fit()
    found = egger(bcg["studies"], additive=False)
    assert found is not None
    assert [found.slope, found.std_error, found.p_value, found.limit] == pytest.approx(
        [theirs.params[1], theirs.bse[1], theirs.pvalues[1], theirs.params[0]], rel=1e-9
    )


STUDIES = st.lists(st.tuples(st.floats(-5, 5), st.floats(0.01, 4)), min_size=3, max_size=9)


@settings(max_examples=60, deadline=None)
@given(drawn=STUDIES, random=st.randoms(use_true_random=False), method=st.sampled_from(sorted(METHODS)))
def test_the_order_of_studies_and_a_shift_or_scale_change_nothing_else(
    drawn: list[tuple[float, float]], random: Any, method: str
) -> None:
    def of(pairs: list[tuple[float, float]]) -> list[float]:
        found = combine(Studies.of(*zip(*pairs, strict=True)), method)
        return [found.estimate[0], found.std_error[0], found.tau2**0.5]

    first = of(drawn)
    shuffled = random.sample(drawn, len(drawn))
    assert of(shuffled) == pytest.approx(first, rel=1e-6, abs=1e-6)
    moved = of([(3 * y + 7, 9 * v) for y, v in drawn])
    assert [(moved[0] - 7) / 3, moved[1] / 3, moved[2] / 3] == pytest.approx(first, rel=1e-5, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(drawn=STUDIES)
def test_likelihoods_are_at_their_maximum_and_the_interval_holds_paule_mandel(drawn: list[tuple[float, float]]) -> None:
    studies = Studies.of(*zip(*drawn, strict=True))
    for method, restricted in (("REML", True), ("ML", False)):
        found = tau_squared(studies, method)
        best = studies.at(found).log_likelihood(restricted)
        for near in (0.0, found * 0.99, found * 1.01 + 1e-4):
            assert studies.at(near).log_likelihood(restricted) <= best + 1e-9
    low, high = q_profile(studies)
    assert low <= tau_squared(studies, "PM") <= high or high == 0.0


@pytest.mark.parametrize("interval", INTERVALS)
@pytest.mark.parametrize("method", sorted(METHODS))
def test_one_study_is_its_own_answer(method: str, interval: str) -> None:
    found = combine(Studies.of([0.7], [0.04]), method, interval)
    assert [found.estimate[0], found.std_error[0]] == pytest.approx([0.7, 0.2])
    assert (found.tau2, found.tau2_high, found.q_p_value, found.prediction_low, found.freedom) == (
        0,
        None,
        None,
        None,
        None,
    )
    assert (influence(found), egger(found.studies)) == (None, None)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_studies_that_agree_wholly_have_no_variance_between_them(method: str) -> None:
    found = combine(Studies.of([1.5] * 4, [0.1, 0.2, 0.3, 0.4]), method, "hartung_knapp_adjusted")
    assert (found.tau2, found.i_squared) == (0, 0)
    assert found.estimate[0] == pytest.approx(1.5)
    assert found.std_error[0] == pytest.approx(np.sqrt(1 / sum(1 / np.array([0.1, 0.2, 0.3, 0.4]))))


@pytest.mark.parametrize(
    ("estimates", "variances", "moderators", "words"),
    [
        ([1, 2], [0.1, 0.0], [], "no variance"),
        ([1, 2], [0.1, -1], [], "no variance"),
        ([1, float("nan")], [0.1, 0.1], [], "not finite"),
        ([], [], [], "nothing to combine"),
        ([1, 2, 3], [1, 1, 1], [[2, 2, 2]], "do not tell"),
        ([1, 2], [1, 1], [[1, 2], [5, 3]], "do not tell"),
    ],
)
def test_what_cannot_be_combined_says_why(estimates: Any, variances: Any, moderators: Any, words: str) -> None:
    with pytest.raises(ConvergenceError, match=words) as caught:
        Studies.of(estimates, variances, *moderators)
    assert caught.value.remedy


def test_the_study_that_differs_is_found(bcg: dict[str, Any]) -> None:
    y, v = [0.1, 0.2, 0.15, 0.12, 3.0], [0.01] * 5
    found = influence(combine(Studies.of(y, v)))
    assert found is not None
    assert np.abs(found.deleted).argmax() == found.share.argmax() == found.moved.argmax() == 4
    assert abs(found.deleted[4]) > 10 > 3 > np.abs(found.deleted[:4]).max()
    without = leave_one_out(bcg["studies"])[3]
    assert without.studies.number == 12
    assert without.estimate[0] == pytest.approx(
        combine(Studies.of(np.delete(bcg["yi"], 3), np.delete(bcg["vi"], 3))).estimate[0]
    )
