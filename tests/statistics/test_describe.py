"""Means and standard deviations against pandas; numbers far from zero; what is suppressed together."""

import decimal

import numpy as np
import pandas as pd
import pytest
from federated import BOOLEAN, NUMBER, category, federation, population, run
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.statistic import Suppressed
from sojourn.analysis.variable import with_site
from sojourn.errors import PlanError
from sojourn.statistics.catalogue_counts import describe

VARIABLES = {"age": NUMBER, "smoker": BOOLEAN, "sex": category("F", "M"), "arm": category("p", "q", "r")}


def rows(n, seed):
    rng = np.random.default_rng(seed)
    drawn = {"sex": rng.choice(["F", "M"], n), "arm": rng.choice(["p", "q"], n)}
    return {"age": rng.normal(60, 12, n), "smoker": rng.random(n) < 0.3, **drawn}


def sites(**change):
    parts = {"a": {**rows(40, 1), **change}, "b": rows(90, 2), "c": rows(0, 3)}
    return federation(VARIABLES, parts), pd.concat([pd.DataFrame(part) for part in parts.values()])


def test_describe_equals_pandas():
    populations, pooled = sites()
    estimate, asks = run(describe("age", "smoker", by=["sex", "arm"]), populations)
    assert [ask.step for ask in asks] == ["sums", "squares"]
    assert estimate.index == ("variable", "sex", "arm")
    assert estimate.columns == ("n", "missing", "mean", "sd")
    assert [row[:3] for row in estimate.rows[:2]] == [("age", "all", "all"), ("age", "F", "p")]
    found = {row[:3]: row[3:] for row in estimate.rows}
    for column in ("age", "smoker"):
        n, missing, mean, sd = found[column, "all", "all"]
        assert (n, missing) == (130, 0)
        assert (mean, sd) == pytest.approx((pooled[column].mean(), pooled[column].astype(float).std()), rel=1e-12)
        for key, part in pooled.groupby(["sex", "arm"]):
            n, missing, mean, sd = found[(column, *key)]
            assert (n, missing) == (len(part), None)
            assert (mean, sd) == pytest.approx((part[column].mean(), part[column].astype(float).std()), rel=1e-12)
        assert found[column, "M", "r"] == (0, None, None, None)


def test_values_far_from_zero_keep_twelve_digits():
    values = 1e9 + np.random.default_rng(4).normal(size=3000)
    parts = {"a": {"age": values[:700]}, "b": {"age": values[700:]}}
    [(_, _, _, mean, sd)] = run(describe("age"), federation({"age": NUMBER}, parts))[0].rows
    with decimal.localcontext(prec=60):
        exact = [decimal.Decimal(value) for value in values.tolist()]
        centre = sum(exact) / len(exact)
        spread = (sum((value - centre) ** 2 for value in exact) / (len(exact) - 1)).sqrt()
    assert sd == pytest.approx(float(spread), rel=1e-12)
    assert mean == float(centre)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e4, 1e4), st.integers(0, 2)), min_size=2, max_size=40))
def test_any_split_gives_the_same_answer(drawn):
    values, places = (np.array(part) for part in zip(*drawn, strict=True))
    parts = {f"s{i}": {"age": values[places == i]} for i in range(3)}
    [(_, n, _, mean, sd)] = run(describe("age"), federation({"age": NUMBER}, parts))[0].rows
    assert n == len(values)
    scale = np.abs(values).max()
    assert mean == pytest.approx(values.mean(), abs=1e-12 * scale + 1e-300)
    assert sd == pytest.approx(values.std(ddof=1), rel=1e-9, abs=1e-12 * scale + 1e-300)


def test_missing_counts_persons_and_has_bounds():
    variables = with_site(VARIABLES, ("a", "b"))
    parts = [
        population("a", variables, rows(20, 1), missing={"age": range(100, 130)}),
        population("b", variables, rows(20, 2), missing={"age": [40, 41, 42], "smoker": [3]}),
    ]
    statistic = describe("age", "smoker")
    assert [row[2] for row in run(statistic, parts)[0].rows] == [33, 1]
    hidden = run(statistic, parts, hide={"b": {"missing": [0, 1]}})[0]
    assert [row[2] for row in hidden.rows] == [Suppressed(30, 39), Suppressed(0, 9)]


