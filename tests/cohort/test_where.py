"""The grammar of `where`: what it reads, how it writes it back, what it refuses, and what fits a dictionary."""

from __future__ import annotations

import contextlib
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.cohort.conditions import (
    Between,
    Comparison,
    IsNull,
    Membership,
    Not,
    Where,
    conjunction,
    disjunction,
    leaves,
)
from sojourn.cohort.where import MOST_DEPTH, check, parse
from sojourn.errors import WhereError

KEYWORDS = {"and", "or", "not", "in", "is", "between", "null", "true", "false"}
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(lambda name: name.lower() not in KEYWORDS)
NUMBERS = st.integers(-1000, 1000).map(float) | st.floats(1e-90, 1e14) | st.floats(-1e14, -1e-90)
CHARACTERS = st.characters(codec="utf-8", exclude_categories=("C",), exclude_characters="\\")
TEXTS = st.text(CHARACTERS, max_size=10).map(lambda text: unicodedata.normalize("NFC", text))
LITERALS = NUMBERS | TEXTS | st.booleans()
LEAVES = st.one_of(
    st.builds(Comparison, NAMES, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), LITERALS),
    st.builds(Membership, NAMES, st.lists(LITERALS, min_size=1, max_size=4).map(tuple)),
    st.builds(Between, NAMES, NUMBERS, NUMBERS),
    st.builds(IsNull, NAMES),
)


def joined(inner: st.SearchStrategy[Where]) -> st.SearchStrategy[Where]:
    parts = st.lists(inner, min_size=2, max_size=4)
    return st.one_of(inner.map(Not), parts.map(conjunction), parts.map(disjunction))


