"""Two conditions have one canonical form exactly where no row of the dictionary tells them apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.cohort import equivalence
from sojourn.cohort.conditions import Between, Comparison, IsNull, Membership, Not, Where, conjunction, disjunction
from sojourn.cohort.equivalence import canonical
from sojourn.cohort.in_memory import holds
from sojourn.cohort.where import parse

VARIABLES = {
    "age": Variable(Kind.NUMBER, low=0.0, high=2.0),
    "bmi": Variable(Kind.NUMBER),
    "sex": Variable(Kind.CATEGORY, levels=("F", "M", "X")),
    "ill": Variable(Kind.BOOLEAN),
}
NUMBERS = st.sampled_from([-1.0, 0.0, 1.0, 2.0, 3.0])
POINTS = [-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, None]  # one of each region between those numbers
ROWS = [
    {"age": age, "bmi": bmi, "sex": sex, "ill": ill}
    for age, bmi, sex, ill in itertools.product(
        [point for point in POINTS if point is None or 0 <= point <= 2],
        POINTS,
        ["F", "M", "X", None],
        [False, True, None],
    )
]


@st.composite
def leaf(draw: st.DrawFn) -> Where:
    column = draw(st.sampled_from(["age", "bmi"]))
    match draw(st.integers(0, 5)):
        case 0:
            return Comparison(column, draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="])), draw(NUMBERS))
        case 1:
            return Membership(column, tuple(draw(st.lists(NUMBERS, min_size=1, max_size=3))))
        case 2:
            return Between(column, *sorted([draw(NUMBERS), draw(NUMBERS)]))
        case 3:
            return IsNull(draw(st.sampled_from(sorted(VARIABLES))))
        case 4:
            return Membership("sex", tuple(draw(st.lists(st.sampled_from("FMX"), min_size=1, max_size=3))))
        case _:
            return Comparison("ill", draw(st.sampled_from(["=", "!="])), draw(st.booleans()))


def joined(inner: st.SearchStrategy[Where]) -> st.SearchStrategy[Where]:
    parts = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(inner.map(Not), parts.map(conjunction), parts.map(disjunction))


TREES = st.recursive(leaf(), joined, max_leaves=5)


def selected(tree: Where) -> list[bool]:
    return [holds(tree, row) is True for row in ROWS]


@given(TREES, TREES)
def test_one_form_exactly_where_the_slow_reading_selects_the_same(one: Where, other: Where) -> None:
    same = canonical(one, (), VARIABLES) == canonical(other, (), VARIABLES)
    assert same == (selected(one) == selected(other))


@given(TREES)
def test_rewritings_have_one_form(tree: Where) -> None:
    form = canonical(tree, (), VARIABLES)
    always = disjunction([Comparison("bmi", "<", 1.0), Comparison("bmi", ">=", 1.0), IsNull("bmi")])
    assert canonical(Not(Not(tree)), (), VARIABLES) == form
    assert canonical(conjunction([tree, always]), (), VARIABLES) == form
    assert canonical(disjunction([tree, conjunction([tree, Comparison("ill", "=", True)])]), (), VARIABLES) == form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("age >= 1", "not (age < 1)"),
        ("age >= 1", "age between 1 and 2"),  # 2 is the highest that the dictionary allows
        ("age >= 0 or age is null", None),
        ("sex in ('F', 'M')", "sex is not null and sex != 'X'"),
        ("ill = true", "ill != false"),
        ("bmi > 5 and bmi < 5", "sex = 'F' and sex = 'M'"),
    ],
)
def test_examples(one: str, other: str | None) -> None:
    forms = [canonical(None if text is None else parse(text), (), VARIABLES) for text in (one, other)]
    assert forms[0] == forms[1]


def test_completeness_is_a_condition_too() -> None:
    plain = canonical(None, ("age", "sex"), VARIABLES)
    assert canonical(parse("age >= 0 and (sex = 'F' or sex = 'M' or sex = 'X')"), (), VARIABLES) == plain
    assert canonical(parse("age >= 0"), ("sex",), VARIABLES) == plain
    assert canonical(None, ("age",), VARIABLES) != plain


def test_what_only_these_data_would_make_equal_is_not() -> None:
    """Were it, two answers that agree would prove that nobody is between them."""
    assert canonical(parse("age >= 1"), (), VARIABLES) != canonical(parse("age > 0.999"), (), VARIABLES)


def test_a_diagram_that_is_too_large_keeps_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equivalence, "MOST_NODES", 2)
    tree = parse("(age = 1 and bmi = 1) or (age = 2 and ill = true) or sex = 'F'")
    assert canonical(tree, (), VARIABLES) == canonical(tree, (), VARIABLES)
    assert canonical(tree, (), VARIABLES) != canonical(Not(Not(tree)), (), VARIABLES)
