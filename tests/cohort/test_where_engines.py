"""The slow reading of a `where` judges the SQL on random conditions and rows, with nulls and NaN."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.cohort.conditions import Between, Comparison, IsNull, Membership, Not, Where, conjunction, disjunction
from sojourn.cohort.in_memory import holds
from sojourn.cohort.sql import condition
from sojourn.cohort.where import check, parse
from sojourn.errors import SiteRefused

pytestmark = pytest.mark.oracle  # DuckDB runs what Ibis compiles

LEVELS = ("Female", "Male", "it's", "x' or 1=1 --", '"; drop table t; --', "%", "\u00e9\u4e2d", "", "null")
VARIABLES = {
    "age": Variable(Kind.NUMBER),
    "bmi": Variable(Kind.NUMBER),
    "sex": Variable(Kind.CATEGORY, levels=LEVELS),
    "ill": Variable(Kind.BOOLEAN),
}
SCHEMA = {"row": "int64", "age": "int64", "bmi": "float64", "sex": "string", "ill": "boolean"}
NUMBERS = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 2.5, 3.0])
COLUMNS = st.sampled_from(["age", "bmi"])
TEXTS = st.sampled_from(LEVELS)


@st.composite
def leaves(draw: st.DrawFn) -> Where:
    match draw(st.integers(0, 5)):
        case 0:
            return Comparison(draw(COLUMNS), draw(st.sampled_from(["=", "!=", "<", "<=", ">", ">="])), draw(NUMBERS))
        case 1:
            return Membership(draw(COLUMNS), tuple(draw(st.lists(NUMBERS, min_size=1, max_size=3))))
        case 2:
            return Between(draw(COLUMNS), *sorted([draw(NUMBERS), draw(NUMBERS)]))
        case 3:
            return IsNull(draw(st.sampled_from(sorted(VARIABLES))))
        case 4:
            if draw(st.booleans()):
                return Membership("sex", tuple(draw(st.lists(TEXTS, min_size=1, max_size=3))))
            return Comparison("sex", draw(st.sampled_from(["=", "!="])), draw(TEXTS))
        case _:
            return Comparison("ill", draw(st.sampled_from(["=", "!="])), draw(st.booleans()))


def joined(inner: st.SearchStrategy[Where]) -> st.SearchStrategy[Where]:
    parts = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(inner.map(Not), parts.map(conjunction), parts.map(disjunction))


ROWS = st.fixed_dictionaries(
    {
        "age": st.none() | st.integers(-1, 3),
        "bmi": st.none() | NUMBERS | st.just(math.nan),
        "sex": st.none() | TEXTS,
        "ill": st.none() | st.booleans(),
    }
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:", config={"threads": 1}) as opened:
        yield opened


def answers(connection: duckdb.DuckDBPyConnection, tree: Where, rows: list[dict[str, Any]]) -> list[bool | None]:
    types = {"int64": pa.int64(), "float64": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}
    schema = pa.schema([(name, types[word]) for name, word in SCHEMA.items()])
    numbered = [{"row": position, **row} for position, row in enumerate(rows)]
    connection.register("t", pa.Table.from_pylist(numbered, schema=schema))
    table = ibis.table(SCHEMA, name="t")
    query = table.select("row", word=condition(tree, table, VARIABLES)).order_by("row")
    return [word for _, word in connection.execute(ibis.to_sql(query, dialect="duckdb")).fetchall()]


@given(st.recursive(leaves(), joined, max_leaves=6), st.lists(ROWS, min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_sql_agrees_with_the_slow_reading(
    connection: duckdb.DuckDBPyConnection, tree: Where, rows: list[dict[str, Any]]
) -> None:
    check(tree, VARIABLES)
    assert answers(connection, tree, rows) == [holds(tree, row) for row in rows]


@pytest.mark.parametrize("level", LEVELS)
def test_a_text_is_only_ever_a_text(connection: duckdb.DuckDBPyConnection, level: str) -> None:
    tree = parse("sex = '" + level.replace("'", "''") + "'")
    rows = [{"age": 1, "bmi": 1.0, "sex": other, "ill": True} for other in LEVELS]
    assert answers(connection, tree, rows) == [other == level for other in LEVELS]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("age > 1", None),
        ("not age > 1", None),
        ("age in (1, 2)", None),
        ("age not in (1, 2)", None),
        ("age is null", True),
        ("age > 1 and ill = true", None),
        ("age > 1 and ill = false", False),
        ("age > 1 or ill = true", True),
        ("age > 1 or ill = false", None),
        ("bmi = 1", None),
        ("bmi is null", True),
    ],
)
def test_unknown_stays_unknown(connection: duckdb.DuckDBPyConnection, text: str, word: bool | None) -> None:
    row = {"age": None, "bmi": math.nan, "sex": "Male", "ill": True}
    assert holds(parse(text), row) is word
    assert answers(connection, parse(text), [row]) == [word]


@pytest.mark.parametrize(
    ("name", "stored"), [("age", "string"), ("age", "boolean"), ("sex", "float64"), ("ill", "string"), ("sex", "date")]
)
def test_a_column_of_another_type_is_refused(name: str, stored: str) -> None:
    table = ibis.table({name: stored}, name="t")
    with pytest.raises(SiteRefused) as refused:
        condition(IsNull(name), table, VARIABLES)
    assert refused.value.reason == "dictionary"


def test_a_column_that_is_not_there_or_not_declared_is_refused() -> None:
    table = ibis.table({"age": "int64", "secret": "int64"}, name="t")
    for name in ("bmi", "secret"):
        with pytest.raises(SiteRefused):
            condition(IsNull(name), table, VARIABLES)
