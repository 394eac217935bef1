"""Eras and periods in SQL, judged by a slow and obvious reading of the same rows in Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harmonise.clinic import PLAN
from sojourn.omop.eras import condition_eras, drug_eras, observation_periods
from sojourn.omop.plan import Plan

CLINIC = Plan.from_yaml(PLAN)
DAY = date(2020, 1, 1)
# person, concept, day of start, length of stay or none: few of each, so that spans touch, overlap and stand twice
SPANS = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.sampled_from([0, 7, 8]),
        st.integers(0, 120),
        st.one_of(st.none(), st.integers(0, 40)),
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(
            "CREATE TABLE condition_occurrence (person_id BIGINT, condition_concept_id BIGINT, "
            "condition_start_date DATE, condition_end_date DATE)"
        )
        made.execute(
            "CREATE VIEW drug_exposure AS SELECT person_id, condition_concept_id AS drug_concept_id, "
            "condition_start_date AS drug_exposure_start_date, condition_end_date AS drug_exposure_end_date, "
            "NULL::BIGINT AS days_supply FROM condition_occurrence"
        )
        made.execute("CREATE VIEW visit_occurrence AS SELECT person_id, NULL::DATE AS visit_start_date, "
                     "NULL::DATE AS visit_end_date FROM condition_occurrence WHERE FALSE")  # fmt: skip
        made.execute("CREATE SCHEMA vocabulary")
        made.execute(
            "CREATE TABLE vocabulary.concept AS SELECT 70 AS concept_id, 'Ingredient' AS concept_class_id, "
            "'S' AS standard_concept"
        )
        made.execute(
            "CREATE TABLE vocabulary.concept_ancestor AS SELECT 70 AS ancestor_concept_id, "
            "UNNEST([7, 8]) AS descendant_concept_id"
        )
        yield made


def fill(connection: duckdb.DuckDBPyConnection, spans: list[tuple[int, int, int, int | None]]) -> None:
    connection.execute("DELETE FROM condition_occurrence")
    for person, concept, start, length in spans:
        first = DAY + timedelta(start)
        last = None if length is None else first + timedelta(length)
        connection.execute("INSERT INTO condition_occurrence VALUES ($1, $2, $3, $4)", [person, concept, first, last])


def eras(spans: list[tuple[int, int, int, int | None]], gap: int) -> list[tuple[int, int, date, date, int, int]]:
    """person, concept, start, end, rows, days that no row covers: span after span."""
    found = []
    kept: dict[tuple[int, int], list[tuple[date, date]]] = defaultdict(list)
    for person, concept, start, length in spans:
        first = DAY + timedelta(start)
        kept[person, concept].append((first, first + timedelta(1 if length is None else length)))
    for (person, concept), each in kept.items():
        groups: list[list[tuple[date, date]]] = []
        for span in sorted(each):
            if groups and span[0] <= max(stop for _, stop in groups[-1]) + timedelta(gap):
                groups[-1].append(span)
            else:
                groups.append([span])
        for group in groups:
            start, stop = group[0][0], max(last for _, last in group)
            days = {start + timedelta(n) for n in range((stop - start).days)}
            for first, last in group:
                days -= {first + timedelta(n) for n in range((last - first).days)}
            found.append((person, concept, start, stop, len(group), len(days)))
    return sorted(found)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=SPANS)
@example(spans=[(1, 7, 0, None), (1, 7, 31, None)])  # thirty days apart, which is not too many
@example(spans=[(1, 7, 0, None), (1, 7, 32, None)])
def test_condition_eras(connection: duckdb.DuckDBPyConnection, spans: list[tuple[int, int, int, int | None]]) -> None:
    fill(connection, spans)
    found = connection.execute(
        "SELECT person_id, condition_concept_id, condition_era_start_date, condition_era_end_date, "
        f"condition_occurrence_count FROM ({condition_eras(CLINIC)}) ORDER BY ALL"
    ).fetchall()
    assert found == [era[:5] for era in eras([span for span in spans if span[1]], CLINIC.eras.condition_gap)]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=SPANS)
@example(spans=[(1, 7, 0, 5), (1, 8, 35, 5), (1, 8, 35, 5)])
def test_drug_eras_are_of_ingredients(
    connection: duckdb.DuckDBPyConnection, spans: list[tuple[int, int, int, int | None]]
) -> None:
    fill(connection, spans)
    found = connection.execute(
        "SELECT person_id, drug_concept_id, drug_era_start_date, drug_era_end_date, drug_exposure_count, gap_days "
        f"FROM ({drug_eras(CLINIC)}) ORDER BY ALL"
    ).fetchall()
    of_ingredient = [(person, 70, start, length) for person, concept, start, length in spans if concept]
    assert found == eras(of_ingredient, CLINIC.eras.drug_gap)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=SPANS)
def test_observation_periods(
    connection: duckdb.DuckDBPyConnection, spans: list[tuple[int, int, int, int | None]]
) -> None:
    fill(connection, spans)
    found = connection.execute(
        "SELECT person_id, observation_period_start_date, observation_period_end_date "
        f"FROM ({observation_periods(CLINIC)}) ORDER BY ALL"
    ).fetchall()
    expected = []
    for person in sorted({span[0] for span in spans}):
        own = [(start, start + (length or 0)) for who, _, start, length in spans if who == person]
        first, last = min(start for start, _ in own), max(stop for _, stop in own)
        expected.append((person, DAY + timedelta(first), DAY + timedelta(last)))
    assert found == expected
