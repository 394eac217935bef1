"""Design matrices: formulaic judges names and values on random formulas and rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from formulaic import model_matrix
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.formula import parse
from sojourn.analysis.matrix import Layout, design, outcome
from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.errors import PlanError, SiteRefused

VARIABLES = with_site(
    {
        "y": Variable(Kind.NUMBER),
        "x": Variable(Kind.NUMBER, low=0.5, high=3.0),
        "z": Variable(Kind.NUMBER, low=-2.0, high=2.0),
        "u": Variable(Kind.NUMBER),
        "a": Variable(Kind.CATEGORY, levels=("p", "q", "r")),
        "b": Variable(Kind.CATEGORY, levels=("no", "yes")),
        "t": Variable(Kind.BOOLEAN),
    },
    ("uk", "sg", "us"),
)
ROWS = 40


def population(seed: int, rows: int = ROWS, **columns: Any) -> Population:
    rng = np.random.default_rng(seed)
    own: dict[str, Any] = {
        "y": rng.normal(size=rows),
        "x": rng.uniform(0.5, 3.0, rows),
        "z": rng.uniform(-2.0, 2.0, rows),
        "u": rng.normal(size=rows),
        "a": rng.integers(0, 3, rows).astype(np.int32),
        "b": rng.integers(0, 2, rows).astype(np.int32),
        "t": rng.integers(0, 2, rows).astype(np.int8),
    }
    return Population("sg", VARIABLES, own | columns, np.arange(rows, dtype=np.uint32), {})


def frame(given: Population) -> pd.DataFrame:
    """The same rows for formulaic, which takes a boolean as a category only where it is one."""
    data: dict[str, Any] = {}
    for name, variable in given.variables.items():
        levels = ("False", "True") if variable.kind is Kind.BOOLEAN else variable.levels
        column = given.column(name)
        data[name] = pd.Categorical.from_codes(column, levels) if levels else column
    return pd.DataFrame(data)


NUMBERS = ["x", "z", "log(x)", "sqrt(x)", "exp(z)", "I(z ** 2)", "I(x ** 3)"]
CATEGORIES = ["a", "b", "t", "C(site)"]
TERMS = st.lists(st.sampled_from(NUMBERS + CATEGORIES), min_size=1, max_size=3, unique=True)
VARYING = st.lists(st.sampled_from(["x", "z", "a", "b", "t"]), min_size=1, max_size=3, unique=True)


@given(st.lists(TERMS, min_size=1, max_size=5), st.booleans(), st.integers(0, 100))
@settings(max_examples=150, deadline=None)
def test_formulaic_agrees_on_names_and_values(terms: list[list[str]], intercept: bool, seed: int) -> None:
    text = f"y ~ {'1' if intercept else '0'} + " + " + ".join(":".join(term) for term in terms)
    rows = population(seed)
    expected = model_matrix(text, frame(rows), context={"sqrt": np.sqrt}).rhs
    layout = Layout.of(parse(text), VARIABLES)
    matrix = design(layout, rows)
    assert list(layout.terms) == list(expected.columns)
    np.testing.assert_allclose(matrix, expected.to_numpy(dtype=float), rtol=1e-14)
    assert layout.width == matrix.shape[1]


@given(st.lists(VARYING, min_size=1, max_size=5), st.booleans())
@settings(max_examples=100, deadline=None)
def test_columns_are_linearly_independent(terms: list[list[str]], intercept: bool) -> None:
    text = f"y ~ {'1' if intercept else '0'} + " + " + ".join(":".join(term) for term in terms)
    matrix = design(Layout.of(parse(text), VARIABLES), population(1, rows=3_000))
    assert np.linalg.matrix_rank(matrix / np.linalg.norm(matrix, axis=0)) == matrix.shape[1]


@pytest.mark.parametrize("degree", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("knots", [[], [1.0], [0.75, 1.5, 2.9]])
def test_formulaic_agrees_on_splines(degree: int, knots: list[float]) -> None:
    rows = population(3, x=np.concatenate([np.linspace(0.5, 3.0, ROWS - 3), [0.5, 3.0, 1.5]]))
    ours = design(Layout.of(parse(f"y ~ bs(x, knots={knots}, degree={degree})*b"), VARIABLES), rows)
    bounds = "lower_bound=0.5, upper_bound=3.0"
    theirs = model_matrix(f"y ~ bs(x, knots={knots}, degree={degree}, {bounds})*b", frame(rows)).rhs
    np.testing.assert_allclose(ours, theirs.to_numpy(dtype=float), atol=1e-14)


def test_splines_take_boundary_knots_from_the_formula_before_the_dictionary() -> None:
    layout = Layout.of(parse("y ~ bs(u, knots=[0], degree=2, low=-5, high=5)"), VARIABLES)
    assert layout.terms[1:] == tuple(f"bs(u, knots=[0], degree=2, low=-5, high=5)[{i}]" for i in (1, 2, 3))
    with pytest.raises(SiteRefused):
        design(layout, population(0, u=np.full(ROWS, 5.5)))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("y ~ x + C(a)", ["Intercept", "x", "C(a)[T.q]", "C(a)[T.r]"]),
        ("y ~ a + C(a) + x:C(a)", ["Intercept", "a[T.q]", "a[T.r]", "x:a[p]", "x:a[q]", "x:a[r]"]),
        ("y ~ C(a, Treatment('q'))", ["Intercept", "C(a, Treatment('q'))[T.p]", "C(a, Treatment('q'))[T.r]"]),
        ("y ~ t + x:t", ["Intercept", "t[T.True]", "x:t[False]", "x:t[True]"]),
        ("y ~ C(t, Treatment('True'))", ["Intercept", "C(t, Treatment('True'))[T.False]"]),
        ("y ~ C(site)", ["Intercept", "C(site)[T.uk]", "C(site)[T.us]"]),
        ("y ~ 0 + b", ["b[no]", "b[yes]"]),
        ("y ~ 1", ["Intercept"]),
    ],
)
def test_names_of_columns(text: str, terms: list[str]) -> None:
    assert list(Layout.of(parse(text), VARIABLES).terms) == terms


def test_the_reference_level_is_the_column_that_is_left_out() -> None:
    rows = population(5)
    matrix = design(Layout.of(parse("y ~ C(a, Treatment('q'))"), VARIABLES), rows)
    np.testing.assert_array_equal(matrix[:, 1], rows.column("a") == 0)
    np.testing.assert_array_equal(matrix[:, 2], rows.column("a") == 2)


def test_a_site_is_its_level_of_the_roster() -> None:
    matrix = design(Layout.of(parse("y ~ 0 + site"), VARIABLES), population(0))
    np.testing.assert_array_equal(matrix, np.tile([1.0, 0.0, 0.0], (ROWS, 1)))


def test_columns_do_not_depend_on_the_rows() -> None:
    layout = Layout.of(parse("y ~ a*b + t"), VARIABLES)
    empty = population(0, rows=0)
    assert design(layout, empty).shape == (0, layout.width)
    assert design(layout, population(0, a=np.zeros(ROWS, dtype=np.int32))).shape == (ROWS, layout.width)


def test_a_model_has_a_limited_number_of_columns() -> None:
    levels = tuple(f"level {i}" for i in range(80))
    variables = VARIABLES | {name: Variable(Kind.CATEGORY, levels=levels) for name in ("k", "l", "m", "n", "o")}
    assert Layout.of(parse("y ~ k + l + m + n + o"), variables).width == 1 + 5 * 79
    with pytest.raises(PlanError, match="more than 1000 columns"):
        Layout.of(parse("y ~ k:l:m:n:o"), variables)


def test_outcomes() -> None:
    rows = population(2)
    np.testing.assert_array_equal(outcome(parse("t ~ x"), rows), rows.column("t").astype(float))
    np.testing.assert_array_equal(outcome(parse("log(x) ~ z"), rows), np.log(rows.numeric("x")))
    with pytest.raises(PlanError):
        outcome(parse("Surv(x, t) ~ z"), rows)


@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_a_value_outside_a_function_is_refused_without_the_value(bad: float) -> None:
    values = np.ones(ROWS)
    values[7] = bad
    with pytest.raises(SiteRefused) as refused:
        design(Layout.of(parse("y ~ log(u)"), VARIABLES), population(0, u=values))
    assert refused.value.reason == "dictionary"
    with pytest.raises(SiteRefused):
        outcome(parse("log(u) ~ x"), population(0, u=values))


def test_overflow_is_refused() -> None:
    with pytest.raises(SiteRefused):
        design(Layout.of(parse("y ~ exp(u)"), VARIABLES), population(0, u=np.full(ROWS, 1e4)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y ~ xx", "Did you mean `x`"),
        ("yy ~ x", "Did you mean `y`"),
        ("y ~ x + offset(v)", "no column `v`"),
        ("a ~ x", "`a` is a category"),
        ("y ~ log(a)", "`a` is a category"),
        ("y ~ log(t)", "`t` is a boolean"),
        ("y ~ I(b**2)", "`b` is a category"),
        ("y ~ bs(b, knots=[1])", "`b` is a category"),
        ("y ~ x + offset(a)", "`a` is a category"),
        ("Surv(a, t) ~ x", "`a` is a category"),
        ("y ~ C(x)", "no declared levels"),
        ("y ~ C(a, Treatment('Q'))", "Did you mean `q`"),
        ("y ~ C(a, Treatment('q')) + x:a", "two reference levels"),
        ("y ~ log(z)", "does not exist for all values"),
        ("y ~ sqrt(z)", "does not exist for all values"),
        ("log(z) ~ x", "does not exist for all values"),
        ("y ~ bs(u, knots=[1])", "not declared"),
        ("y ~ bs(x, knots=[7])", "do not lie between"),
    ],
)
def test_what_does_not_fit_the_variables_is_refused(text: str, words: str) -> None:
    with pytest.raises(PlanError) as refused:
        Layout.of(parse(text), VARIABLES, "analyses.m.glm.formula")
    assert words in str(refused.value)
    assert refused.value.field == "analyses.m.glm.formula"
