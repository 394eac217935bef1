"""Dose eras in SQL, judged by a slow and obvious reading in Python; and a run of names that tell their strength."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harmonise import pharmacy
from harmonise.clinic import PLAN, Clinic
from harmonise.pharmacy import CODEINE, PARACETAMOL
from harmonise.test_medicines import exported, planned
from sojourn.node.harmonise import running
from sojourn.omop.eras import dose_eras
from sojourn.omop.plan import Plan

CLINIC = Plan.from_yaml(PLAN)
DAY = date(2020, 1, 1)
MG, UNIT = 8576, 9999
# drug, ingredient, amount, unit, invalid: one drug of one, one of two, one of two amounts, one of a concentration
STRENGTHS = [
    (7, 70, 500.0, MG, None), (8, 70, 250.0, MG, None), (8, 71, 30.0, MG, None), (9, 70, 500.0, MG, None),
    (9, 70, 250.0, MG, None), (10, 70, None, None, None), (11, 70, 500.0, MG, "D"), (12, 70, 500.0, UNIT, None),
]  # fmt: skip
AMOUNTS = {7: {70: (500.0, MG)}, 8: {70: (250.0, MG), 71: (30.0, MG)}, 12: {70: (500.0, UNIT)}}
Exposure = tuple[int, int, int, int, float | None, int | None]
EXPOSURES = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.sampled_from([0, 7, 8, 9, 10, 11, 12]),
        st.integers(0, 100),
        st.integers(0, 20),
        st.sampled_from([None, -1.0, 0.0, 10.0, 20.0]),
        st.sampled_from([None, 0, 5, 10]),
    ),
    max_size=10,
)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as made:
        made.execute(
            "CREATE TABLE drug_exposure (person_id BIGINT, drug_concept_id BIGINT, drug_exposure_start_date DATE, "
            "drug_exposure_end_date DATE, quantity DOUBLE, days_supply BIGINT)"
        )
        made.execute("CREATE SCHEMA vocabulary")
        made.execute(
            "CREATE TABLE vocabulary.drug_strength (drug_concept_id INTEGER, ingredient_concept_id INTEGER, "
            "amount_value DOUBLE, amount_unit_concept_id INTEGER, invalid_reason VARCHAR)"
        )
        made.executemany(
            "INSERT INTO vocabulary.drug_strength VALUES (?, ?, ?, ?, ?)", [list(row) for row in STRENGTHS]
        )
        yield made


def eras(exposures: list[Exposure], gap: int) -> list[tuple[int, int, int, float, date, date]]:
    """person, ingredient, unit, dose, start, end."""
    kept: dict[tuple[int, int, int, float], list[tuple[date, date]]] = defaultdict(list)
    for person, drug, start, length, quantity, supply in exposures:
        first, last = DAY + timedelta(start), DAY + timedelta(start + length)
        for ingredient, (amount, unit) in AMOUNTS.get(drug, {}).items():
            if quantity is not None and quantity > 0:
                dose = round(quantity * amount / (supply or length + 1), 6)
                kept[person, ingredient, unit, dose].append((first, last))
    found = []
    for key, spans in kept.items():
        groups: list[list[tuple[date, date]]] = []
        for span in sorted(spans):
            if groups and span[0] <= max(stop for _, stop in groups[-1]) + timedelta(gap):
                groups[-1].append(span)
            else:
                groups.append([span])
        found += [(*key, group[0][0], max(stop for _, stop in group)) for group in groups]
    return sorted(found)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exposures=EXPOSURES)
@example(exposures=[(1, 7, 0, 9, 20.0, 10), (1, 8, 39, 9, 20.0, 5), (1, 7, 80, 9, 20.0, 10)])  # 1000 mg a day, each
@example(exposures=[(1, 7, 0, 9, 20.0, 10), (1, 7, 5, 9, 10.0, 10)])  # another dose while the first goes on
def test_dose_eras(connection: duckdb.DuckDBPyConnection, exposures: list[Exposure]) -> None:
    connection.execute("DELETE FROM drug_exposure")
    for person, drug, start, length, quantity, supply in exposures:
        span = [DAY + timedelta(start), DAY + timedelta(start + length)]
        connection.execute(
            "INSERT INTO drug_exposure VALUES ($1, $2, $3, $4, $5, $6)", [person, drug, *span, quantity, supply]
        )
    found = connection.execute(
        "SELECT person_id, drug_concept_id, unit_concept_id, dose_value, dose_era_start_date, dose_era_end_date "
        f"FROM ({dose_eras(CLINIC)}) ORDER BY ALL"
    ).fetchall()
    assert found == eras(exposures, CLINIC.eras.drug_gap)
    numbers = connection.execute(f"SELECT count(*) - count(DISTINCT dose_era_id) FROM ({dose_eras(CLINIC)})").fetchall()
    assert numbers == [(0,)]


def test_a_run_makes_them_where_strength_quantity_and_days_are_told(tmp_path: Path) -> None:
    plan = planned().replace("type: 32838}", "type: 32838, quantity: count, days_supply: days}")
    clinic = Clinic(tmp_path, pharmacy.vocabulary(tmp_path), plan)
    clinic.write()
    told = {
        "Tylenol 500 mg tablet": "20,10", "paracetamol/codeine 500-30 mg tab": "20,10", "Tylenol 325 mg tablet": ",10",
        "paracetamol": "20,10", "Morphine 10 mg/5 mL oral solution": "100,10",
    }  # fmt: skip
    lines = exported([(name, "", "") for name in told]).splitlines()
    ends = ["count,days", *told.values()]
    clinic.write({"drugs": "\n".join(f"{line},{end}" for line, end in zip(lines, ends, strict=True)) + "\n"})
    clinic.made()
    columns = "drug_concept_id, unit_concept_id, dose_value, dose_era_start_date"
    day = date(2019, 2, 1)
    assert clinic.rows("dose_era", columns) == [(PARACETAMOL, MG, 1000.0, day), (CODEINE, MG, 60.0, day)]
    assert running.pilot(clinic.work, 1.0)["doses"] == {"exposures": 5, "with_dose": 2}
