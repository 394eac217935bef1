"""Rubin's rules against statsmodels' combination of the same fits, and at their ends."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.imputation.mice import MICE

from sojourn.analysis.rubin import combine

RNG = np.random.default_rng(1)
ESTIMATES, ERRORS = RNG.normal(1, 0.1, (7, 3)), RNG.uniform(0.2, 0.3, (7, 3))


def test_it_is_what_statsmodels_combines():
    mice = MICE.__new__(MICE)
    mice.exog_names, mice.endog_names, mice.model_class = ["a", "b", "c"], "y", None
    fits = [
        SimpleNamespace(params=row, cov_params=lambda error=error: np.diag(error**2))
        for row, error in zip(ESTIMATES, ERRORS, strict=True)
    ]
    mice.results_list = [SimpleNamespace(_results=fit, scale=1.0) for fit in fits]
    oracle, found = mice.combine(), combine(ESTIMATES, ERRORS, np.inf)
    assert found.estimate == pytest.approx(oracle.params, rel=1e-13)
    assert found.std_error == pytest.approx(oracle.bse, rel=1e-13)
    assert found.between == pytest.approx(oracle.frac_miss_info, rel=1e-13)


def test_degrees_of_freedom_are_those_of_barnard_and_rubin():
    """Written out with other letters: Barnard and Rubin 1999, equations 3 and 4."""
    found, m, nu = combine(ESTIMATES, ERRORS, 40.0), 7, 40.0
    gamma = (1 + 1 / m) * ESTIMATES.var(axis=0, ddof=1) / found.std_error**2
    old, seen = (m - 1) * gamma**-2, (nu + 1) / (nu + 3) * nu * (1 - gamma)
    assert found.freedom == pytest.approx(old * seen / (old + seen), rel=1e-12)
    assert (found.freedom < nu).all()
    large = combine(ESTIMATES, ERRORS, np.inf)
    assert large.freedom == pytest.approx(old, rel=1e-12)
    r = gamma / (1 - gamma)
    assert large.missing_information == pytest.approx((r + 2 / (old + 3)) / (r + 1), rel=1e-12)


def test_equal_sets_are_one_fit():
    found = combine(np.ones((4, 1)), np.full((4, 1), 0.5), 20.0)
    assert (found.estimate[0], found.std_error[0]) == (1.0, 0.5)
    assert (found.missing_information[0], found.between[0], found.simulation[0]) == (0.0, 0.0, 0.0)
    assert found.freedom[0] == pytest.approx(21 / 23 * 20)
    assert combine(np.ones((4, 1)), np.full((4, 1), 0.5), np.inf).freedom[0] == np.inf
    with pytest.raises(ValueError, match="one set"):
        combine(np.ones((1, 1)), np.ones((1, 1)), 5.0)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(7)), scale=st.floats(0.01, 100))
def test_order_and_unit_do_not_matter(order, scale):
    expected, found = combine(ESTIMATES, ERRORS, 40.0), combine(ESTIMATES[order] * scale, ERRORS[order] * scale, 40.0)
    assert found.estimate == pytest.approx(expected.estimate * scale, rel=1e-12)
    assert found.std_error == pytest.approx(expected.std_error * scale, rel=1e-12)
    assert found.freedom == pytest.approx(expected.freedom, rel=1e-9)
    assert found.missing_information == pytest.approx(expected.missing_information, rel=1e-9)