@given(st.recursive(LEAVES, joined, max_leaves=12))
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_back(tree: Where) -> None:
    assert parse(tree.render()) == tree
    assert tree.names == tuple(sorted({leaf.column for leaf in leaves(tree)}))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("age>=18", "age >= 18"),
        ("age >= 18.0", "age >= 18"),
        ("age == 18", "age = 18"),
        ("age <> -0.0", "age != 0"),
        ('sex = "Female"', "sex = 'Female'"),
        ("sex = 'it''s'", "sex = 'it''s'"),
        ('sex = "it\'s ""so"""', "sex = 'it''s \"so\"'"),
        ("sex = 'e\u0301'", "sex = '\u00e9'"),
        ("sex IN ('a','b') AND NOT ill = TRUE", "sex in ('a', 'b') and not ill = true"),
        ("a not in (1, 2)", "a not in (1, 2)"),
        ("not a in (1, 2)", "a not in (1, 2)"),
        ("a is  NOT null", "a is not null"),
        ("a between 1 and 2 and b is null", "a between 1 and 2 and b is null"),
        ("a = 1 or b = 2 and c = 3", "a = 1 or b = 2 and c = 3"),
        ("(a = 1 or b = 2) and c = 3", "(a = 1 or b = 2) and c = 3"),
        ("((a = 1) and (b = 2 and c = 3))", "a = 1 and b = 2 and c = 3"),
        ("not (a = 1 and b = 2)", "not (a = 1 and b = 2)"),
        ("nothing = 1 and order = 2 and isle = 3", "nothing = 1 and order = 2 and isle = 3"),
        ("(" * 1900 + "a = 1" + ")" * 1900, "a = 1"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert parse(text).render() == canonical


OUTSIDE = [
    "",
    " ",
    "age",
    "age >",
    "> 3",
    "age = age",
    "18 < age",
    "1 = 1",
    "true",
    "age = 1; drop table patients",
    "age = 1 -- comment",
    "age = 1 /* comment */",
    "age = 1 # comment",
    "sex = 'x' or '1'='1'",
    "sex = 'x' or 1=1 --",
    "sex = 'x'; delete from patients; --",
    "sex = '' union select * from patients",
    "sex = 'a\\' or 1=1 --'",
    "sex = 'a\x00b'",
    "sex = 'a\nb'",
    "sex = 'a\u200bb'",
    "sex = 'a\u202eb'",
    "sex = 'a\u2028b' and age\u2028= 1",
    "sex = \u2018a\u2019",
    "sex = `a`",
    "`sex` = 'a'",
    '"sex" = 1',
    "[sex] = 1",
    "t.age = 1",
    "age.__class__ = 1",
    "age[0] = 1",
    "{age} = 1",
    "lower(sex) = 'x'",
    "sex = lower('X')",
    "sex = char(65)",
    "exists (select 1)",
    "age in (select age from patients)",
    "age in ()",
    "age in 1",
    "age in (1, age)",
    "age + 1 = 2",
    "age = 1 + 1",
    "age = -(1)",
    "age % 2 = 0",
    "age = 0x10",
    "age = 1e999",
    "age = 1_000",
    "age = 12345678901234567890",
    "age = nan",
    "age = null",
    "age is true",
    "age like '%1'",
    "age between 'a' and 'b'",
    "age between 1",
    "age = 1 and",
    "and age = 1",
    "(age = 1",
    "age = 1)",
    "age = 1 age = 2",
    "age && 1",
    "not",
    "rowid = 1 limit 1",
    "__import__('os').system('id') = 1",
    "lambda: 1",
    "\u212a = 1",
    "\uff41ge = 1",
    "age\u00a0= 1",
    "age \u003d\u0338 1",
    "age \u2265 18",
    "(" * 10_000 + "age = 1" + ")" * 10_000,
    "(" * 1_500 + "age = 1" + ")" * 1_499,
    "not " * 900 + "age = 1",
    "not " * MOST_DEPTH + "age = 1",
    "a = 1 or (a = 1 and (" * 30 + "a = 1" + "))" * 30,
    " or ".join(["age = 1"] * 1_000),
]


@pytest.mark.parametrize("text", OUTSIDE, ids=lambda text: ascii(text[:40]))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(WhereError) as refused:
        parse(text)
    assert refused.value.remedy
    assert refused.value.field == "where"
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("number", ["1234567890123456", "0.1234567890123456789012"])
def test_too_many_digits_are_called_that(number: str) -> None:
    with pytest.raises(WhereError, match="too many digits") as refused:
        parse(f"age < {number}")
    assert "15 digits" in refused.value.remedy


@pytest.mark.parametrize("value", [None, 3, ["age = 1"], b"age = 1"])
def test_only_texts_are_conditions(value: object) -> None:
    with pytest.raises(WhereError):
        parse(value)  # type: ignore[arg-type]


@given(st.text(max_size=60) | st.text("ab= <>()'\"1.-,;andorti ", max_size=60))
@settings(max_examples=500, deadline=None)
def test_every_text_is_read_or_refused_and_never_anything_else(text: str) -> None:
    with contextlib.suppress(WhereError):
        tree = parse(text)
        assert parse(tree.render()) == tree


VARIABLES = {
    "age": Variable(Kind.NUMBER),
    "sex": Variable(Kind.CATEGORY, levels=("Female", "Male")),
    "ill": Variable(Kind.BOOLEAN),
}


@pytest.mark.parametrize(
    "text",
    [
        "age >= 18 and age between 1 and 99 and age in (1, 2) and age is not null",
        "sex = 'Male' or sex != 'Female' or sex not in ('Male')",
        "ill = true and ill != false or ill is null",
    ],
)
def test_conditions_that_fit(text: str) -> None:
    check(parse(text), VARIABLES, person="person_id")
    assert parse(text).names


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("agee > 1", "Did you mean `age`"),
        ("person_id = 4711", "identifier"),
        ("PERSON_ID in (1, 2)", "identifier"),
        ("person_id is not null", "identifier"),
        ("not (sex = 'Male' and person_id < 9)", "identifier"),
        ("site = 'uk'", "Choose the sites at submit"),
        ("age = 'old'", "`age` is a number"),
        ("age = true", "`age` is a number"),
        ("age in (1, '2')", "`age` is a number"),
        ("age between 9 and 1", "exchanged"),
        ("sex = 1", "`sex` is a category"),
        ("sex = true", "`sex` is a category"),
        ("sex > 'Female'", "has no order"),
        ("sex between 1 and 2", "has no order"),
        ("sex = 'male'", "Did you mean `Male`"),
        ("sex in ('Male', 'X')", "not a declared level"),
        ("ill = 1", "`ill` is a boolean"),
        ("ill = 'true'", "`ill` is a boolean"),
        ("ill < true", "has no order"),
    ],
)
def test_conditions_that_do_not_fit(text: str, words: str) -> None:
    with pytest.raises(WhereError, match="Remedy") as refused:
        check(parse(text), {**VARIABLES, "person_id": Variable(Kind.NUMBER)}, person="person_id")
    assert words in str(refused.value)
