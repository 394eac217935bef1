"""Tests of means and correlations against SciPy and statsmodels on the pooled rows; far from zero; any split."""

import numpy as np
import pandas as pd
import pytest
from federated import BOOLEAN, NUMBER, category, column, federation, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.oneway import anova_oneway

from sojourn.analysis.statistic import Suppressed
from sojourn.errors import ConvergenceError, DisclosureRefused, PlanError
from sojourn.statistics.catalogue_comparisons import anova, correlation, t_test

VARIABLES = {"age": NUMBER, "bmi": NUMBER, "dead": BOOLEAN, "arm": category("p", "q"), "ward": category(*"abcd")}
MEANS = {
    "t_test": t_test("age", "dead", by="arm"),
    "student": t_test("age", "dead", by="arm", variance="equal"),
    "anova": anova("age", "dead", by="ward"),
    "welch": anova("age", "dead", by="ward", variance="unequal"),
}


def rows(n, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    arm, ward = rng.choice(["p", "q"], n), rng.choice(["a", "b", "c"], n)
    age = rng.normal(60, 12, n) + 2 * (arm == "q") + shift
    return {"age": age, "bmi": rng.normal(27, 4, n) + age / 9, "dead": rng.random(n) < 0.3, "arm": arm, "ward": ward}


def sites(shift=0.0, **change):
    """An empty site, one with one arm and ward, one that repeats its rows, and one as usual."""
    lone = {**rows(25, 4, shift), "arm": ["p"] * 25, "ward": ["b"] * 25}
    twice = {name: np.tile(values, 2) for name, values in rows(15, 5, shift).items()}
    parts = {"a": {**rows(60, 1, shift), **change}, "b": rows(0, 2), "c": lone, "d": twice, "e": rows(90, 3, shift)}
    return federation(VARIABLES, parts), pd.concat([pd.DataFrame(part) for part in parts.values()])


def groups_of(pooled, name, by):
    return [part[name].astype(float).to_numpy() for _, part in pooled.groupby(by)]


@pytest.mark.parametrize(("variance", "equal"), [("unequal", False), ("equal", True)])
def test_t_tests_equal_scipy(variance, equal):
    populations, pooled = sites()
    estimate, asks = run(t_test("age", "dead", by="arm", variance=variance), populations)
    assert [ask.step for ask in asks] == ["sums", "squares"]
    for place, name in enumerate(("age", "dead")):
        first, second = groups_of(pooled, name, "arm")
        expected = stats.ttest_ind(second, first, equal_var=equal)
        low, high = expected.confidence_interval()
        error = (second.mean() - first.mean()) / expected.statistic
        wanted = (second.mean() - first.mean(), error, expected.statistic, expected.df, expected.pvalue, low, high)
        assert estimate.rows[place] == (name, *(pytest.approx(one, rel=1e-11) for one in wanted))
    assert estimate.facts["difference"] == "q - p"
    [p, q] = estimate.facts["groups"]["age"]
    first, second = groups_of(pooled, "age", "arm")
    assert p == {
        "group": "p",
        "n": len(first),
        "mean": pytest.approx(first.mean()),
        "sd": pytest.approx(first.std(ddof=1)),
    }
    assert q["n"] == len(second)


@pytest.mark.parametrize(("variance", "use"), [("equal", "equal"), ("unequal", "unequal")])
def test_anova_equals_statsmodels_and_leaves_out_an_empty_level(variance, use):
    populations, pooled = sites()
    estimate, _ = run(anova("age", "dead", by="ward", variance=variance), populations)
    for place, name in enumerate(("age", "dead")):
        parts = groups_of(pooled, name, "ward")
        expected = anova_oneway(parts, use_var=use, welch_correction=True)
        found = estimate.rows[place]
        assert found[1:5] == pytest.approx(
            (expected.statistic, expected.df_num, expected.df_denom, expected.pvalue), rel=1e-10
        )
        everyone = np.concatenate(parts)
        between = sum(len(part) * (part.mean() - everyone.mean()) ** 2 for part in parts)
        assert found[5] == pytest.approx(between / ((everyone - everyone.mean()) ** 2).sum(), rel=1e-10)


def test_anova_of_two_groups_is_the_t_test():
    populations, _ = sites()
    for variance in ("equal", "unequal"):
        t = run(t_test("age", by="arm", variance=variance), populations)[0].rows[0]
        f = run(anova("age", by="arm", variance=variance), populations)[0].rows[0]
        assert f[1] == pytest.approx(t[3] ** 2, rel=1e-12)
        assert f[4] == pytest.approx(t[5], rel=1e-11)


def test_correlations_equal_scipy():
    populations, pooled = sites()
    estimate, asks = run(correlation("age", "bmi", "dead"), populations)
    assert [ask.step for ask in asks] == ["sums", "products"]
    assert [row[:2] for row in estimate.rows] == [("age", "bmi"), ("age", "dead"), ("bmi", "dead")]
    for row in estimate.rows:
        x, y = (pooled[name].astype(float) for name in row[:2])
        expected = stats.pearsonr(x, y)
        t = expected.statistic * np.sqrt((len(x) - 2) / (1 - expected.statistic**2))
        wanted = (len(x), expected.statistic, t, expected.pvalue, *expected.confidence_interval())
        assert row[2:] == pytest.approx(wanted, rel=1e-10)


def test_values_far_from_zero_keep_twelve_digits():
    """The shift is a number of which no bit is lost, so that pooled rows less the shift are an oracle."""
    near = {name: (np.round(v * 2**20) / 2**20 if name in ("age", "bmi") else v) for name, v in rows(400, 7).items()}
    far = {name: (v + 1e9 if name in ("age", "bmi") else v) for name, v in near.items()}
    split = {"a": slice(0, 130), "b": slice(130, 131), "c": slice(131, 400)}
    populations = federation(VARIABLES, {site: {n: v[part] for n, v in far.items()} for site, part in split.items()})
    pooled = pd.DataFrame(near)
    first, second = groups_of(pooled, "age", "arm")
    welch = stats.ttest_ind(second, first, equal_var=False)
    found = run(t_test("age", by="arm"), populations)[0].rows[0]
    assert found[1] == pytest.approx(second.mean() - first.mean(), rel=1e-11)
    assert (found[3], found[4]) == pytest.approx((welch.statistic, welch.df), rel=1e-11)
    f = stats.f_oneway(*groups_of(pooled, "age", "ward"))
    assert run(anova("age", by="ward"), populations)[0].rows[0][1] == pytest.approx(f.statistic, rel=1e-11)
    r = stats.pearsonr(pooled["age"], pooled["bmi"])
    assert run(correlation("age", "bmi"), populations)[0].rows[0][3] == pytest.approx(r.statistic, rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_split_and_order_of_sites_give_the_same_answer(data):
    n = data.draw(st.integers(20, 60))
    drawn = rows(n, data.draw(st.integers(0, 1000)))
    places = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    names = data.draw(st.permutations(["x", "y", "z"]))
    parts = {site: {k: v[places == i] for k, v in drawn.items()} for i, site in enumerate(names)}
    for statistic in (*MEANS.values(), correlation("age", "bmi", "dead")):
        whole = run(statistic, federation(VARIABLES, {"one": drawn}))[0]
        split = run(statistic, federation(VARIABLES, parts))[0]
        for name in whole.columns:
            assert column(split, name) == pytest.approx(column(whole, name), rel=1e-8, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("name", MEANS)
def test_a_group_that_a_site_hid_is_not_computed_from_what_is_left(name):
    populations, _ = sites()
    hide = {"e": {"group_n": [1], "group_sum.age": [1], "group_squares.age": [1], "group_drift.age": [1]}}
    estimate, _ = run(MEANS[name], populations, hide=hide)
    assert set(estimate.rows[0][1:]) == {Suppressed()}
    assert "nothing is computed" in estimate.warnings[0]
    assert len(estimate.facts["groups"]["age"]) == (1 if "t" in name and "welch" not in name else 3)


@pytest.mark.parametrize("name", MEANS)
def test_where_a_site_hides_squares_only_means_are_told(name):
    populations, _ = sites()
    whole, _ = run(MEANS[name], populations)
    estimate, _ = run(MEANS[name], populations, hide={"e": {"group_squares.age": [0]}})
    first = 2 if "estimate" in estimate.columns else 1  # of a t-test the difference of the means is told
    assert estimate.rows[0][1:first] == whole.rows[0][1:first]
    assert set(estimate.rows[0][first:]) == {Suppressed()}
    assert "quantiles" in estimate.warnings[0] and not whole.warnings
    groups, before = estimate.facts["groups"]["age"], whole.facts["groups"]["age"]
    assert [one["mean"] for one in groups] == [one["mean"] for one in before]
    assert groups[0]["sd"] == Suppressed() and groups[1]["sd"] == before[1]["sd"]
    assert not isinstance(estimate.rows[1][1], Suppressed)  # the other column's squares are shown


def test_correlations_with_a_hidden_number_are_refused():
    populations, _ = sites()
    for hide in ({"sum": [1]}, {"products": [3]}):
        with pytest.raises(DisclosureRefused):
            run(correlation("age", "bmi"), populations, hide={"a": hide})


def test_what_does_not_vary_is_no_number():
    constant = federation(VARIABLES, {"a": {**rows(30, 1), "age": np.full(30, 1e9 + 0.1)}})
    assert run(t_test("age", by="arm"), constant)[0].rows[0][3:] == (None,) * 5
    assert run(anova("age", by="ward"), constant)[0].rows[0][1:] == (None,) * 5
    estimate, _ = run(correlation("age", "bmi", "dead"), constant)
    assert [row[3] is None for row in estimate.rows] == [True, True, False]
    assert "age" in estimate.warnings[0]
    with pytest.raises(ConvergenceError, match="three rows"):
        run(correlation("age", "bmi"), federation(VARIABLES, {"a": rows(2, 1)}))
    same = federation(VARIABLES, {"a": {**rows(30, 1), "bmi": rows(30, 1)["age"] * 2}})
    assert run(correlation("age", "bmi"), same)[0].rows[0][3] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("statistic", "field"),
    [
        (t_test("age", by="ward"), "t_test.by"),
        (t_test("ward", by="arm"), "t_test.columns"),
        (anova("age", by="bmi"), "anova.by"),
        (correlation("age", "ward"), "correlation.columns"),
    ],
)
def test_columns_of_the_wrong_kind(statistic, field):
    with pytest.raises(PlanError) as caught:
        statistic.check(VARIABLES)
    assert caught.value.field == field
    assert caught.value.remedy


def test_the_evidence_covers_every_number():
    populations, _ = sites()
    for statistic in MEANS.values():
        covered = {name for cells in statistic.support(populations[0]).cells for name in cells.output}
        assert covered == {name for step in statistic.steps(populations[0].variables) for name in step.partial}
    found = correlation("age", "bmi", "dead").support(populations[0])
    assert (found.design.parameters, found.pairs.columns, found.pairs.persons.tolist()) == (4, 3, [60] * 3)
    assert {"dead=False", "dead=True"} <= set(found.design.levels)
    step = correlation("age", "bmi").steps(populations[0].variables)[1]
    lone = rows(40, 3)
    lone["age"][7] = 1e6
    [one] = federation(VARIABLES, {"a": lone})
    centre = {"centre": np.array([0.0, lone["age"].mean(), lone["bmi"].mean()])}
    assert correlation("age", "bmi").working(step.name, one, centre).effective < 4  # one person makes up the products
