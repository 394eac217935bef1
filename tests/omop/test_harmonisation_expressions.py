"""Expressions: a small part of SQL, and no way out of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.errors import HarmonisationError
from sojourn.omop.expression import columns_of, compiled

COLUMNS = ("a", "b", "Code X")


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("a", 'r."a"'),
        ("upper(trim(a)) || '-' || \"Code X\"", 'UPPER(TRIM(r."a")) || \'-\' || r."Code X"'),
        ("a + 1", 'TRY_CAST(r."a" AS DOUBLE) + TRY_CAST(1 AS DOUBLE)'),
        ("CAST(a AS BIGINT)", 'TRY_CAST(r."a" AS BIGINT)'),
        ("a IS NOT NULL AND b IN ('x', 'y')", "NOT r.\"a\" IS NULL AND r.\"b\" IN ('x', 'y')"),
        ("a = 1", 'TRY_CAST(r."a" AS DOUBLE) = TRY_CAST(1 AS DOUBLE)'),
        ("coalesce(a, 1)", 'COALESCE(TRY_CAST(r."a" AS TEXT), TRY_CAST(1 AS TEXT))'),
        ("CASE WHEN a LIKE '<%' THEN 1 END", "CASE WHEN r.\"a\" LIKE '<%' THEN 1 END"),
    ],
)
def test_what_is_allowed_is_written_anew(text: str, sql: str) -> None:
    assert compiled(text, "r", COLUMNS) == sql


@pytest.mark.parametrize(
    "text",
    [
        "(SELECT 1)", "a; DROP TABLE x", "read_csv('/etc/passwd')", "getvariable('inner_pad')", "x.a", "a IN (SELECT 1)", "random()",  # noqa: E501
        "CAST(a AS STRUCT(x INTEGER))", "a::BLOB", "count(*)", "sum(a) OVER ()", "getenv('HOME')", "a ~ '(x+)+'", "*", "", "a +", "[a]",  # noqa: E501
        "{'x': a}", "repeat(a, 1000000)", "current_user", "EXISTS (SELECT 1)", "a COLLATE nocase", "INTERVAL 1 DAY", "$1", "?",  # noqa: E501
        "keyed(a)", "c", "a AS b", "a, b", "lambda x: x", "TRY(a)", "a[1]", "+".join(["a"] * 400),
    ],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(HarmonisationError):
        compiled(text, "r", COLUMNS)


def test_columns_are_told() -> None:
    assert columns_of('coalesce(a, "Code X", a)') == ("a", "Code X")


TEXTS = st.one_of(st.none(), st.text(max_size=8), st.floats().map(str), st.integers().map(str))
ATOMS = st.sampled_from(["a", "b", '"Code X"', "1", "0", "'x'", "NULL", "2.5", "-1"])


def expressions() -> st.SearchStrategy[str]:
    """Sums, comparisons, cases, functions and casts of one another."""
    return st.recursive(
        ATOMS,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
            st.tuples(inner, inner).map(lambda p: f"coalesce({p[0]}, {p[1]})"),
            st.tuples(inner, inner).map(lambda p: f"nullif({p[0]}, {p[1]})"),
            st.tuples(inner, st.sampled_from(["=", "<", ">="]), inner).map(lambda p: f"CASE WHEN {p[0]} {p[1]} {p[2]} THEN {p[0]} ELSE {p[2]} END"),  # noqa: E501
            st.tuples(inner, inner, inner).map(lambda p: f"CASE {p[0]} WHEN {p[1]} THEN {p[2]} END"),
            st.tuples(inner, inner, inner).map(lambda p: f"CASE WHEN {p[0]} IN ({p[1]}, {p[2]}) OR {p[0]} BETWEEN {p[1]} AND {p[2]} THEN 'x' END"),  # noqa: E501
            st.tuples(inner, inner).map(lambda p: f"(CAST({p[0]} AS VARCHAR) || CAST({p[1]} AS VARCHAR))"),
            st.tuples(inner, inner, inner).map(lambda p: f"CASE WHEN CAST({p[0]} AS VARCHAR) = 'x' THEN CAST({p[1]} AS VARCHAR) ELSE CAST({p[2]} AS VARCHAR) END"),  # noqa: E501
            inner.map(lambda p: f"CAST({p} AS BIGINT)"),
            inner.map(lambda p: f"round(abs({p}), 2)"),
            inner.map(lambda p: f"upper(CAST({p} AS VARCHAR))"),
        ),
        max_leaves=6,
    )  # fmt: skip


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute('CREATE TABLE t (a VARCHAR, b VARCHAR, "Code X" VARCHAR)')
        yield made


@pytest.mark.oracle
@settings(max_examples=150, deadline=None)
@given(text=expressions(), row=st.tuples(TEXTS, TEXTS, TEXTS))
def test_no_value_ends_a_run(connection: duckdb.DuckDBPyConnection, text: str, row: tuple[str | None, ...]) -> None:
    sql = f"CAST({compiled(text, 'r', COLUMNS)} AS VARCHAR)"
    with suppress(duckdb.BinderException):  # types that do not fit: said at the first run, whatever the values are
        connection.execute("DELETE FROM t")
        connection.execute("INSERT INTO t VALUES ($1, $2, $3)", list(row))
        connection.execute(f"SELECT {sql} FROM t AS r").fetchall()
