"""Counts, crosstabs and histograms against pandas, SciPy and NumPy; suppressed cells and their bounds."""

import numpy as np
import pandas as pd
import pytest
from federated import BOOLEAN, NUMBER, category, federation, population, run
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sojourn.analysis.statistic import Suppressed
from sojourn.analysis.variable import with_site
from sojourn.errors import PlanError
from sojourn.statistics.catalogue_counts import count, crosstab, histogram

VARIABLES = {"sex": category("F", "M"), "stage": category("I", "II", "III", "IV"), "dead": BOOLEAN, "age": NUMBER}
LEVELS = {"sex": ("F", "M"), "stage": ("I", "II", "III", "IV")}


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    drawn = {name: rng.choice(levels[:3], n) for name, levels in LEVELS.items()}
    return {**drawn, "dead": rng.random(n) < 0.4, "age": rng.integers(15, 95, n).astype(float)}


def sites():
    parts = {"a": rows(70, 1), "b": rows(55, 2), "c": rows(0, 3)}
    return federation(VARIABLES, parts), pd.concat([pd.DataFrame(part) for part in parts.values()])


@pytest.mark.parametrize("by", ["sex", ["sex", "stage"], ["stage", "dead", "sex"]])
def test_count_equals_pandas(by):
    populations, pooled = sites()
    estimate, asks = run(count(by=by), populations)
    names = [by] if isinstance(by, str) else by
    expected = pooled.groupby(names).size().to_dict()
    expected = {key if isinstance(key, tuple) else (key,): n for key, n in expected.items()}
    assert {row[:-1]: row[-1] for row in estimate.rows if row[-1]} == expected
    assert len(estimate.rows) == np.prod([2 if name != "stage" else 4 for name in names])
    assert estimate.index == tuple(names)
    assert [ask.step for ask in asks] == ["count"]


def test_count_of_everyone_and_by_site():
    populations, _ = sites()
    assert run(count(), populations)[0].rows == ((125,),)
    assert run(count(by="site"), populations)[0].rows == (("a", 70), ("b", 55), ("c", 0))


def test_counts_are_of_persons_not_rows():
    variables = with_site(VARIABLES, ("a",))
    columns = {"sex": list("FFMF"), "stage": ["I"] * 4, "dead": [0, 0, 1, 1], "age": [20.0, 21.0, 22.0, 21.0]}
    one = population("a", variables, columns, persons=[7, 7, 7, 9])
    assert run(count(), [one])[0].rows == ((2,),)
    assert run(count(by="sex"), [one])[0].rows == (("F", 2), ("M", 1))
    assert [n for *_, n in run(histogram("age", [20, 21, 22]), [one])[0].rows] == [0, 1, 2, 0]
    [cells] = count(by="sex").support(one).cells
    assert [set(cell) for cell in cells.persons] == [{7, 9}, {7}]
    assert (cells.output, cells.shape, cells.dimensions) == (("count",), (2,), ("sex",))


def test_a_suppressed_cell_has_the_bounds_that_follow():
    populations, _ = sites()
    expected = [n for _, n in run(count(by="sex"), populations)[0].rows]
    shown = populations[1].rows - int(populations[1].column("sex").sum())
    estimate, _ = run(count(by="sex"), populations, hide={"a": {"count": [0]}, "c": {"count": [0]}})
    assert estimate.rows == (("F", Suppressed(shown, shown + 18)), ("M", expected[1]))
    assert shown <= expected[0]


def test_no_upper_bound_follows_where_one_cell_may_be_hidden_for_another():
    populations, _ = sites()
    truth = [n for *_, n in run(count(by="stage"), populations)[0].rows]
    estimate, _ = run(count(by="stage"), populations, hide={"a": {"count": [0, 3]}})
    cells = [row[-1] for row in estimate.rows]
    assert [cell.high for cell in (cells[0], cells[3])] == [None, None]
    assert cells[0].low <= truth[0]
    assert cells[0].low + 9 < truth[0]  # T - 1 would not have held


