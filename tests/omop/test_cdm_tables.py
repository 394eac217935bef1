"""The model's tables are all there, as data, and rules can fill each that is not derived."""

from __future__ import annotations

import pytest

from sojourn.omop.compilation import compile_plan
from sojourn.omop.plan import Plan
from sojourn.omop.tables import BY_DOMAIN, EVENTS, MADE, TABLES

# https://ohdsi.github.io/CommonDataModel/cdm54.html, without the vocabularies and the results schema: name, fields, of which required.  # noqa: E501
EXPECTED = {
    "person": (18, 5), "observation_period": (5, 5), "visit_occurrence": (17, 6), "visit_detail": (19, 7),
    "condition_occurrence": (16, 5), "drug_exposure": (23, 6), "procedure_occurrence": (16, 5), "device_exposure": (19, 5),  # noqa: E501
    "measurement": (23, 5), "observation": (21, 5), "death": (7, 2), "note": (16, 8), "note_nlp": (14, 4), "specimen": (15, 5),  # noqa: E501
    "fact_relationship": (5, 5), "location": (12, 1), "care_site": (6, 1), "provider": (13, 1), "payer_plan_period": (17, 4),  # noqa: E501
    "cost": (22, 4), "drug_era": (7, 5), "dose_era": (7, 7), "condition_era": (6, 5), "episode": (13, 6),
    "episode_event": (3, 3), "metadata": (9, 4), "cdm_source": (11, 7),
}  # fmt: skip
HEAD = """
source: all
about: {name: All, abbreviation: ALL, holder: Nobody, released: 2026-01-31}
time_zone: UTC
span: {earliest: 1900-01-01, latest: 2026-01-31}
dates: {day: {form: "%Y-%m-%d", answered: somebody}}
files:
  persons: {path: p.csv, key: id, person: id}
  file: {path: f.csv, person: patient}
rules:
  person: {file: persons, to: person, decided: {by: A, day: 2026-01-01}, fields: {year_of_birth: {year: born, form: day}}}
"""  # noqa: E501


def test_every_table_of_the_model_is_there_with_its_fields() -> None:
    found = {
        name: (len(table.columns), sum(column.required for column in table.columns)) for name, table in TABLES.items()
    }
    assert found == EXPECTED


@pytest.mark.parametrize("name", sorted(set(EXPECTED) - set(MADE) - {"person"}))
def test_a_rule_can_fill_every_table_that_is_not_derived(name: str) -> None:
    """Each column by a filling of its type; the query names every column of the model, in its order."""
    fields = []
    for column in TABLES[name].columns:
        if column.name in ("person_id", TABLES[name].key):
            continue
        filling = {"DATE": "{date: d, form: day}", "TIMESTAMP": "{date: d, form: day}"}.get(column.type, "x")
        fields.append(f"      {column.name}: {filling}")
    rule = f"  it:\n    file: file\n    to: {name}\n    decided: {{by: A, day: 2026-01-01}}\n    fields:\n" + "\n".join(
        fields
    )
    compiled = compile_plan(Plan.from_yaml(HEAD + rule))
    part = next(part for part in compiled.parts if part.table == name)
    assert part.rows.startswith(
        "SELECT " + ", ".join(f'"{column.name}"' for column in TABLES[name].columns) + ", _record"
    )
    assert set(part.filled) == {column.name for column in TABLES[name].columns} - {"person_id", TABLES[name].key}


def test_words_of_events_are_columns_of_their_tables() -> None:
    for event in EVENTS.values():
        assert all(TABLES[event.table].has(column) for column in event.roles.values())
        assert event.roles["start"] == next(
            column.name for column in TABLES[event.table].columns if column.type == "DATE"
        )
    assert set(BY_DOMAIN) == {"Condition", "Drug", "Procedure", "Device", "Measurement", "Observation", "Specimen"}


def test_only_columns_that_name_concepts_are_concepts() -> None:
    assert TABLES["person"].column("race_concept_id").is_concept  # type: ignore[union-attr]
    assert TABLES["fact_relationship"].column("domain_concept_id_1").is_concept  # type: ignore[union-attr]
    assert not TABLES["note"].column("note_event_id").is_concept  # type: ignore[union-attr]
