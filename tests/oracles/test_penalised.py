"""The lasso and the elastic net, linear and logistic, against glmnet along a path."""

import pytest
from federated import column, run
from oracle import Answers, ask, split

from sojourn.statistics.catalogue_models import elastic_net

pytestmark = [pytest.mark.oracle, pytest.mark.long]
LAMBDAS = {"houses": (0.5, 0.2, 0.1, 0.05, 0.01, 0.001), "births": (0.1, 0.05, 0.02, 0.01, 0.001)}


@pytest.fixture(scope="module")
def r() -> Answers:
    return ask("penalised")


@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("alpha", [1, 0.5])
@pytest.mark.parametrize("data", LAMBDAS)
def test_every_coefficient_of_a_path_equals_glmnets(r, data, alpha, standardise):
    table, lambdas = r.data[data], LAMBDAS[data]
    formula = "y ~ " + " + ".join(name for name in table if name != "y")
    family = "binomial" if data == "births" else "gaussian"
    model = elastic_net(formula, family, alpha, lambdas, standardise=standardise)
    estimate, _ = run(model, split(table))
    case = f"{data} {alpha} {str(standardise).upper()}"
    for place, line in enumerate(column(estimate, "estimate").reshape(len(lambdas), -1)):
        expected = r.of(case, str(place + 1))
        assert line == pytest.approx(expected, rel=1e-6, abs=1e-9)
        assert ((line != 0) == (expected != 0)).all()
    assert estimate.facts["deviance_ratio"] == pytest.approx(r.of(case, "deviance_ratio"), abs=1e-9)
