"""Every table of the model but the vocabularies' is filled from a small export, by one plan, in one run."""

from __future__ import annotations

import pytest

from harmonise import pharmacy
from harmonise.clinic import Clinic
from sojourn.node.harmonise.explaining import explain
from sojourn.node.harmonise.publishing import manifest_of
from sojourn.omop.compilation import compile_plan
from sojourn.omop.plan import Plan
from sojourn.omop.tables import MADE, TABLES

PLAN = """
source: everything
about: {name: Everything, abbreviation: ALL, holder: Nobody, released: 2026-01-31}
time_zone: UTC
span: {earliest: 1900-01-01, latest: 2026-01-31}
dates: {day: {form: "%Y-%m-%d", answered: somebody}}
files:
  places: {path: places.csv, key: place}
  people: {path: people.csv, key: mrn, person: mrn}
  events: {path: events.csv, key: [mrn, n], person: mrn}
  links: {path: links.csv}
rules:
"""
PLACES = "place,name\nA,East\n"
PEOPLE = "mrn,born,died\n1,1950-01-01,\n2,1960-01-01,2020-05-05\n"
EVENTS = "mrn,n,day,until,code,text,value\n1,1,2019-02-01,2019-02-10,Tylenol 500 mg tablet,a note,20\n"
LINKS = "mrn,n,word\n1,1,fracture\n"
DAYS = "start: {date: day, form: day}, end: {date: until, form: day}, type: 32817"
START = "start: {date: day, form: day}, type: 32817"
VISIT = "visit: {id: visit_occurrence, of: [mrn, n]}"
OF_EVENT = "of: [mrn, n]}"
# table: its file, and what of the rule there is beside `decided`
RULES = {
    "location": ("places", "fields: {city: name, location_source_value: place}"),
    "care_site": ("places", "fields: {care_site_name: name, location_id: {id: location, of: place}}"),
    "provider": ("places", "fields: {provider_name: name, care_site_id: {id: care_site, of: place}}"),
    "person": ("people", "fields: {year_of_birth: {year: born, form: day}}"),
    "death": ("people", "where: died IS NOT NULL, fields: {start: {date: died, form: day}, type: 32817}"),
    "visit_occurrence": ("events", f"fields: {{visit_concept_id: 9201, {DAYS}}}"),
    "visit_detail": ("events", f"fields: {{visit_detail_concept_id: 9201, {DAYS}, {VISIT}}}"),
    "condition_occurrence": ("events", f"fields: {{condition_concept_id: 1, {DAYS}, {VISIT}}}"),
    "drug_exposure": ("events", f"medicine: {{name: code}}, fields: {{{DAYS}, quantity: value, days_supply: 10}}"),
    "procedure_occurrence": ("events", f"fields: {{{START}, {VISIT}}}"),
    "device_exposure": ("events", f"fields: {{{START}, unique_device_id: code}}"),
    "measurement": ("events", f'result: {{value: value, decimal: "."}}, fields: {{{START}}}'),
    "observation": ("events", f"fields: {{{START}, value_as_string: text}}"),
    "specimen": ("events", f"fields: {{{START}, quantity: value}}"),
    "note": ("events", f"fields: {{{START}, note_text: text, note_title: code}}"),
    "note_nlp": ("links", f"fields: {{note_id: {{id: note, {OF_EVENT}, lexical_variant: word, offset: n, "
                 "nlp_date: {date: nlp, form: day}}"),
    "fact_relationship": ("links", f"fields: {{domain_concept_id_1: 21, fact_id_1: {{id: specimen, {OF_EVENT}, "
                          f"domain_concept_id_2: 21, fact_id_2: {{id: measurement, {OF_EVENT}, "
                          "relationship_concept_id: 32668}"),
    "episode": ("events", f"fields: {{episode_concept_id: 32533, {DAYS}, episode_object_concept_id: 1}}"),
    "episode_event": ("links", f"fields: {{episode_id: {{id: episode, {OF_EVENT}, "
                      f"event_id: {{id: condition_occurrence, {OF_EVENT}, episode_event_field_concept_id: 1147127}}"),
    "payer_plan_period": ("events", "fields: {payer_plan_period_start_date: {date: day, form: day}, "
                          "payer_plan_period_end_date: {date: until, form: day}, payer_source_value: code}"),
    "cost": ("events", f"fields: {{cost_event_id: {{id: visit_occurrence, {OF_EVENT}, "
             "cost_domain_id: {constant: Visit}, total_cost: value}"),
}  # fmt: skip
DERIVED = {*MADE, "observation_period"}


def planned() -> str:
    rules = "".join(
        f"  {name}: {{file: {file}, to: {name}, decided: {{by: A, day: 2026-01-01}}, {rest}}}\n"
        for name, (file, rest) in RULES.items()
    )
    periods = "observation_period: {tables: [visit_occurrence], type: 32880, decided: {by: A, day: 2026-01-01}}\n"
    return PLAN + rules + periods


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("everything")
    clinic = Clinic(folder, pharmacy.vocabulary(folder), planned())
    links = LINKS.replace("word\n", "word,nlp\n").replace("fracture\n", "fracture,2019-03-01\n")
    clinic.write({"places": PLACES, "people": PEOPLE, "events": EVENTS, "links": links})
    clinic.made()
    return clinic


def test_the_plan_names_every_table_that_is_not_derived() -> None:
    assert set(RULES) | DERIVED == set(TABLES) and not set(RULES) & DERIVED
    assert {part.table for part in compile_plan(Plan.from_yaml(planned())).parts} == set(RULES)


@pytest.mark.parametrize("table", TABLES)
def test_it_has_rows_and_each_of_its_fields_an_origin(everything: Clinic, table: str) -> None:
    rows = everything.rows(table, ", ".join(f'"{column.name}"' for column in TABLES[table].columns))
    assert len(rows) == {"person": 2, "metadata": 5}.get(table, 1)
    for row in rows:
        for column, value in zip(TABLES[table].columns, row, strict=True):
            assert value is not None or not column.required, column.name
    for column in TABLES[table].columns:
        origins = explain(everything.places, everything.warehouse, f"{table}.{column.name}", None)["origins"]
        assert [each["rule"] for each in origins] == ["derived" if table in DERIVED else table]


def test_links_lead_to_rows_that_are_there(everything: Clinic) -> None:
    def only(table: str, column: str) -> int:
        ((found,),) = everything.rows(table, column)
        return int(found)

    assert only("fact_relationship", "fact_id_1") == only("specimen", "specimen_id")
    assert only("fact_relationship", "fact_id_2") == only("measurement", "measurement_id")
    assert only("episode_event", "event_id") == only("condition_occurrence", "condition_occurrence_id")
    assert only("episode_event", "episode_id") == only("episode", "episode_id")
    assert only("note_nlp", "note_id") == only("note", "note_id")
    assert only("cost", "cost_event_id") == only("visit_occurrence", "visit_occurrence_id")


def test_nothing_was_kept_aside(everything: Clinic) -> None:
    assert manifest_of(everything.places)["aside"] == []
