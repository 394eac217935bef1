"""Forms: no person changes a vector by more than it says; without noise the answer is the statistic's own."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sojourn as sj
from sojourn.analysis.noise import GAUSSIAN, LAPLACE, Noise
from sojourn.analysis.partial import Partial
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Gathered, Statistic, Suppressed
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.budget import EPSILON, RHO, Account
from sojourn.disclosure.formal_ground import Ground, Vector
from sojourn.disclosure.formal_privacy import Form, form_of, scales
from sojourn.disclosure.mechanisms import loss_of
from sojourn.errors import DisclosureRefused
from sojourn.statistics.describe import Describe

DECLARED = {
    "age": Variable(Kind.NUMBER, low=18.0, high=90.0),
    "dose": Variable(Kind.NUMBER, low=1e6, high=1e6 + 1),
    "cost": Variable(Kind.NUMBER),
    "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
    "sick": Variable(Kind.BOOLEAN),
}
PLANNED = with_site({**DECLARED, "sex": Variable(Kind.CATEGORY, levels=("X", "M", "F"))}, ("avon", "brent"))
GONE = Suppressed()
LEVELS = {"F": 2, "M": 1}  # places in the plan's levels
STATISTICS: list[Statistic] = [
    sj.count(),
    sj.count(by=["sex", "site"]),
    sj.crosstab("sick", "sex"),
    sj.histogram("age", edges=[20, 40, 60]),
    sj.describe("age", "dose", "sick"),
    sj.describe("age", "sick", by=["sex"]),
    sj.describe("dose", by=["site", "sick"]),
    sj.quantiles("age", "dose"),
    sj.quantiles("age", by=["sex", "site"], q=[0.1, 0.5], precision=1, bins=30),
]
Row = tuple[int, float, float, str, bool]  # person, age, dose, sex, sick


def population(rows: list[Row], missing: list[int] = []) -> Population:  # noqa: B006
    columns: dict[str, Any] = {
        "age": np.array([row[1] for row in rows], dtype=np.float64),
        "dose": np.array([row[2] for row in rows], dtype=np.float64),
        "sex": np.array([LEVELS[row[3]] for row in rows], dtype=np.int32),
        "sick": np.array([row[4] for row in rows], dtype=np.int8),
    }
    lacking = {name: np.array(missing, dtype=np.uint32) for name in columns}
    return Population("brent", PLANNED, columns, np.array([row[0] for row in rows], dtype=np.uint32), lacking)


def ground(rows: int) -> Ground:
    return Ground("brent", PLANNED, DECLARED, rows)


def vectors(form: Form, statistic: Statistic, rows: Population) -> tuple[Vector, ...]:
    return form.vectors({ask.step: statistic.local(ask.step, rows, ask.broadcast) for ask in form.asks()})


ROW = st.tuples(st.floats(18, 90), st.floats(1e6, 1e6 + 1), st.sampled_from("FM"), st.booleans())


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda one: one.name)
@settings(max_examples=40)
@given(st.lists(ROW, max_size=12), st.lists(ROW, min_size=1, max_size=3))
def test_no_person_changes_a_vector_by_more_than_it_says(statistic: Statistic, others: Any, own: Any) -> None:
    form = form_of(statistic, ground(3))
    without = [(place, *row) for place, row in enumerate(others)]
    with_one = [*without, *((99, *row) for row in own)]
    pairs = zip(
        vectors(form, statistic, population(with_one, missing=[99])),
        vectors(form, statistic, population(without)),
        strict=True,
    )
    for there, here in pairs:
        assert (there.name, there.l1, there.l2, there.unit) == (here.name, here.l1, here.l2, here.unit)
        difference = np.abs(there.values - here.values).astype(float)
        assert difference.sum() <= there.l1
        assert math.sqrt((difference**2).sum()) <= there.l2 * (1 + 1e-12)


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda one: one.name)
def test_without_noise_each_round_is_the_statistics_own(statistic: Statistic) -> None:
    rng = np.random.default_rng(3)
    rows = [(i, rng.uniform(18, 90), rng.uniform(1e6, 1e6 + 1), "FM"[i % 2], bool(i % 3)) for i in range(300)]
    people = population(rows, missing=[1, 2, 3])
    form = form_of(statistic, ground(1))
    exact = {one.name: one.values for one in vectors(form, statistic, people)}
    for step in statistic.steps(PLANNED):
        centres = {name: np.full(shape, 45.5) for name, shape in step.broadcast.items()}
        given_back = form.answer(Ask(step.name, centres), exact)
        own = statistic.local(step.name, people, centres)
        assert set(given_back.arrays) == set(own.arrays)
        for name, array in own.arrays.items():
            assert given_back[name].shape == array.shape and given_back[name].dtype.kind == array.dtype.kind
            np.testing.assert_allclose(
                given_back[name], array, rtol=1e-5, atol=1e-4 * max(1, float(np.abs(array).max()))
            )


def test_what_measures_the_same_says_the_same() -> None:
    same = [sj.crosstab("sex", "sick"), sj.crosstab("sick", "sex"), sj.count(by=["sick", "site", "sex"])]
    said = [form_of(one, ground(1)).measured() for one in same]
    assert said == [said[0]] * 3
    assert (
        form_of(sj.describe("age", "sick"), ground(1)).measured()
        == form_of(sj.describe("sick", "age"), ground(1)).measured()
    )
    one, other = (form_of(sj.quantiles("age", q=[q]), ground(1)).measured() for q in (0.1, 0.9))
    assert one == other != form_of(sj.quantiles("age", precision=1), ground(1)).measured()


def test_levels_that_only_the_plan_has_are_empty_whatever_the_noise() -> None:
    form = form_of(sj.count(by=["sex", "site"]), ground(1))
    [vector] = form.vectors({"count": Partial({"count": np.zeros((3, 2))})})
    assert vector.values.shape == (2,)  # F and M at this site
    answer = form.answer(Ask("count"), {"count": np.array([7, -3])})
    assert answer["count"].tolist() == [[0, 0], [0, -3], [0, 7]]


@pytest.mark.parametrize(
    "statistic", [sj.glm("age ~ sick", family="gaussian"), sj.describe("cost"), sj.describe("age", "cost", by="sex")]
)
def test_what_has_no_form_is_refused(statistic: Statistic) -> None:
    with pytest.raises(DisclosureRefused) as refused:
        form_of(statistic, ground(1))
    assert refused.value.family == "formal privacy" and refused.value.remedy


@given(st.lists(st.integers(-200, 200), min_size=72, max_size=72), st.integers(1, 3))
def test_whatever_the_noise_counts_rise_from_zero_to_the_number_of_rows(noise: list[int], few: int) -> None:
    statistic = sj.quantiles("age", q=[0.01, 0.5, 0.99], precision=1, bins=72 // few)
    form = form_of(statistic, ground(1))
    bins = statistic.grids(PLANNED)["age"].bins
    answer = form.answer(Ask("counts"), {"rows.age": np.resize(noise, bins)})
    below, rows = answer["below.age"].ravel(), int(answer["rows.0.5"].item())
    assert (np.diff(below) >= 0).all() and below[0] >= 0 and below[-1] <= rows
    told = statistic.coordinator(PLANNED)
    next(told)
    with pytest.raises(StopIteration) as end:
        told.send(Gathered(answer, {"brent": answer}, {"brent": 9}))
    values = [row[3] for row in end.value.value.rows if isinstance(row[3], float)]
    assert values == sorted(values) and all(18 <= value <= 90 for value in values)


@given(st.sampled_from([EPSILON, RHO]), st.floats(0.01, 2.0), st.integers(1, 5))
def test_an_answer_of_many_vectors_costs_no_more_than_one(unit: str, cost: float, rows: int) -> None:
    statistic = sj.describe("age", "dose", "sick", by=["sex"])
    found = vectors(form_of(statistic, ground(rows)), statistic, population([]))
    wide = scales(found, Account(unit, cost, cost, cost))
    assert math.fsum(loss_of(unit, one.sensitivity(unit), wide[one.name]) for one in found) <= cost


def test_what_is_said_of_noise_is_read_back_and_nothing_else() -> None:
    noise = Noise(LAPLACE, 0.5, 0.0, {"count": 2.0})
    assert Noise.read(noise.text()) == noise and noise.deviation("count") == pytest.approx(2.83, abs=0.01)
    assert replace(noise, mechanism=GAUSSIAN).deviation("count") == 2.0
    for text in ("", "{}", noise.text() + " ", noise.text().replace("0.5", "1"), noise.text().replace("Laplace", "x")):
        with pytest.raises(ValueError):  # noqa: PT011
            Noise.read(text)


@pytest.mark.parametrize(
    ("number", "squares", "expected"),
    [
        (-3, 10.0, (Suppressed(), Suppressed())),
        (1, 10.0, (Suppressed(), Suppressed())),
        (50, -9.0, (40.0, Suppressed())),
    ],
)
def test_a_deviation_that_noise_made_impossible_is_suppressed(number: int, squares: float, expected: Any) -> None:
    told = Describe(("age",)).coordinator(PLANNED)
    next(told)
    noise = {"brent": Noise(LAPLACE, 0.5, 0.0, {})}

    def gathered(**arrays: Any) -> Gathered:
        part = Partial({name: np.array(values) for name, values in arrays.items()})
        return Gathered(part, {"brent": part}, {"brent": 9}, noise)

    told.send(gathered(missing=[0], all_n=[number], **{"all_sum.age": [number * 40.0]}))
    with pytest.raises(StopIteration) as end:
        told.send(gathered(**{"all_squares.age": [squares], "all_drift.age": [0.0]}))
    estimate = end.value.value
    assert estimate.rows[0][-2:] == expected
    assert any("noise" in warning for warning in estimate.warnings)
