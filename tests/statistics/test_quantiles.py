"""Quantiles against NumPy and pandas on pooled rows; what a site hides; grids of declared ranges and precisions."""

import numpy as np
import pandas as pd
import pytest
from federated import category, federation, population, read_reference, run
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.statistic import Suppressed
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.errors import PlanError
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_counts import quantiles
from sojourn.statistics.grid import Grid

AGE = Variable(Kind.NUMBER, low=0, high=120)
LACTATE = Variable(Kind.NUMBER, low=0, high=20)
VARIABLES = {"age": AGE, "lactate": LACTATE, "sex": category("F", "M")}


def rows(n, seed):
    rng = np.random.default_rng(seed)
    return {
        "age": rng.integers(18, 95, n).astype(float),
        "lactate": np.round(rng.gamma(3, 1, n).clip(0, 20), 1),
        "sex": rng.choice(["F", "M"], n),
    }


def sites():
    parts = {"a": rows(70, 1), "b": rows(3, 2), "c": rows(0, 3)}
    return federation(VARIABLES, parts), pd.concat([pd.DataFrame(part) for part in parts.values()])


def test_quantiles_by_groups_equal_pandas():
    populations, pooled = sites()
    q = [0.1, 0.25, 0.5, 0.75]
    estimate, asks = run(quantiles("age", "lactate", by="sex", q=q, precision=[1, 0.1]), populations)
    assert (estimate.index, estimate.columns) == (("variable", "sex", "q"), ("n", "value", "low", "high"))
    assert (estimate.exactness, len(asks), len(estimate.rows)) == ("pooled", 1, 16)
    for name, sex, fraction, n, value, low, high in estimate.rows:
        group = pooled[pooled["sex"] == sex][name]
        assert n == len(group)
        assert low == value == high
        assert value == pytest.approx(group.quantile(fraction), rel=1e-14)


@pytest.mark.parametrize("case", ["glm_heart_uci", "glm_birthwt"])
def test_quantiles_equal_numpy_on_reference_rows(case):
    name, low, high = {"glm_heart_uci": ("age", 20, 90), "glm_birthwt": ("lwt", 50, 300)}[case]
    variables = {name: Variable(Kind.NUMBER, low=low, high=high)}
    values = {
        site: np.array([float(row[name]) for row in found if row[name]]) for site, found in read_reference(case).items()
    }
    fractions = [0.05, 0.25, 1 / 3, 0.5, 0.75, 0.9]
    parts = federation(variables, {site: {name: column} for site, column in values.items()})
    estimate, _ = run(quantiles(name, q=fractions, precision=1), parts)
    expected = np.quantile(np.concatenate(list(values.values())), fractions)
    np.testing.assert_allclose([row[3] for row in estimate.rows], expected, rtol=1e-14)
    assert estimate.exactness == "pooled"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=60),
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=4, unique=True),
    st.lists(st.integers(0, 38), max_size=30),
    st.integers(0, 60),
)
def test_the_ends_hold_whatever_is_hidden(values, fractions, places, cut):
    variables = {"x": Variable(Kind.NUMBER, low=0, high=20)}
    halves = np.array(values) / 2
    parts = {"a": {"x": halves[:cut]}, "b": {"x": halves[cut:]}}
    hide = {"a": {"below.x": places}}
    estimate, _ = run(quantiles("x", q=fractions, precision=0.5), federation(variables, parts), hide=hide)
    for (*_, n, value, low, high), expected in zip(
        estimate.rows, np.quantile(halves, sorted(set(fractions))), strict=True
    ):
        assert n == len(values)
        assert low - 1e-9 <= expected <= high + 1e-9
        if isinstance(value, Suppressed):
            assert (value.low, value.high) == (low, high)
        else:
            assert low - 1e-9 <= value <= high + 1e-9
    if not places:
        assert estimate.exactness == "pooled"
        assert [row[-2] for row in estimate.rows] == [row[-1] for row in estimate.rows]


def test_what_a_site_hides_is_hidden_and_said():
    populations, pooled = sites()
    one = quantiles("age", precision=1)
    near = list(range(20, 80))
    estimate, _ = run(one, populations, hide={"a": {"below.age": near, "rows.0.25": [0]}})
    lower, median, _ = estimate.rows
    assert lower[2:] == (73, Suppressed(), Suppressed(), Suppressed())  # the number is known of the others
    low, high = median[-2:]
    assert low < pooled["age"].median() < high
    assert low <= median[-3] <= high
    assert estimate.exactness.startswith("approximate: some lie between two values")
    estimate, _ = run(one, populations, hide={"b": {"below.age": list(range(120))}})
    assert all(row[-3] == Suppressed(0.0, 120.0) for row in estimate.rows)  # a declared range is no answer
    assert {(row["low"], row["high"]) for row in estimate.facts["extremes"]} == {(None, None)}


