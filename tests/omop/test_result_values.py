"""Results are read without loss, and the database reads them as the parser does."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.omop.values import OPERATORS, Value, read, sql

READ = {
    "<0.5": (0.5, "<", None, None, None, None),
    "≤ 3": (3.0, "<=", None, None, None, None),
    "=>4": (4.0, ">=", None, None, None, None),
    "less  than 5": (5.0, "<", None, None, None, None),
    "at least 5 g/L": (5.0, ">=", None, None, None, "g/L"),
    "7.1 mg/dL": (7.1, "=", None, None, None, "mg/dL"),
    "5%": (5.0, "=", None, None, None, "%"),
    "1,234.5": (1234.5, "=", None, None, None, None),
    "-3.2": (-3.2, "=", None, None, None, None),
    "1.5E+3": (1500.0, "=", None, None, None, None),
    " 5 \n": (5.0, "=", None, None, None, None),
    "0.5 - 1.2": (None, None, 0.5, 1.2, None, None),
    "3 to 5 mg": (None, None, 3.0, 5.0, None, "mg"),
    "5 to 3": (None, None, None, None, "5 to 3", None),
    "0,5": (None, None, None, None, "0,5", None),
    "hemolysed": (None, None, None, None, "hemolysed", None),
    "1:64": (None, None, None, None, "1:64", None),
    "120/80": (None, None, None, None, "120/80", None),
    "12 H": (None, None, None, None, "12 H", None),  # high: a flag, and no unit
    "2024-01-05": (None, None, None, None, "2024-01-05", None),
    "++": (None, None, None, None, "++", None),
    "nan": (None, None, None, None, "nan", None),
    "": (None, None, None, None, None, None),
}


@pytest.mark.parametrize(("original", "expected"), READ.items())
def test_results_are_read(original: str, expected: tuple[object, ...]) -> None:
    found = read(original)
    assert (found.number, found.operator, found.low, found.high, found.text, found.unit) == expected
    assert found.original == original


def test_the_decimal_sign_is_what_the_owner_said() -> None:
    assert read("1,5", ",").number == 1.5
    assert read("1.234,5", ",").number == 1234.5
    assert read("1.5", ",").text == "1.5"
    assert read("<0,5 mg/L", ",") == Value("<0,5 mg/L", 0.5, "<", unit="mg/L")


def test_operators_are_standard_concepts() -> None:
    assert read("> 100").operator_concept_id == OPERATORS[">"] == 4172704
    assert read("positive").operator_concept_id is None


NUMBERS = r"[<>=]{0,2} ?[-+]?[0-9]{0,4}[.,]?[0-9]{0,4}([eE][0-9])?"
LIKE_RESULTS = st.one_of(
    st.sampled_from(list(READ)),
    st.from_regex(NUMBERS + r" ?(mg/dL|%|H|\(H\)|/uL|to 5|- ?[0-9])?", fullmatch=True),
    st.text(alphabet="0123456789.,<>=-+eE %/mgLto: ≤'\n", max_size=14),
    st.text(max_size=12),
    st.integers(150, 250).map(lambda length: "1" * length),
)  # fmt: skip


@given(LIKE_RESULTS, st.sampled_from([".", ","]))
@settings(max_examples=400, deadline=None)
def test_nothing_is_lost_and_each_result_is_one_thing(original: str, decimal: str) -> None:
    found = read(original, "." if decimal == "." else ",")
    assert found.original == original
    kinds = [found.number is not None, found.low is not None, found.text is not None]
    assert sum(kinds) == (1 if original.strip(" \t\r\n\f\v\u00a0") else 0)
    assert (found.operator is None) == (found.number is None)
    assert (found.low is None) == (found.high is None)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@pytest.mark.oracle
@given(st.lists(LIKE_RESULTS.filter(lambda text: ("\0" not in text and text.isascii()) or "≤" in text), max_size=40))
@settings(max_examples=40, deadline=None)
def test_the_database_reads_as_the_parser_does(database: duckdb.DuckDBPyConnection, originals: list[str]) -> None:
    for decimal in (".", ","):
        query = sql("(SELECT unnest($1::VARCHAR[]) AS v, generate_subscripts($1, 1) AS i)", "r.v", decimal)
        found = database.execute(f"SELECT * EXCLUDE (v, i) FROM ({query}) ORDER BY i", [originals]).fetchall()
        for original, row in zip(originals, found, strict=True):
            parsed = read(original, decimal)
            expected = (
                parsed.number, parsed.operator_concept_id, parsed.low, parsed.high, parsed.text, parsed.unit
            )  # fmt: skip
            assert row == expected, original


@pytest.mark.oracle
def test_a_missing_result_is_missing_everywhere(database: duckdb.DuckDBPyConnection) -> None:
    query = sql("(SELECT NULL::VARCHAR AS v)", "r.v")
    assert database.execute(query).fetchall() == [(None,) * 7]
