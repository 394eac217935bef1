"""Coordinators that are told sums alone, as in masked plans: the same answers, and no bounds that are a site's."""

import numpy as np
import pytest
from federated import BOOLEAN, _hide, category, federation, run

from sojourn.analysis.partial import Partial, total
from sojourn.analysis.statistic import Gathered, Suppressed
from sojourn.analysis.variable import Kind, Variable
from sojourn.report.record import estimate_to_dict
from sojourn.statistics.catalogue_comparisons import (
    anova,
    balance,
    correlation,
    direct_standardisation,
    incidence,
    indirect_standardisation,
    mantel_haenszel,
    prevalence,
    t_test,
    trend,
)
from sojourn.statistics.catalogue_counts import at_least, count, crosstab, describe, histogram, quantiles
from sojourn.statistics.catalogue_models import elastic_net, firth, glm

VARIABLES = {
    "sex": category("F", "M"),
    "stage": category("I", "II", "III"),
    "dead": BOOLEAN,
    "age": Variable(Kind.NUMBER, low=0, high=120),
}
BANDS = {"I": 3, "II": 2, "III": 1}
ASKED = {
    "anova": anova("age", by="stage"),
    "balance": balance("age", "stage", by="dead"),
    "correlation": correlation("age", "dead"),
    "direct_standardisation": direct_standardisation("dead", "age", "stage", BANDS, by="sex"),
    "incidence": incidence("dead", "age", by="sex", per=100),
    "indirect_standardisation": indirect_standardisation("dead", "age", "stage", BANDS, by="sex"),
    "mantel_haenszel": mantel_haenszel("dead", "sex", "stage"),
    "prevalence": prevalence("dead", by="sex"),
    "t_test": t_test("age", by="dead"),
    "trend": trend("dead", by="stage"),
    "at_least": at_least(20, by=["sex", "stage"]),
    "count": count(by=["sex", "stage"]),
    "crosstab": crosstab("sex", "dead"),
    "describe": describe("age", "dead", by="stage"),
    "histogram": histogram("age", [30, 50, 70]),
    "quantiles": quantiles("age", by="sex", precision=1),
    "glm": glm("dead ~ age + C(sex)", family="binomial"),
    "glm with robust errors": glm("dead ~ age + C(sex)", family="binomial", robust="cluster"),
    "firth": firth("dead ~ age + C(sex)"),
    "elastic net": elastic_net("dead ~ age + C(sex)", family="binomial", lambdas=(0.1, 0.01)),
}


def rows(n, seed):
    rng = np.random.default_rng(seed)
    drawn = {"sex": rng.choice(["F", "M"], n), "stage": rng.choice(["I", "II", "III"], n)}
    return {**drawn, "dead": rng.random(n) < 0.4, "age": rng.integers(15, 95, n).astype(float)}


@pytest.fixture(scope="module")
def sites():
    return federation(VARIABLES, {f"s{i}": rows(n, i) for i, n in enumerate((40, 3, 0, 60))})


def summed(statistic, populations, hide=None):
    """As a hub that never sees a part; hide: places of arrays that failed the joint test."""
    coordinator = statistic.coordinator(populations[0].variables)
    ask = next(coordinator)
    while True:
        parts = [statistic.local(ask.step, part, ask.broadcast) for part in populations]
        sums = _hide(total(Partial(dict(part.arrays)) for part in parts), hide or {})
        try:
            ask = coordinator.send(Gathered(sums, {}))
        except StopIteration as finished:
            return finished.value


@pytest.mark.parametrize("name", ASKED)
def test_sums_are_all_that_a_coordinator_needs(sites, name):
    with_parts, _ = run(ASKED[name], sites)
    alone = estimate_to_dict(summed(ASKED[name], sites))
    expected = estimate_to_dict(with_parts)
    expected["facts"].pop("n_by_site", None)
    assert alone == expected


@pytest.mark.parametrize(
    ("name", "hide", "place"),
    [
        ("count", {"count": [1, 2]}, 1),
        ("crosstab", {"count": [0, 3], "margin.sex": [0, 1], "margin.dead": [0, 1]}, 0),
        ("trend", {"count": [0, 1]}, 0),
        ("prevalence", {"group_count.dead": [0, 1]}, 1),
        ("describe", {"group_n": [0, 1], "group_sum.age": [0, 1], "group_squares.age": [0, 1]}, 1),
        ("histogram", {"count": [2, 3]}, 3),
    ],
)
def test_a_hidden_cell_has_no_bounds_as_they_would_be_a_sites(sites, name, hide, place):
    estimate = summed(ASKED[name], sites, hide)
    cells = dict(zip(estimate.columns, estimate.rows[place][len(estimate.index) :], strict=True))
    assert cells["n"] == Suppressed()
    assert str(cells["n"]) == "suppressed"
    if name == "describe":
        assert (cells["mean"], cells["sd"]) == (Suppressed(), Suppressed())
    assert "n_by_site" not in estimate.facts
    shown = [cell for margin in estimate.facts.get("margins", {}).values() for cell in margin.values()]
    assert set(shown) <= {Suppressed()}


def test_a_whole_that_is_hidden_is_so_everywhere(sites):
    estimate = summed(ASKED["quantiles"], sites, {f"rows.{q:g}": [0] for q in (0.25, 0.5, 0.75)})
    assert [row[3] for row in estimate.rows[:3]] == [Suppressed()] * 3
    assert all(row[-3] == Suppressed() for row in estimate.rows[:3])