def test_crosstab_equals_scipy():
    populations, pooled = sites()
    estimate, _ = run(crosstab("sex", "dead"), populations)
    table = pd.crosstab(pooled["sex"], pooled["dead"]).to_numpy()
    assert [row[-1] for row in estimate.rows] == table.ravel().tolist()
    assert [row[:2] for row in estimate.rows] == [("F", False), ("F", True), ("M", False), ("M", True)]
    facts = estimate.facts
    for name, correction in (("chi_squared", False), ("chi_squared_yates", True)):
        expected = stats.chi2_contingency(table, correction=correction)
        assert facts[name] == pytest.approx({"statistic": expected[0], "p": expected[1], "df": expected[2]}, rel=1e-12)
    assert facts["fisher"]["p"] == pytest.approx(stats.fisher_exact(table).pvalue, rel=1e-12)
    assert facts["fisher"]["odds_ratio"] == table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0])
    assert facts["margins"]["sex"] == {"F": table[0].sum(), "M": table[1].sum()}
    assert facts["margins"]["dead"] == {"False": table[:, 0].sum(), "True": table[:, 1].sum()}
    assert facts["n"] == 125


def test_chi_squared_by_hand():
    """The textbook sum of squares, for a table whose fourth level nobody has, and for three dimensions."""
    populations, pooled = sites()
    table = pd.crosstab(pooled["stage"], pooled["dead"]).to_numpy()
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    found = run(crosstab("stage", "dead"), populations)[0].facts["chi_squared"]
    assert found["statistic"] == pytest.approx(((table - expected) ** 2 / expected).sum(), rel=1e-12)
    assert found["df"] == 2
    three = run(crosstab("stage", "dead", "sex"), populations)[0]
    assert three.facts["chi_squared"]["df"] == 12 - 3 - 2 - 2 + 2
    assert "fisher" not in three.facts


def test_crosstab_with_a_hidden_cell_tests_nothing():
    populations, _ = sites()
    estimate, _ = run(crosstab("sex", "dead"), populations, hide={"a": {"count": [2], "margin.dead": [0, 1]}})
    whole = run(crosstab("sex", "dead"), populations)[0].facts
    assert estimate.facts["margins"]["sex"] == whole["margins"]["sex"]
    assert all(isinstance(cell, Suppressed) for cell in estimate.facts["margins"]["dead"].values())
    assert estimate.facts["n"] == whole["n"] == 125
    assert not {"chi_squared", "fisher"} & set(estimate.facts)
    assert "not computed" in estimate.warnings[0]
    assert isinstance(estimate.rows[2][-1], Suppressed)


def test_crosstab_of_one_level_warns():
    one = federation(VARIABLES, {"a": {**rows(20), "dead": [True] * 20}})
    estimate, _ = run(crosstab("sex", "dead"), one)
    assert "nothing to test" in estimate.warnings[0]
    assert "chi_squared" not in estimate.facts


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(-1e6, 1e6), max_size=60),
    edges=st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=8, unique=True).map(sorted),
    cut=st.integers(0, 60),
)
def test_histogram_equals_numpy(values, edges, cut):
    values = np.array(values + edges)  # values on the edges, too
    parts = {"a": {"age": values[:cut]}, "b": {"age": values[cut:]}}
    estimate, _ = run(histogram("age", edges), federation({"age": NUMBER}, parts))
    inner = np.histogram(values, np.array(edges) + 0.0)[0].tolist()
    below, above = int((values < edges[0]).sum()), int((values > edges[-1]).sum())
    assert [row[2] for row in estimate.rows] == [below, *inner, above]
    assert [row[0] for row in estimate.rows] == [None, *edges]
    assert [row[1] for row in estimate.rows] == [*edges, None]


@pytest.mark.parametrize(
    ("statistic", "field"),
    [
        (count(by="age"), "count.by"),
        (count(by=["sex", "sexx"]), "count.by"),
        (crosstab("sex", "age"), "crosstab.columns"),
        (histogram("sex", [1, 2]), "histogram.column"),
        (histogram("dead", [0, 1]), "histogram.column"),
    ],
)
def test_columns_of_the_wrong_kind(statistic, field):
    with pytest.raises(PlanError) as caught:
        statistic.check(VARIABLES)
    assert caught.value.field == field
    assert caught.value.remedy
