"""Dates of one column in several forms, and births told in parts: on the calendar and in the span."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running
from sojourn.node.harmonise.explaining import explain, words
from sojourn.omop.plan import Plan

DATES = """  day: {form: "%d/%m/%Y", answered: "Dr Rossi, 2026-01-12"}
  iso: {form: "%Y-%m-%d", answered: "Dr Bianchi, 2026-01-13"}
  turned: {form: "%m/%d/%Y", answered: "Dr Bianchi, 2026-01-13"}
"""
FORMS = PLAN.replace('  day: {form: "%d/%m/%Y", answered: "Dr Rossi, 2026-01-12"}\n', DATES)
BOTH = FORMS.replace("start: {date: day, form: day}", "start: {date: day, form: [day, iso]}")
PARTS = PLAN.replace(
    "year_of_birth: {year: born, form: day}\n      birth_datetime: {date: born, form: day}",
    'year_of_birth: {expression: "CAST(right(born, 4) AS BIGINT)"}\n'
    '      month_of_birth: {expression: "CAST(substring(born, 4, 2) AS BIGINT)"}\n'
    '      day_of_birth: {expression: "CAST(left(born, 2) AS BIGINT)"}',
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def clinic(tmp_path: Path, warehouse: Path) -> Clinic:
    made = Clinic(tmp_path, warehouse, BOTH)
    made.write()
    return made


def test_each_date_is_read_by_the_form_that_reads_it(clinic: Clinic) -> None:
    clinic.write({"diagnoses": "mrn,stay,code,day\n1,a,J18,02/03/2019\n1,,J18,2019-04-05\n2,a,J18,00/00/0000\n"})
    clinic.made()
    assert clinic.rows("condition_occurrence", "condition_start_date") == [(date(2019, 3, 2),), (date(2019, 4, 5),)]
    assert clinic.rows("quarantine", "record, reason, columns") == [(3, "unreadable date", "day")]
    said = words(explain(clinic.places, clinic.warehouse, "condition_occurrence.condition_start_date", None))[1]
    assert "the date written as %d/%m/%Y, else %Y-%m-%d (so said Dr Rossi, 2026-01-12; Dr Bianchi, 2026-01-13)" in said


def test_what_two_forms_read_as_different_days_is_kept_aside(clinic: Clinic) -> None:
    clinic.plan = BOTH.replace("form: [day, iso]", "form: [day, turned]")
    clinic.write({"diagnoses": "mrn,stay,code,day\n1,a,J18,02/03/2019\n1,,J18,04/04/2019\n2,a,J18,05/25/2020\n"})
    clinic.made()
    assert clinic.rows("condition_occurrence", "condition_start_date") == [(date(2019, 4, 4),), (date(2020, 5, 25),)]
    assert clinic.rows("quarantine", "record, reason, columns") == [(1, "ambiguous date", "day")]


def test_swapped_days_are_asked_beside_the_other_form(clinic: Clinic) -> None:
    clinic.write({"diagnoses": "mrn,stay,code,day\n1,a,J18,02/03/2019\n1,,J18,2019-04-25\n2,a,J18,05/25/2020\n"})
    doubts = running.pilot(clinic.work, 1.0)["doubts"]
    assert any("1 dates written as %d/%m/%Y in `day` of `diagnoses` can be read with day" in each for each in doubts)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("[day, other]", "`dates` has no form `other`"),
        ("[day, day]", "lists one form twice"),
        ("[day, at]", "all a day alone, or all a time by one zone's clock"),
        ("[at, there]", "all a day alone, or all a time by one zone's clock"),
        ("[]", "`form` names"),
    ],
)
def test_forms_that_do_not_fit_together_are_refused(change: str, said: str) -> None:
    timed = "  at: {form: '%Y-%m-%d %H:%M', zone: Europe/Rome, answered: A}\n"
    timed += "  there: {form: '%d/%m/%Y %H:%M', zone: Europe/Oslo, answered: A}\n"
    plan = BOTH.replace("dates:\n", "dates:\n" + timed).replace("form: [day, iso]", f"form: {change}")
    with pytest.raises(HarmonisationError, match=said):
        Plan.from_yaml(plan)


def test_a_list_of_one_form_is_that_form_and_older_plans_keep_their_version() -> None:
    one = Plan.from_yaml(FORMS.replace("form: day", "form: [day]"))
    assert one.digest() == Plan.from_yaml(FORMS).digest()
    assert Plan.from_yaml(PLAN).digest() == "baac14078313c8b22795ee939fe541c0a5bc10aeb18b3d69d19e10eb3d31b809"


BIRTHS = {
    "00/00/0000": "unreadable date",
    "31/02/1960": "unreadable date",
    "01/13/1960": "unreadable date",
    "01/01/1899": "implausible date",
    "01/02/2026": "implausible date",
    "31/01/2026": "",
    "01/01/1900": "",
}


@pytest.mark.parametrize("born", BIRTHS)
def test_a_birth_in_parts_is_on_the_calendar_and_in_the_span(clinic: Clinic, born: str) -> None:
    clinic.plan = PARTS
    clinic.write({**FILES, "patients": f"mrn,sex,born,died\n1,F,01/01/1950,\n2,M,{born},\n3,F,01/01/1950,\n"})
    clinic.made()
    found = clinic.rows("quarantine", "file, reason, columns")
    parts = ("patients", BIRTHS[born], "year_of_birth, month_of_birth, day_of_birth")
    assert (parts in found) == bool(BIRTHS[born]) and len(clinic.rows("person")) == 3 - bool(BIRTHS[born])


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(-(10**18), 10**18) | st.integers(1898, 2028), min_size=1, max_size=30, unique=True))
@pytest.mark.long
def test_a_year_alone_is_in_the_span_or_kept_aside(clinic: Clinic, years: list[int]) -> None:
    clinic.plan = PLAN.replace("year_of_birth: {year: born, form: day}", "year_of_birth: born").replace(
        "      birth_datetime: {date: born, form: day}\n", ""
    )
    rows = "".join(f"{number},F,{year},\n" for number, year in enumerate(years))
    clinic.write({**FILES, "patients": "mrn,sex,born,died\n" + rows})
    clinic.made()
    assert clinic.rows("person", "year_of_birth") == [(year,) for year in sorted(years) if 1900 <= year <= 2026]
