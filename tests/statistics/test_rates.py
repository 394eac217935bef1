"""Prevalences, incidence rates and standardised rates against SciPy and statsmodels; hard sites; any split."""

import numpy as np
import pandas as pd
import pytest
from federated import BOOLEAN, category, column, federation, population, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from sojourn.analysis.statistic import Suppressed
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.errors import PlanError, SiteRefused
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_comparisons import (
    direct_standardisation,
    incidence,
    indirect_standardisation,
    prevalence,
)
from sojourn.statistics.direct_standardisation import standardised

TIME = Variable(Kind.NUMBER, low=0, high=50)
VARIABLES = {
    "dead": BOOLEAN,
    "falls": TIME,
    "years": TIME,
    "sex": category("F", "M"),
    "band": category("young", "middle", "old"),
}
STANDARD = {"young": 500, "middle": 300, "old": 200}
RATES = {"young": 2.0, "middle": 5.5, "old": 21.0}
ASKED = (
    prevalence("dead", by="sex"),
    incidence("falls", "years", by=["sex", "band"], per=1000),
    direct_standardisation("falls", "years", "band", STANDARD, by="sex", per=100),
    indirect_standardisation("falls", "years", "band", RATES, by="sex", per=100),
)


def rows(n, seed):
    rng = np.random.default_rng(seed)
    years = np.round(rng.uniform(0.2, 9, n), 2)
    drawn = {"sex": rng.choice(["F", "M"], n), "band": rng.choice(list(STANDARD), n), "years": years}
    return {**drawn, "dead": rng.random(n) < 0.3, "falls": rng.poisson(0.2 * years).astype(float)}


def sites():
    lone = {**rows(25, 4), "sex": ["M"] * 25, "band": ["old"] * 25, "falls": np.zeros(25)}
    parts = {"a": rows(60, 1), "b": rows(0, 2), "c": lone, "d": rows(90, 3)}
    return federation(VARIABLES, parts), pd.concat([pd.DataFrame(part) for part in parts.values()])


@pytest.mark.parametrize(("interval", "method"), [("wilson", "wilson"), ("exact", "beta")])
def test_prevalence_equals_statsmodels(interval, method):
    populations, pooled = sites()
    estimate, _ = run(prevalence("dead", by="sex", interval=interval), populations)
    groups = [("all", pooled), *pooled.groupby("sex")]
    assert [row[1] for row in estimate.rows] == [label for label, _ in groups]
    for row, (_, part) in zip(estimate.rows, groups, strict=True):
        cases, n = int(part["dead"].sum()), len(part)
        assert row[2:4] == (n, cases)
        assert row[4:] == pytest.approx((cases / n, *proportion_confint(cases, n, method=method)), rel=1e-12)
    assert estimate.facts["n"] == len(pooled)


def test_prevalence_counts_each_person_once():
    variables = with_site(VARIABLES, ("a",))
    columns = {**rows(5, 1), "dead": [0, 1, 0, 0, 0]}
    one = population("a", variables, columns, persons=[1, 1, 2, 3, 3])
    [(_, n, cases, *_)] = run(prevalence("dead"), [one])[0].rows
    assert (n, cases) == (3, 1)
    [cells] = prevalence("dead").support(one).cells
    assert [set(cell) for cell in cells.persons] == [{2, 3}, {1}]
    ends = [run(prevalence("dead", interval=word), [one])[0].rows[0][-2:] for word in ("wilson", "exact")]
    assert all(0 < low < 1 / 3 < high < 1 for low, high in ends)
    nobody = federation(VARIABLES, {"a": rows(0, 1)})
    assert run(prevalence("dead"), nobody)[0].rows == (("dead", 0, 0, None, None, None),)


def test_incidence_has_exact_intervals():
    populations, pooled = sites()
    estimate, _ = run(incidence("falls", "years", by="sex", per=1000), populations)
    assert estimate.columns == ("events", "time", "rate", "ci_low", "ci_high")
    for row, (_, part) in zip(estimate.rows, [("all", pooled), *pooled.groupby("sex")], strict=True):
        events, time = part["falls"].sum(), part["years"].sum()
        ends = stats.chi2.ppf([0.025, 0.975], [2 * events, 2 * (events + 1)]) / 2
        assert row[1:] == pytest.approx((events, time, *(1000 * np.array([events, *ends]) / time)), rel=1e-12)
        assert isinstance(row[1], int)
    none = federation(VARIABLES, {"a": {**rows(30, 1), "dead": [False] * 30}})
    [(events, time, rate, low, high)] = run(incidence("dead", "years"), none)[0].rows
    assert (events, rate, low) == (0, 0.0, 0.0)
    assert high == pytest.approx(stats.chi2.ppf(0.975, 2) / 2 / time)
    assert run(incidence("dead", "years"), federation(VARIABLES, {"a": rows(0, 1)}))[0].rows[0][2] is None


