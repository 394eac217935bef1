"""Two rows with one number are found, by the quick look at places in files as by the plain one."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sojourn.omop.identifiers import ORDINALS, RECORDS, row_number_base, twice_sql

# Places close together and at the edges of what stands together, of two rules.
NUMBERS = st.builds(
    lambda rule, record, ordinal: row_number_base("clinic", rule, "death") + (record << ORDINALS) + ordinal,
    st.sampled_from("ab"),
    st.one_of(st.integers(0, 3), st.integers(8190, 8194), st.integers((1 << RECORDS) - 3, (1 << RECORDS) - 1)),
    st.sampled_from([0, 1, (1 << ORDINALS) - 1]),
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute('CREATE TABLE "a table" ("the number" BIGINT)')
        yield made


def twice(connection: duckdb.DuckDBPyConnection, by_place: bool) -> bool:
    return bool(connection.execute(twice_sql("a table", "the number", by_place)).fetchall())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@example([])
@example([5, 5])
@given(st.lists(NUMBERS, max_size=20))
def test_both_queries_find_what_stands_twice(connection: duckdb.DuckDBPyConnection, numbers: list[int]) -> None:
    connection.execute('DELETE FROM "a table"')
    if numbers:
        connection.executemany('INSERT INTO "a table" VALUES (?)', [[number] for number in numbers])
    expected = len(set(numbers)) < len(numbers)
    assert twice(connection, by_place=True) == twice(connection, by_place=False) == expected


def test_one_twice_among_many(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute('DELETE FROM "a table"')
    base = row_number_base("clinic", "a", "death")
    connection.execute(f'INSERT INTO "a table" SELECT {base} + i * 128 + i % 2 FROM range(300000) AS t(i)')
    assert not twice(connection, by_place=True)
    connection.execute(f'INSERT INTO "a table" VALUES ({base + 200_000 * 128})')
    assert twice(connection, by_place=True)


def test_a_row_without_a_number_is_not_passed_over(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute('DELETE FROM "a table"')
    connection.execute('INSERT INTO "a table" VALUES (NULL), (NULL)')
    assert twice(connection, by_place=True) and twice(connection, by_place=False)
