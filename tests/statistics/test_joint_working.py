"""What one site's persons weigh in the model of all sites, against statsmodels on the pooled rows."""

import numpy as np
import pytest
import statsmodels.api as sm
from federated import BOOLEAN, NUMBER, federation

from sojourn.analysis.partial import Partial, total
from sojourn.analysis.population import nobody
from sojourn.analysis.statistic import Gathered
from sojourn.statistics.catalogue import glm

VARIABLES = {"y": NUMBER, "x": NUMBER, "case": BOOLEAN}


def sites(outlier=0.0):
    rng = np.random.default_rng(4)
    made = {}
    for number in range(6):
        x = rng.normal(size=4)
        x[0] += outlier * (number == 2)
        made[f"s{number}"] = {"y": x + rng.normal(size=4), "x": x, "case": rng.integers(0, 2, 4)}
    return federation(VARIABLES, made)


def rounds(statistic, populations, steps):
    """Sums of the first rounds, and what each site finds of the last of them."""
    coordinator, totals = statistic.coordinator(populations[0].variables), {}
    ask = next(coordinator)
    for _ in range(steps):
        summed = total([statistic.local(ask.step, one, ask.broadcast) for one in populations])
        totals[ask.step] = summed
        ask = coordinator.send(Gathered(summed, {}))
    return ask, totals


@pytest.mark.parametrize("outlier", [0.0, 30.0])
def test_leverage_is_that_of_the_pooled_design(outlier):
    populations, statistic = sites(outlier), glm("y ~ x")
    ask, totals = rounds(statistic, populations, 2)
    found = [statistic.joint_working(ask.step, one, ask.broadcast, totals) for one in populations]
    x = np.concatenate([one.columns["x"] for one in populations])
    hat = sm.OLS(np.zeros(len(x)), sm.add_constant(x)).fit().get_influence().hat_matrix_diag
    assert max(one.leverage for one in found) == pytest.approx(hat.max())
    assert [one.leverage for one in found] == pytest.approx(hat.reshape(6, 4).max(axis=1))
    assert all(one.effective == pytest.approx(24) for one in found)
    assert (found[2].leverage > 1 / 3) == bool(outlier)


def test_weights_of_a_logistic_model_are_shared_by_all_sites_persons():
    populations, statistic = sites(), glm("case ~ x", family="binomial")
    ask, totals = rounds(statistic, populations, 3)
    found = [statistic.joint_working(ask.step, one, ask.broadcast, totals) for one in populations]
    assert all(10 < one.effective <= 24 * 1.5 and one.leverage < 1 / 3 for one in found)
    own = [statistic.working(ask.step, one, ask.broadcast) for one in populations]
    assert all(one.effective <= 4 for one in own)  # by itself every site would refuse


def test_before_the_first_sum_nothing_is_judged_and_nobody_weighs_nothing():
    populations, statistic = sites(), glm("y ~ x")
    ask, totals = rounds(statistic, populations, 1)
    assert statistic.joint_working(ask.step, populations[0], ask.broadcast, totals) is None
    ask, totals = rounds(statistic, populations, 2)
    empty = statistic.joint_working(ask.step, nobody("s0", populations[0].variables), ask.broadcast, totals)
    assert empty.leverage == 0 and empty.effective == np.inf
    broken = totals | {"start": Partial({"gram": np.zeros((2, 2)), "moment": np.zeros(2), "saturated": np.zeros(1)})}
    assert statistic.joint_working(ask.step, populations[0], ask.broadcast, broken).leverage == 1
