"""What a site's default rules make of tests, rates and balances: few persons, rare events, one person's sums."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.gate import judge
from sojourn.disclosure.output import Finding, Output, Verdict
from sojourn.disclosure.policy import StandardPolicy
from sojourn.statistics.catalogue_comparisons import (
    balance,
    correlation,
    direct_standardisation,
    incidence,
    indirect_standardisation,
    mantel_haenszel,
    prevalence,
    t_test,
)

BANDS = ("old", "middle", "young")
VARIABLES = with_site(
    {
        "age": Variable(Kind.NUMBER),
        "bmi": Variable(Kind.NUMBER),
        "years": Variable(Kind.NUMBER, low=0),
        "falls": Variable(Kind.NUMBER, low=0),
        "dead": Variable(Kind.BOOLEAN),
        "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
        "band": Variable(Kind.CATEGORY, levels=BANDS),
    },
    ("x",),
)
N = 240


def found(statistic: Statistic, **change: Any) -> list[Finding]:
    """The word on each round at a site of 240 persons, eighty in each band; change: columns."""
    rng, place = np.random.default_rng(1), np.arange(N)
    columns = {
        "age": rng.normal(60, 9, N),
        "bmi": rng.normal(27, 4, N),
        "years": np.round(rng.uniform(1, 9, N), 1),
        "falls": (place % 5).astype(float),
        "dead": (place % 3 == 0).astype(np.int8),
        "sex": (place % 2).astype(np.int32),
        "band": (place // 80).astype(np.int32),
    }
    one = Population("x", VARIABLES, {**columns, **change}, place.astype(np.uint32), {})
    support, said = statistic.support(one), []
    for step in statistic.steps(VARIABLES):
        broadcast = {name: np.zeros(shape) for name, shape in step.broadcast.items()}
        if "centre" in broadcast:
            broadcast["centre"][1:] = [one.numeric(name).mean() for name in statistic.variables()]
        partial, working = statistic.local(step.name, one, broadcast), statistic.working(step.name, one, broadcast)
        if support.design is not None:
            support = replace(support, design=replace(support.design, working=working))
        output = Output(statistic.name, step, partial, support, VARIABLES, statistic.rules)
        said.append(judge(output, StandardPolicy()))
    return said


def hidden(finding: Finding, array: str) -> list[int]:
    """Which places of an array are hidden."""
    mask = finding.cells.get(array)
    return [] if mask is None else np.flatnonzero(mask).tolist()


ASKED = {
    "t_test": t_test("age", "dead", by="sex"),
    "correlation": correlation("age", "bmi"),
    "prevalence": prevalence("dead", by="band"),
    "incidence": incidence("falls", "years", by="band"),
    "direct": direct_standardisation("dead", "years", "band", dict.fromkeys(BANDS, 1)),
    "indirect": indirect_standardisation("dead", "years", "band", dict.fromkeys(BANDS, 1)),
    "mantel_haenszel": mantel_haenszel("dead", "sex", "band"),
    "balance": balance("age", "band", by="sex"),
}


@pytest.mark.parametrize("name", ASKED)
def test_common_groups_leave_by_themselves(name: str) -> None:
    assert {finding.verdict for finding in found(ASKED[name])} == {Verdict.RELEASE}


def test_a_group_of_nine_hides_both_groups_in_both_rounds() -> None:
    few = (np.arange(N) < 9).astype(np.int32)
    first, second = found(ASKED["t_test"], sex=few)
    assert hidden(first, "group_n") == hidden(first, "group_sum.age") == hidden(second, "group_squares.age") == [0, 1]


def test_a_rare_condition_hides_its_mean_and_not_the_number_of_rows() -> None:
    few = (np.arange(N) < 4).astype(np.int8)
    first, second = found(ASKED["t_test"], dead=few)
    assert hidden(first, "group_sum.dead") == hidden(second, "group_squares.dead") == [0, 1]
    assert hidden(first, "group_n") == hidden(first, "group_sum.age") == []


@pytest.mark.parametrize("few", [4, N - 4, 0, N])
def test_few_with_a_condition_look_like_few_without(few: int) -> None:
    """Nobody and everybody too: all that is said is that it is not shown."""
    dead = (np.arange(N) < few).astype(np.int8)
    [finding] = found(prevalence("dead"), dead=dead)
    assert hidden(finding, "all_count.dead") == [0, 1]
    [finding] = found(incidence("dead", "years"), dead=dead)
    assert hidden(finding, "all_events") == [0]
    assert hidden(finding, "all_time") == []


@pytest.mark.parametrize(
    "falls", [np.r_[np.arange(1, 6), np.zeros(N - 5)], np.r_[np.zeros(5), 1 + np.arange(N - 5) % 4]]
)
def test_few_persons_with_events_or_without_hide_the_events(falls: np.ndarray) -> None:
    [finding] = found(incidence("falls", "years"), falls=falls.astype(float))
    assert hidden(finding, "all_events") == [0]
    everybody = found(incidence("falls", "years"), falls=1.0 + np.arange(N) % 3)[0]
    assert hidden(everybody, "all_events") == [0]


def test_one_person_with_most_of_the_time_is_refused_or_hidden() -> None:
    years = np.r_[1e5, np.ones(N - 1) + np.arange(N - 1) % 2]
    [finding] = found(incidence("dead", "years"), years=years)
    assert finding.verdict is Verdict.REFUSE
    assert finding.family == "dominance"


@pytest.mark.parametrize("rates", [(1, 0, 0), (1, 1_000, 1_000_000), (1, 1, 1)])
def test_reference_rates_that_pick_a_small_stratum_get_nothing(rates: tuple[float, ...]) -> None:
    """Attack: the expected events would be the person-time of five persons, or tell it by their digits."""
    band = np.where(np.arange(N) < 5, 0, 1 + np.arange(N) % 2).astype(np.int32)
    statistic = indirect_standardisation("dead", "years", "band", dict(zip(BANDS, rates, strict=True)))
    [finding] = found(statistic, band=band)
    assert hidden(finding, "expected") == [0]
    assert hidden(finding, "events") == []


def test_a_stratum_of_five_is_hidden_with_another() -> None:
    band = np.where(np.arange(N) < 5, 0, 1 + np.arange(N) % 2).astype(np.int32)
    [finding] = found(ASKED["direct"], band=band)
    assert len(hidden(finding, "stratum_time")) >= 2
    assert 0 in hidden(finding, "stratum_time")


def test_strata_with_small_cells_are_hidden() -> None:
    [finding] = found(ASKED["mantel_haenszel"], sex=(np.arange(N) % 40 == 0).astype(np.int32))
    assert finding.verdict is Verdict.SUPPRESS


def test_a_rare_level_hides_its_row_of_a_balance_alone() -> None:
    band = np.where(np.arange(N) < 8, 0, 1 + np.arange(N) % 3 % 2).astype(np.int32)
    first, _ = found(ASKED["balance"], band=band)
    assert hidden(first, "group_sum.band[old]") == [0, 1]
    assert hidden(first, "group_sum.age") == hidden(first, "group_n") == []


def test_correlations_are_refused_where_a_linear_model_would_be() -> None:
    far = np.random.default_rng(1).normal(60, 9, N)
    far[7] = 1e5
    _, second = found(ASKED["correlation"], age=far)
    assert (second.verdict, second.family) == (Verdict.REFUSE, "design support")
    constant = found(ASKED["correlation"], bmi=np.full(N, 27.0))
    assert constant[0].family == "design support"
    rare = found(correlation("age", "dead"), dead=(np.arange(N) < 4).astype(np.int8))
    assert rare[0].verdict is Verdict.REFUSE
