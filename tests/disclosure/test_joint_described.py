"""What describes and compares has a joint test: its questions follow from the plan, and all sites' evidence fits."""

from __future__ import annotations

import numpy as np
import pytest

from sojourn.analysis.population import Population, nobody
from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
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

SITES = ("Avon", "Brent", "Cam")
TIME = Variable(Kind.NUMBER, low=0, high=40)
VARIABLES = with_site(
    {
        "age": Variable(Kind.NUMBER, low=0, high=120),
        "years": TIME,
        "falls": TIME,
        "dead": Variable(Kind.BOOLEAN),
        "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
        "band": Variable(Kind.CATEGORY, levels=("old", "young")),
    },
    SITES,
)
BANDS = {"old": 2.0, "young": 1.0}
ASKED = {
    "anova": anova("age", by="band"),
    "balance": balance("age", "band", by="sex"),
    "correlation": correlation("age", "years", "dead"),
    "direct": direct_standardisation("dead", "years", "band", BANDS, by="sex"),
    "incidence": incidence("falls", "years", by="sex"),
    "indirect": indirect_standardisation("falls", "years", "band", BANDS, by="sex"),
    "mantel_haenszel": mantel_haenszel("dead", "sex", "band"),
    "prevalence": prevalence("dead", by="sex"),
    "t_test": t_test("age", by="sex"),
    "trend": trend("dead", by="band"),
}


def people(n: int, seed: int, **change: np.ndarray) -> Population:
    rng = np.random.default_rng(seed)
    columns = {
        "age": rng.integers(20, 90, n).astype(float),
        "years": np.round(rng.uniform(1, 9, n), 1),
        "falls": rng.poisson(1, n).astype(float),
        "dead": rng.integers(0, 2, n).astype(np.int8),
        "sex": rng.integers(0, 2, n).astype(np.int32),
        "band": rng.integers(0, 2, n).astype(np.int32),
    }
    return Population("Avon", VARIABLES, {**columns, **change}, np.arange(n, dtype=np.uint32), {})


def layout_of(statistic: Statistic) -> Layout:
    return Layout.of(statistic.support(nobody("Avon", VARIABLES)), VARIABLES, statistic.rules)


@pytest.mark.parametrize("name", ASKED)
def test_whatever_a_site_has_fits_the_questions(name: str) -> None:
    """Also a few persons, all alike, nobody: what is asked may not depend on them."""
    layout = layout_of(ASKED[name])
    alike = {"years": np.full(7, 2.0), "falls": np.ones(7), "dead": np.ones(7, dtype=np.int8)}
    for one in (people(60, 1), people(3, 2), people(7, 3, **alike), nobody("Brent", VARIABLES)):
        numbers = layout.numbers(ASKED[name].support(one), Parameters())
        assert len(numbers) == layout.inputs
    assert not layout.numbers(ASKED[name].support(nobody("Brent", VARIABLES)), Parameters()).any()


def test_where_all_have_events_nobody_without_is_made_up() -> None:
    """A site's own gate takes nobody for one person; a joint test adds what there is."""
    layout = layout_of(ASKED["incidence"])
    support = ASKED["incidence"].support(people(30, 1, falls=np.full(30, 3.0)))
    found = dict(zip(layout.labels(), layout.numbers(support, Parameters()).tolist(), strict=True))
    assert (found["cell 0 0"], found["cell 1 0"], found["cell 2 0"]) == (30, 30, 0)


def test_many_pairs_wait_for_a_checker_so_nobody_sums_them() -> None:
    many = {f"x{i}": Variable(Kind.NUMBER, low=0, high=1) for i in range(6)}
    variables = with_site(many, SITES)
    statistic = correlation(*many)
    with pytest.raises(DisclosureRefused) as refused:
        Layout.of(statistic.support(nobody("Avon", variables)), variables, statistic.rules)
    assert refused.value.family == "correlation"