def test_a_suppressed_group_shows_no_number():
    populations, pooled = sites()
    names = [f"group_{word}" for word in ("n", "sum.age", "squares.age", "drift.age")]
    estimate, asks = run(describe("age", by="arm"), populations, hide={"a": {name: [0, 2] for name in names}})
    found = {row[1]: row[2:] for row in estimate.rows}
    assert asks[1].broadcast["group_centre"][0].tolist()[0] == 0.0
    assert found["all"][2] == pytest.approx(pooled["age"].mean(), rel=1e-12)
    assert found["q"][0] == (pooled["arm"] == "q").sum()
    n, _, mean, sd = found["p"]
    assert (mean, sd) == (Suppressed(), Suppressed())
    assert n.low <= (pooled["arm"] == "p").sum() <= n.high


def test_a_suppressed_sum_hides_mean_but_not_number():
    populations, _ = sites()
    names = [f"all_{word}.smoker" for word in ("sum", "squares", "drift")]
    estimate, _ = run(describe("smoker"), populations, hide={"a": {name: [0] for name in names}})
    assert estimate.rows == (("smoker", 130, 0, Suppressed(), Suppressed()),)


def test_support_covers_groups_values_and_contributions():
    populations, _ = sites(age=np.r_[-500.0, 400.0, [0.5, 1.0, 1.5] * 12, 1.0, 1.0])
    one = populations[0]
    found = describe("age", "smoker", by="sex").support(one)
    f, smoker = one.column("sex") == 0, one.column("smoker") == 1
    by_output = {}
    for cells in found.cells:
        by_output.setdefault(cells.output, []).append(cells)
    everything = tuple(
        name
        for column in ("age", "smoker")
        for name in (f"group_{word}.{column}" for word in ("sum", "squares", "drift"))
    )
    [groups] = by_output["group_n", *everything]
    assert set(groups.persons[0]) == set(np.flatnonzero(f))
    values = by_output["group_sum.smoker", "group_squares.smoker", "group_drift.smoker"]
    assert set(values[1].persons[0]) == set(np.flatnonzero(f & smoker))
    assert ("group_sum.age", "group_squares.age", "group_drift.age") not in by_output  # it has many values
    assert "missing" in {name for output in by_output for name in output}
    sums = next(sums for sums in found.contributions if "all_sum.age" in sums.output)
    assert (sums.largest[0], sums.second[0], sums.total[0]) == (500.0, 400.0, 938.0)


def test_contributions_add_up_over_the_rows_of_a_person():
    variables = with_site({"age": NUMBER}, ("a",))
    one = population("a", variables, {"age": [5.0, -6.0, 9.0, 1.0]}, persons=[3, 3, 8, 9])
    [sums] = describe("age").support(one).contributions
    assert (sums.largest[0], sums.second[0], sums.total[0]) == (11.0, 9.0, 21.0)


def test_every_number_of_every_round_has_support():
    populations, _ = sites()
    statistic = describe("age", "smoker", by=["sex", "arm"])
    covered = {name for cells in statistic.support(populations[0]).cells for name in cells.output}
    given_back = {name for step in statistic.steps(populations[0].variables) for name in step.partial}
    assert covered == given_back


def test_where_all_have_one_value_nobody_tells_that_from_one_who_differs():
    populations, _ = sites(smoker=np.zeros(40), age=np.full(40, 61.0))
    found = describe("age", "smoker", by="arm").support(populations[0])
    for column in ("age", "smoker"):
        [lowest, differ] = [cells for cells in found.cells if cells.output[0] == f"all_sum.{column}"]
        assert (lowest.counts().tolist(), differ.counts().tolist()) == ([40], [1])
        [_, differ] = [cells for cells in found.cells if cells.output[0] == f"group_sum.{column}"]
        assert differ.counts().tolist() == [1, 1, 0]  # nobody is in the third arm


def test_few_values_are_found_within_a_group_of_a_column_of_many():
    populations, _ = sites(age=np.r_[np.full(20, 50.0), np.arange(20)], arm=["p"] * 20 + ["q"] * 20)
    cells = describe("age", by="arm").support(populations[0]).cells
    [lowest, differ] = [found for found in cells if found.output[0] == "group_sum.age"]
    assert (lowest.counts().tolist(), differ.counts().tolist()) == ([20, 20, 0], [1, 20, 0])


def test_categories_have_no_mean():
    with pytest.raises(PlanError, match="no mean") as caught:
        describe("age", "sex").check(VARIABLES)
    assert "crosstab" in caught.value.remedy
