"""Negative binomial regression: beta and theta together, against statsmodels; counts that are not overdispersed."""

import numpy as np
import pytest
import statsmodels.api as sm
from federated import column, run
from test_glm_references import made, overdispersed

from sojourn.errors import ConvergenceError
from sojourn.statistics.catalogue_models import glm


@pytest.mark.parametrize("extra", ["", "offset"])
def test_equals_statsmodels(extra):
    populations, columns, design = made(overdispersed)
    offset = columns["o"] if extra else None
    estimate, asks = run(glm("y ~ x + z + group", "negative_binomial", offset="o" if extra else None), populations)
    theta = estimate.facts["theta"]
    start = np.r_[column(estimate, "estimate"), 1 / theta] * (1 + 1e-5)
    pooled = sm.NegativeBinomial(columns["y"], design, offset=offset)
    joint = pooled.fit(start_params=start, method="newton", disp=0, tol=1e-14, maxiter=100)
    fixed = sm.GLM(columns["y"], design, sm.families.NegativeBinomial(alpha=1 / theta), offset=offset).fit(tol=1e-14)
    assert np.max(np.abs(column(estimate, "estimate") - joint.params[:-1]) / joint.bse[:-1]) < 1e-9
    assert theta == pytest.approx(1 / joint.params[-1], rel=1e-9)
    assert column(estimate, "std_error") == pytest.approx(fixed.bse, rel=1e-8)  # as R's: theta does not depend on beta
    assert estimate.facts["theta_std_error"] == pytest.approx(theta**2 * joint.bse[-1], rel=2e-2)
    assert estimate.facts["log_likelihood"] == pytest.approx(joint.llf, rel=1e-10)
    assert estimate.facts["deviance"] == pytest.approx(fixed.deviance, rel=1e-8)
    assert len(asks) <= 9


def test_counts_that_vary_no_more_than_a_poissons_say_so():
    populations, _, _ = made(lambda rng, eta, offset: np.round(np.exp(1 + eta)))
    with pytest.raises(ConvergenceError, match="no more than a Poisson's") as caught:
        run(glm("y ~ x + z + group", "negative_binomial"), populations)
    assert "poisson" in caught.value.remedy