def test_direct_standardisation_by_hand_and_with_the_gamma_interval():
    populations, pooled = sites()
    estimate, _ = run(ASKED[2], populations)
    for row, (sex, part) in zip(estimate.rows, pooled.groupby("sex"), strict=True):
        table = part.groupby("band")[["falls", "years"]].sum().loc[list(STANDARD)]
        share = np.array(list(STANDARD.values())) / 1000
        rate = (share * table["falls"] / table["years"]).sum()
        variance = (share**2 * table["falls"] / table["years"] ** 2).sum()
        most = (share / table["years"]).max()
        low = stats.gamma.ppf(0.025, rate**2 / variance, scale=variance / rate)
        high = stats.gamma.ppf(
            0.975, (rate + most) ** 2 / (variance + most**2), scale=(variance + most**2) / (rate + most)
        )
        crude = table["falls"].sum() / table["years"].sum()
        expected = (
            table["falls"].sum(),
            table["years"].sum(),
            *(100 * np.array([crude, rate, variance**0.5, low, high])),
        )
        assert row == (sex, *(pytest.approx(one, rel=1e-11) for one in expected))


def test_the_example_of_fay_and_feuer():
    """Down's syndrome by birth order: 56.3 in 100,000, and 92.3 standardised, as R's epitools has it."""
    cases, births = [107, 141, 60, 40, 39, 25], [230061, 329449, 114920, 39487, 14208, 3052]
    standard = np.array([63986.6, 186263.6, 157302.2, 97647.0, 47572.6, 12262.6])
    (_, _, crude, rate, *_), warning = standardised(cases, births, standard, 100_000)
    assert (round(crude, 1), round(rate, 1), warning) == (56.3, 92.3, "")


def test_indirect_standardisation_by_hand():
    populations, pooled = sites()
    estimate, asks = run(ASKED[3], populations)
    pooled["expected"] = pooled["band"].map(RATES) / 100 * pooled["years"]
    for row, (sex, part) in zip(estimate.rows, pooled.groupby("sex"), strict=True):
        events, expected = part["falls"].sum(), part["expected"].sum()
        ends = stats.chi2.ppf([0.025, 0.975], [2 * events, 2 * (events + 1)]) / 2
        assert row[0] == sex
        assert row[1:] == pytest.approx((events, expected, *(np.array([events, *ends]) / expected)), rel=1e-12)
    [part] = [step.partial for step in ASKED[3].steps(populations[0].variables)]
    assert set(part) == {"events", "expected"}  # no stratum leaves
    assert len(asks) == 1


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_split_and_order_of_sites_give_the_same_answer(data):
    n = data.draw(st.integers(5, 60))
    drawn = rows(n, data.draw(st.integers(0, 1000)))
    places = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    names = data.draw(st.permutations(["x", "y", "z"]))
    parts = {site: {k: np.asarray(v)[places == i] for k, v in drawn.items()} for i, site in enumerate(names)}
    for statistic in ASKED:
        whole = run(statistic, federation(VARIABLES, {"one": drawn}))[0]
        split = run(statistic, federation(VARIABLES, parts))[0]
        for name in whole.columns:
            assert column(split, name) == pytest.approx(column(whole, name), rel=1e-11, nan_ok=True)


