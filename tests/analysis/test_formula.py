"""The grammar of formulas: what it reads, how it writes it back, and what it refuses."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.formula import (
    Category,
    Column,
    Factor,
    Formula,
    Power,
    Spline,
    Survival,
    Term,
    Transform,
    parse,
)
from sojourn.errors import FormulaError

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
NUMBERS = st.integers(-1000, 1000).map(float) | st.sampled_from([0.5, 1.25, 1e-3, -7.75, 123456.5])
LEVELS = st.text(
    st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="'\"\\"), min_size=1, max_size=12
)


@st.composite
def splines(draw: st.DrawFn) -> Spline:
    places = sorted(draw(st.sets(NUMBERS, min_size=2, max_size=6)))
    low, high = draw(st.booleans()), draw(st.booleans())
    knots = tuple(places[low : len(places) - high])
    return Spline(draw(NAMES), knots, draw(st.integers(1, 5)), places[0] if low else None, places[-1] if high else None)


FACTORS: st.SearchStrategy[Factor] = st.one_of(
    NAMES.map(Column),
    st.builds(Category, NAMES, st.none() | LEVELS),
    st.builds(Transform, st.sampled_from(["log", "exp", "sqrt"]), NAMES),
    st.builds(Power, NAMES, st.sampled_from([2, 3])),
    splines(),
)


@st.composite
def formulas(draw: st.DrawFn) -> Formula:
    factors = draw(st.lists(st.lists(FACTORS, min_size=1, max_size=3, unique=True), max_size=6))
    distinct = {frozenset(term): Term(tuple(term)) for term in reversed(factors)}
    terms = tuple(sorted(distinct.values(), key=lambda term: len(term.factors)))
    used = {factor.name for term in terms for factor in term.factors}
    free = NAMES.filter(lambda name: name not in used)
    survival = st.lists(free, min_size=3, max_size=3, unique=True).map(lambda names: Survival(*names))
    outcome = draw(
        st.one_of(
            free.map(Column), free.map(lambda name: Transform("log", name)), survival, survival.map(_without_start)
        )
    )
    return Formula(outcome, terms, draw(st.booleans()) or not terms, draw(st.none() | NAMES))


def _without_start(outcome: Survival) -> Survival:
    return Survival(outcome.time, outcome.event)


@given(formulas())
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back(formula: Formula) -> None:
    assert parse(formula.render()) == formula


@given(st.sampled_from(["", " ", "\t", "\n  ", "\r\n"]))
def test_white_space_says_nothing(space: str) -> None:
    parts = [
        "y",
        "~",
        "C",
        "(",
        "a",
        ",",
        "Treatment",
        "(",
        "'x y'",
        ")",
        ")",
        "*",
        "b",
        "+",
        "I",
        "(",
        "c",
        "**",
        "2",
        ")",
    ]
    assert parse(space.join(parts)) == parse("y ~ C(a, Treatment('x y'))*b + I(c**2)")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("y~a", "y ~ a"),
        ("y ~ a*b", "y ~ a + b + a:b"),
        ("y ~ a*b*c", "y ~ a + b + c + a:b + a:c + b:c + a:b:c"),
        ("y ~ (a + b)*C(c)", "y ~ a + b + C(c) + a:C(c) + b:C(c)"),
        ("y ~ (a + b):c", "y ~ a:c + b:c"),
        ("y ~ ((((a))))", "y ~ a"),
        ("y ~ a:b + a + b:a + a:a", "y ~ a + a:b"),
        ("y ~ a - 1", "y ~ 0 + a"),
        ("y ~ -1 + a", "y ~ 0 + a"),
        ("y ~ a + 0", "y ~ 0 + a"),
        ("y ~ 1 + a", "y ~ a"),
        ("y ~ 1", "y ~ 1"),
        ('y ~ C(sex,Treatment("it\'s"))', 'y ~ C(sex, Treatment("it\'s"))'),
        ("y ~ I(x**2) + I( x ** 3 )", "y ~ I(x ** 2) + I(x ** 3)"),
        (
            "y ~ offset(t) + bs(x, degree=2, high=9, knots=[1, 2.5], low=-1)",
            "y ~ bs(x, knots=[1, 2.5], degree=2, low=-1, high=9) + offset(t)",
        ),
        ("Surv(time,status)~age", "Surv(time, status) ~ age"),
        ("Surv(t0, t1, dead) ~ 1", "Surv(t0, t1, dead) ~ 1"),
        ("log(y) ~ sqrt(a) + exp(b)", "log(y) ~ sqrt(a) + exp(b)"),
        ("C ~ I + log", "C ~ I + log"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert parse(text).render() == canonical


def test_names_are_the_columns_without_site() -> None:
    formula = parse("Surv(start, stop, dead) ~ age + C(site) + bs(bmi, knots=[25]) + offset(logtime)")
    assert formula.names == ("age", "bmi", "dead", "logtime", "start", "stop")


OUTSIDE = [
    "",
    "y",
    "~ a",
    "y ~",
    "y ~ a b",
    "y ~ a ~ b",
    "y ~ __import__('os')",
    "y ~ __import__('os').system('id')",
    "y ~ a.__class__",
    "y ~ {a}",
    "y ~ {__import__('os')}",
    "y ~ `a`",
    "y ~ a[0]",
    "y ~ I(x**40)",
    "y ~ I(x**2**2)",
    "y ~ I(x + y)",
    "y ~ I(x == 3)",
    "y ~ I(1/x)",
    "y ~ np.log(x)",
    "y ~ poly(x, 2)",
    "y ~ log(log(x))",
    "y ~ log(x, x)",
    "y ~ log()",
    "y ~ C()",
    "y ~ C('x')",
    "y ~ C(a, Sum)",
    "y ~ C(a, Treatment)",
    "y ~ C(a, Sum('x'))",
    "y ~ C(a, Treatment('x\\''))",
    "y ~ lambda a: a",
    "y ~ a if b else c",
    "y ~ a; b",
    "y ~ a # b",
    "y ~ 'a'",
    "y ~ 2",
    "y ~ 2 * a",
    "y ~ 1.5 + a",
    "y ~ a - b",
    "y ~ a ** 2",
    "y ~ a ^ 2",
    "y ~ a / b",
    "y ~ a % b",
    "y ~ .",
    "y ~ (1 + a)",
    "y ~ a * offset(b)",
    "y ~ a:1",
    "y ~ offset(a) + offset(b)",
    "y ~ 0",
    "y ~ y",
    "y ~ a + log(y)",
    "Surv(t, e) ~ t",
    "Surv(t) ~ a",
    "Surv(t, t) ~ a",
    "y ~ Surv(t, e)",
    "y ~ a * Surv(t, e)",
    "a + b ~ c",
    "C(y) ~ a",
    "offset(y) ~ a",
    "y ~ bs(x)",
    "y ~ bs(x, df=4)",
    "y ~ bs(x, knots=5)",
    "y ~ bs(x, knots=[2, 1])",
    "y ~ bs(x, knots=[1, 1])",
    "y ~ bs(x, knots=[1], low=2)",
    "y ~ bs(x, knots=[1], knots=[2])",
    "y ~ bs(x, knots=[1], degree=0)",
    "y ~ bs(x, knots=[1], degree=2.5)",
    "y ~ bs(x, knots=[1], degree=40)",
    "y ~ bs(x, knots=[nan])",
    "y ~ bs(x, knots=[1e999])",
    "y ~ bs(knots=[1])",
    "y ~ \u212a",
    "y ~ \uff41",
    "y ~ a\u200bb",
    "y\u00a0~ a",
    "y ~ a\x00",
    "y ~ " + "(" * 900 + "a" + ")" * 901,
    "y ~ " + "(" * 10_000 + "a" + ")" * 10_000,
    "y ~ " + " + ".join(f"a{i}" for i in range(1000)),
    "y ~ " + " + ".join(f"a{i}" for i in range(201)),
    "y ~ " + "*".join("abcdefghijklmnopqrstuvwx"),
    "y ~ " + ":".join("abcdef"),
    "y ~ " + "*".join("(" + " + ".join(f"{letter}{i}" for i in range(20)) + ")" for letter in "abcd"),
]


@pytest.mark.parametrize("text", OUTSIDE, ids=lambda text: ascii(text[:40]))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(FormulaError) as refused:
        parse(text, "analyses.model.glm.formula")
    assert refused.value.remedy
    assert refused.value.field == "analyses.model.glm.formula"
    assert len(str(refused.value)) < 600


@pytest.mark.parametrize("value", [None, 3, ["y ~ a"], b"y ~ a"])
def test_only_texts_are_formulas(value: object) -> None:
    with pytest.raises(FormulaError):
        parse(value)  # type: ignore[arg-type]


def test_the_error_names_the_place_what_was_expected_and_the_nearest_call() -> None:
    with pytest.raises(FormulaError, match=r"At character 7: `b` cannot stand here; expected .*`\+`.* or the end"):
        parse("y ~ a b")
    with pytest.raises(FormulaError, match=r"At character 5: There is no call `lgo`.*Did you mean `log`\?"):
        parse("y ~ lgo(a)")


@given(st.text(max_size=60) | st.text("yab~+*:()-10C,'[]=. \n", max_size=60))
@settings(max_examples=500, deadline=None)
def test_every_text_is_read_or_refused_and_never_anything_else(text: str) -> None:
    with contextlib.suppress(FormulaError):
        formula = parse(text)
        assert parse(formula.render()) == formula


def test_deep_parentheses_within_the_limit_are_read() -> None:
    assert parse("y ~ " + "(" * 900 + "a" + ")" * 900).render() == "y ~ a"
