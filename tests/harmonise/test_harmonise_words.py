"""What a plan can say, in one run: Parquet, clocks, decisions, second concepts, links between tables, notes and costs."""  # noqa: E501

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from harmonise.clinic import Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running

PLAN = """
source: region
about: {name: A region, abbreviation: REGION, holder: Nobody, released: 2026-01-31}
time_zone: Europe/Rome
vocabulary: v5.0 01-JAN-26
span: {earliest: 1900-01-01, latest: 2026-01-31}
dates:
  day: {form: "%Y%m%d", answered: somebody}
  utc: {form: "%Y-%m-%dT%H:%M:%SZ", zone: UTC, answered: somebody}
  away: {form: "%m/%d/%Y %I:%M %p", zone: America/New_York, answered: somebody}
  offset: {form: "%Y-%m-%dT%H:%M:%S%z", answered: somebody}
files:
  people: {path: people.parquet, key: id, person: id, missing: ["", NA]}
  wards: {path: wards.csv, key: ward, delimiter: ";"}
  events: {path: events.csv, key: event, person: id}
rules:
  places: {file: wards, to: location, decided: {by: A, day: 2026-01-01}, fields: {city: town, location_source_value: ward}}
  wards:
    file: wards
    to: care_site
    decided: {by: A, day: 2026-01-01}
    fields: {care_site_name: {expression: "upper(name) || ' ' || coalesce(floor, '0')"}, location_id: {id: location, of: ward}}
  person:
    file: people
    to: person
    decided: {by: A, day: 2026-01-01}
    fields:
      year_of_birth: year
      gender_concept_id: {values: {w: 8532}, of: sex, otherwise: 8507}
      race_concept_id: {concept: {code: origin, vocabulary: LOCAL}}
      care_site_id: {id: care_site, of: ward}
      month_of_birth: {expression: "CASE WHEN CAST(quarter AS BIGINT) IS NOT NULL THEN CAST(quarter AS BIGINT) * 3 - 2 END"}
  events:
    file: events
    to: by domain
    otherwise: observation
    tables: [condition_occurrence, observation]
    where: kind = 'd'
    decided: {by: A, day: 2026-01-01}
    concept: {code: code, vocabulary: LOCAL}
    fields:
      start: {date: utc, form: utc}
      condition_occurrence.end: {date: away, form: away}
      observation.observation_datetime: {date: offset, form: offset}
      type: 32817
  notes:
    file: events
    to: note
    where: kind = 'n'
    decided: {by: A, day: 2026-01-01}
    fields: {start: {date: utc, form: utc}, note_text: code, type: 32817}
  costs:
    file: events
    to: cost
    where: kind = 'n'
    decided: {by: A, day: 2026-01-01}
    fields: {cost_event_id: {id: note, of: event}, cost_domain_id: {constant: Note}, total_cost: {expression: "event * 2.5"}}
decisions:
  - {vocabulary: LOCAL, code: knee, concepts: [1], by: Dr Rossi, day: 2026-01-05, why: "Our own code."}
  - {vocabulary: LOCAL, code: smokes, concepts: [5], by: Dr Rossi, day: 2026-01-05}
  - {vocabulary: LOCAL, code: both, concepts: [1, 3], by: Dr Rossi, day: 2026-01-05}
  - {vocabulary: LOCAL, code: wrong, concepts: [2], by: Dr Rossi, day: 2026-01-05}
"""  # noqa: E501
EVENTS = """id,event,kind,code,utc,away,offset
1,1,d,knee,2020-07-01T22:30:00Z,07/03/2020 09:15 PM,2020-07-01T22:30:00+0500
1,2,d,smokes,2020-01-01T12:00:00Z,,2020-01-01T12:00:00-0800
1,3,d,both,2020-01-01T12:00:00Z,,
1,4,d,wrong,2020-01-01T12:00:00Z,,
1,5,n,a text,2020-01-01T12:00:00Z,,
1,6,x,nothing,2020-01-01T12:00:00Z,,
"""


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Clinic:
    folder = tmp_path_factory.mktemp("region")
    clinic = Clinic(folder, vocabulary(folder), PLAN)
    clinic.write({"wards": "ward;name;town;floor\nA;east;Rome;NA\nB;west;Bari;2\n", "events": EVENTS})
    people = "SELECT * FROM (VALUES (1, 1960, 'w', 'here', 'A', 2), (2, 1970, NULL, 'NA', 'C', NULL)) AS t(id, year, sex, origin, ward, quarter)"  # noqa: E501
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({people}) TO '{clinic.export}/people.parquet' (FORMAT parquet)")
    clinic.made()
    return clinic


def test_times_are_told_by_the_clock_of_the_plan(region: Clinic) -> None:
    conditions = region.rows(
        "condition_occurrence",
        "condition_start_datetime, condition_start_date, condition_end_datetime, condition_end_date",
    )
    assert conditions[-1] == (
        datetime(2020, 7, 2, 0, 30),
        date(2020, 7, 2),
        datetime(2020, 7, 4, 3, 15),
        date(2020, 7, 4),
    )
    observed = dict(region.rows("observation", "observation_source_value, observation_datetime"))
    assert observed["smokes"] == datetime(2020, 1, 1, 21)  # 12 o'clock at eight hours behind UTC, in winter


def test_decisions_come_before_the_vocabulary_and_must_name_a_standard_concept(region: Clinic) -> None:
    found = region.rows("condition_occurrence", "condition_source_value, condition_concept_id")
    assert found == [("both", 1), ("both", 3), ("knee", 1)]
    assert region.rows("observation", "observation_source_value, observation_concept_id") == [
        ("smokes", 5),
        ("wrong", 0),
    ]
    assert ("events", "wrong", "bad decision") in region.rows("unmapped", "rule, code, reason")


def test_tables_name_rows_of_each_other(region: Clinic) -> None:
    sites = dict(region.rows("care_site", "care_site_name, care_site_id"))
    assert set(sites) == {"EAST NA", "WEST 2"}  # `NA` means nothing only where the plan says so
    people = region.rows("person", "year_of_birth, month_of_birth, care_site_id, gender_concept_id, race_concept_id")
    assert people == [(1960, 4, sites["EAST NA"], 8532, 0), (1970, None, None, 8507, 0)]
    places = {number for (number,) in region.rows("location", "location_id")}
    assert {number for (number,) in region.rows("care_site", "location_id")} == places


def test_notes_and_costs(region: Clinic) -> None:
    ((note, text),) = region.rows("note", "note_id, note_text")
    assert text == "a text"
    assert region.rows("cost", "cost_event_id, total_cost, cost_type_concept_id") == [(note, 12.5, 0)]


def test_the_vocabulary_that_a_plan_expects(region: Clinic) -> None:
    other = Clinic(region.folder, region.warehouse, PLAN.replace("v5.0 01-JAN-26", "v5.0 01-JAN-27"))
    with pytest.raises(HarmonisationError, match=r"expects vocabulary v5\.0 01-JAN-27; v5\.0 01-JAN-26 is in use"):
        running.pilot(other.work, 1.0)


def test_no_vocabulary(region: Clinic, tmp_path: Path) -> None:
    with pytest.raises(HarmonisationError, match="no vocabulary here"):
        running.pilot(Clinic(region.folder, tmp_path / "none.duckdb", PLAN).work, 1.0)