def test_what_a_site_hid_is_not_computed_from_what_is_left():
    populations, _ = sites()
    shares = run(ASKED[0], populations, hide={"a": {"group_count.dead": [1]}})[0].rows
    assert shares[1][2] == shares[1][4] == Suppressed()
    assert not any(isinstance(cell, Suppressed) for row in (shares[0], shares[2]) for cell in row)
    rates = run(ASKED[1], populations, hide={"a": {"group_events": [2], "group_time": [4]}})[0].rows
    assert rates[3][2:] == (Suppressed(), rates[3][3], *(Suppressed(),) * 3)
    assert isinstance(rates[3][3], float)
    assert rates[5][3:] == (Suppressed(),) * 4
    for place, hide in ((2, {"stratum_time": [0]}), (3, {"expected": [0]})):
        estimate = run(ASKED[place], populations, hide={"a": hide})[0]
        assert estimate.rows[0][-1] == estimate.rows[0][-2] == Suppressed()
        assert not isinstance(estimate.rows[1][-1], Suppressed)
        assert "left" in estimate.warnings[0]


def test_a_stratum_without_time_has_no_rate():
    young = {**rows(40, 1), "band": ["young"] * 40}
    populations = federation(VARIABLES, {"a": young})
    estimate, _ = run(direct_standardisation("falls", "years", "band", STANDARD), populations)
    assert estimate.rows[0][3:] == (None,) * 4
    assert "no person-time" in estimate.warnings[0]
    zero = run(direct_standardisation("falls", "years", "band", {**STANDARD, "middle": 0, "old": 0}), populations)[0]
    assert zero.rows[0][3] == pytest.approx(zero.rows[0][2])


def test_persons_with_events_and_without_are_evidence_and_so_is_each_stratum():
    [one] = federation(VARIABLES, {"a": {**rows(60, 1), "falls": np.r_[np.zeros(52), np.arange(1, 9)]}})
    by_size = sorted(len(cells.persons[0]) for cells in incidence("falls", "years").support(one).cells)
    assert by_size == [8, 52, 60]
    every = federation(VARIABLES, {"a": {**rows(60, 1), "falls": np.arange(1, 61) % 5 + 1.0}})[0]
    cells = incidence("falls", "years").support(every).cells
    assert sorted(len(one.persons[0]) for one in cells) == [0, 1, 60, 60]  # as if one person had none
    found = ASKED[3].support(one)
    strata = [cells.counts().sum() for cells in found.cells if cells.output == ("expected",)]
    assert sum(strata) == 60
    assert len([sums for sums in found.contributions if sums.output == ("expected",)]) == 3


def test_what_is_no_event_or_time_is_refused():
    for change in ({"falls": [0.5] * 30}, {"falls": [-1.0] * 30}, {"years": [-1.0] * 30}):
        populations = federation(VARIABLES, {"a": {**rows(30, 1), **change}})
        with pytest.raises(SiteRefused):
            run(incidence("falls", "years"), populations)


@pytest.mark.parametrize(
    ("build", "field", "remedy"),
    [
        (lambda: prevalence("sex"), "prevalence.columns", "crosstab"),
        (lambda: prevalence("dead", by="dead"), "prevalence.by", "once"),
        (lambda: incidence("sex", "years"), "incidence.events", "categories"),
        (lambda: incidence("dead", "below"), "incidence.time", "declared from 0"),
        (lambda: incidence("dead", "years", per=0), "incidence.per", "above zero"),
        (
            lambda: direct_standardisation("dead", "years", "band", {"young": 1}),
            "direct_standardisation.standard",
            "a number for `",
        ),
        (
            lambda: direct_standardisation("dead", "years", "band", {**STANDARD, "older": 1}),
            "direct_standardisation.standard",
            "declare",
        ),
        (
            lambda: direct_standardisation("dead", "years", ["band", "sex"], STANDARD, by=["sex", "dead"]),
            "direct_standardisation.by",
            "at most 3",
        ),
        (
            lambda: indirect_standardisation("dead", "years", "band", {**RATES, "old": -1}),
            "indirect_standardisation.rates",
            "zero or more",
        ),
    ],
)
def test_errors_name_the_field_and_a_remedy(build, field, remedy):
    with pytest.raises(PlanError) as caught:
        build().check({**VARIABLES, "below": Variable(Kind.NUMBER, low=-1, high=1)})
    assert caught.value.field == field
    assert remedy in caught.value.remedy


def test_a_standard_stands_in_a_plan_as_a_list():
    statistic = direct_standardisation("dead", "years", ["band", "dead"], {("old", True): 2, ("old", False): 1})
    assert statistic.arguments()["standard"][0] == {"stratum": ["old", "False"], "weight": 1.0}
    assert make(statistic.name, statistic.arguments()) == statistic