def test_without_a_declared_precision_the_answer_says_so():
    populations, pooled = sites()
    estimate, _ = run(quantiles("lactate"), populations)
    assert "lactate is counted in steps of 0.1, as no precision is declared" in estimate.exactness
    for *_, q, _, value, low, high in estimate.rows:
        assert low <= pooled["lactate"].quantile(q) <= high
        assert value == pytest.approx((low + high) / 2)
        assert high - low == pytest.approx(0.1)
    assert estimate.facts["precision"] == {"lactate": 0.1}


def test_fewer_bins_are_coarser_and_say_so():
    populations, pooled = sites()
    estimate, _ = run(quantiles("age", precision=1, bins=16), populations)
    assert estimate.exactness.startswith("approximate: age is counted in steps of 8, as its range has more than 16")
    for *_, q, _, value, low, high in estimate.rows:
        assert low <= pooled["age"].quantile(q) <= high
        assert low <= value <= high <= low + 14
    assert run(quantiles("age", bins=13), populations)[0].facts["precision"] == {"age": 10.0}


def test_a_group_without_rows_has_no_quantile():
    variables = {**VARIABLES, "sex": category("F", "M", "X")}
    part = {name: column for name, column in rows(40, 4).items() if name != "lactate"}
    estimate, _ = run(quantiles("age", by="sex", q=[0.5], precision=1), federation(variables, {"a": part}))
    assert estimate.rows[-1] == ("age", "X", 0.5, 0, None, None, None)


def test_support_is_of_persons():
    variables = with_site({"age": AGE}, ("a",))
    one = population("a", variables, {"age": [20.0, 30.0, 30.0, 90.4]}, persons=[7, 7, 9, 9])
    evidence = quantiles("age", precision=30).support(one)
    assert [position.persons.tolist() for position in evidence.positions] == [[2]] * 3
    [counted] = evidence.thresholds
    assert [set(part) for part in counted.persons] == [set(), {7, 9}, set(), {9}, set()]
    assert (counted.output, counted.shape) == ("below.age", (1, 5))


@pytest.mark.parametrize(
    ("low", "high", "step", "bins", "ends"),
    [
        (0, 120, 1, 121, (0.0, 120.0)),
        (0.1, 0.5, 0.1, 5, (0.1, 0.5)),
        (0, 100_000, 1, 991, (0.0, 100_000.0)),
        (-2.5, 2.4, 1, 5, (-2.5, 1.5)),
        (0, 7, None, 141, (-0.025, 7.025)),
    ],
)
def test_grids(low, high, step, bins, ends):
    grid = Grid.of("x", Variable(Kind.NUMBER, low=low, high=high), step, 1000, "quantiles")
    assert (grid.bins, grid.low_of(0), grid.high_of(grid.bins - 1)) == (bins, *ends)
    numbers = np.array([low, high, (low + high) / 2])
    places = grid.places(numbers)
    assert places[:2].tolist() == [0, grid.bins - 1]
    for number, place in zip(numbers, places.tolist(), strict=True):
        half = (step or 0) / 2 + 1e-9
        assert grid.low_of(place) - half <= min(number, grid.high_of(grid.bins - 1)) <= grid.high_of(place) + half


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"columns": ["age"], "q": [0]}, "f.quantiles.q"),
        ({"columns": ["age"], "q": [0.5, 1]}, "f.quantiles.q"),
        ({"columns": ["age"], "q": []}, "f.quantiles.q"),
        ({"columns": ["age"], "precision": 0}, "f.quantiles.precision"),
        ({"columns": ["age"], "precision": [1, 1]}, "f.quantiles.precision"),
        ({"columns": []}, "f.quantiles.columns"),
        ({"columns": ["age"], "bins": 2.5}, "f.quantiles.bins"),
        ({"columns": ["age"], "bins": 1}, "f.quantiles.bins"),
    ],
)
def test_arguments_that_cannot_be(arguments, field):
    with pytest.raises(PlanError) as caught:
        make("quantiles", arguments, "f")
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("statistic", "field"),
    [
        (quantiles("age", precision=200), "quantiles.precision"),
        (quantiles("sex"), "quantiles.columns"),
        (quantiles("open"), "quantiles.columns"),
        (quantiles("age", by="lactate"), "quantiles.by"),
        (quantiles("lactate", by=["many", "sex"], precision=0.01), "quantiles"),
    ],
)
def test_what_does_not_fit_the_variables(statistic, field):
    many = category(*(str(i) for i in range(20)))
    with pytest.raises(PlanError) as caught:
        statistic.check({**VARIABLES, "open": Variable(Kind.NUMBER), "many": many})
    assert caught.value.field == field


def test_the_same_arguments_are_the_same_value():
    assert quantiles("age", "lactate", precision=1) == quantiles(
        "age", "lactate", q=(0.75, 0.5, 0.25), precision=(1, 1)
    )
    assert quantiles("age").arguments() == {"columns": ["age"]}
