"""The plan's document is strict, its faults name their place and a remedy, and the same plan compiles to the same."""

from __future__ import annotations

import pytest

from sojourn.errors import HarmonisationError
from sojourn.omop import rows
from sojourn.omop.compilation import compile_plan
from sojourn.omop.identifiers import demand_apart, row_number_base
from sojourn.omop.plan import Plan

PLAN = """
source: clinic
about: {name: Clinic, abbreviation: CLINIC, holder: Nobody, released: 2026-01-31}
time_zone: Europe/Rome
span: {earliest: 1900-01-01, latest: 2026-01-31}
dates:
  day: {form: "%d/%m/%Y", answered: "Dr Rossi, 2026-01-12"}
files:
  patients: {path: patients.csv, key: mrn, person: mrn}
  drugs: {path: drugs.csv, person: mrn}
rules:
  person:
    file: patients
    to: person
    decided: {by: Ada, day: 2026-02-01}
    fields:
      year_of_birth: {year: born, form: day}
      gender_concept_id: {values: {M: 8507, no: 8532}, of: sex}
  drugs:
    file: drugs
    to: by domain
    otherwise: drug_exposure
    tables: [drug_exposure]
    decided: {by: Ada, day: 2026-02-01}
    concept: {code: ndc, vocabulary: NDC}
    fields: {start: {date: day, form: day}, end: {date: day, form: day}, type: 32817, drug_exposure.quantity: n}
"""


def refused(change: tuple[str, str], words: str) -> HarmonisationError:
    assert change[0] in PLAN
    with pytest.raises(HarmonisationError, match=words) as error:
        compile_plan(Plan.from_yaml(PLAN.replace(*change)))
    assert error.value.remedy
    return error.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("time_zone: Europe/Rome", "time_zone: Mars/Base"), "no zone"),
        (("span:", "spam:"), "`spam` is no word of a plan"),
        (("holder: Nobody, ", ""), "about.holder"),
        (('"%d/%m/%Y"', '"%d/%m/%y"'), "two digits names no century"),
        (('"%d/%m/%Y"', '"%d/%m"'), "needs year"),
        (('"%d/%m/%Y"', '"%d/%m/%Y %H:%M"'), "whose clock it is"),
        ((', answered: "Dr Rossi, 2026-01-12"', ""), "dates.day.answered"),
        (("form: day}\n      gender", "form: night}\n      gender"), "`dates` has no form `night`"),
        (("file: drugs\n", "file: pills\n"), "`pills` that is not under `files`"),
        (("to: person", "to: persons"), "a table of the model"),
        (("to: person", "to: drug_era"), "a table of the model"),
        (("    otherwise: drug_exposure\n", ""), "needs `concept`, and `otherwise`"),
        (("tables: [drug_exposure]", "tables: [person]"), "no domain picks `person`"),
        (("{year: born, form: day}", "{year: born}"), "`form` names a form"),
        (("{year: born, form: day}", "{year: born, form: day, constant: 1}"), "exactly one of"),
        (("{year: born, form: day}", "{}"), "exactly one of"),
        (("of: sex", "of: []"), "`of` names columns"),
        (("    decided: {by: Ada, day: 2026-02-01}\n    fields:\n", "    fields:\n"), "decided"),
        (("source: clinic", "source: clinic\nsource: other"), "not sound YAML"),
        (("source: clinic", "source: [clinic"), "not sound YAML"),
        (("mrn, person: mrn}\n  drugs", "mrn, person: mrn, key: mrn}\n  drugs"), "not sound YAML"),
        (("drug_exposure.quantity: n", "drug_exposure.shoes: n"), "does not have"),
        (("drug_exposure.quantity: n", "person.quantity: n"), "does not have"),
        (("drug_exposure.quantity: n", "shoes: n"), "does not have"),
        (("drug_exposure.quantity: n", "person_id: n"), "numbered by itself"),
        (("end: {date: day, form: day}, ", ""), "without `drug_exposure_end_date`"),
        (("start: {date: day, form: day}", "start: day"), "says no form"),
        (("type: 32817", "type: abc\n"), None),
        (("gender_concept_id: {values: {M: 8507, no: 8532}, of: sex}", "gender_concept_id: {constant: x}"), "is no BIGINT"),  # noqa: E501
        (("gender_concept_id: {values", "gender_source_value: {concept: {code: a, vocabulary: b}}\n      gender_concept_id: {values"), "holds no concept"),  # noqa: E501
        (("drug_exposure.quantity: n", "sig: {year: day, form: day}"), "cannot hold a year"),
        (("key: mrn, person: mrn}\n  drugs", "person: mrn}\n  drugs"), "from a file with a `key`"),
        (("drugs.csv, person: mrn", "drugs.csv"), "from a file that names none"),
        (("drug_exposure.quantity: n", "visit: {id: visit_occurrence, of: v}"), "exactly one rule with `to: visit_occurrence`"),  # noqa: E501
    ],
)  # fmt: skip
def test_a_fault_is_refused_with_its_place(change: tuple[str, str], words: str | None) -> None:
    if words is not None:
        refused(change, words)


def test_rules_that_name_each_other_in_a_circle() -> None:
    rules = (
        "  sites: {file: a, to: care_site, decided: {by: A, day: 2026-01-01}, fields: {location_id: {id: location, of: x}}}\n"  # noqa: E501
        "  places: {file: b, to: location, decided: {by: A, day: 2026-01-01}, fields: {latitude: y, longitude: z}}\n"
    )
    files = "  a: {path: a.csv, key: k}\n  b: {path: b.csv, key: k}\n"
    plan = PLAN.replace("rules:\n", files + "rules:\n" + rules)
    order = [part.table for part in compile_plan(Plan.from_yaml(plan)).parts]
    assert order.index("location") < order.index("care_site")
    circular = plan.replace(
        "{latitude: y, longitude: z}", "{country_concept_id: 0, latitude: y, location_source_value: z}"
    )
    compile_plan(Plan.from_yaml(circular))
    detail = (
        "  visits: {file: a, to: visit_occurrence, decided: {by: A, day: 2026-01-01}, fields: {preceding_visit_occurrence_id: "  # noqa: E501
        "{id: visit_detail, of: x}, start: {date: d, form: day}, end: {date: d, form: day}}}\n"
        "  details: {file: b, to: visit_detail, decided: {by: A, day: 2026-01-01}, fields: {visit: {id: visit_occurrence, of: x}, "  # noqa: E501
        "start: {date: d, form: day}, end: {date: d, form: day}}}\n"
    )
    ring = PLAN.replace("rules:\n", files.replace("key: k", "key: k, person: p") + "rules:\n" + detail)
    with pytest.raises(HarmonisationError, match="in a circle"):
        compile_plan(Plan.from_yaml(ring))


def test_the_same_plan_is_the_same_text_and_hash_whatever_its_layout() -> None:
    plan, other = (
        Plan.from_yaml(PLAN),
        Plan.from_yaml("# a remark\n" + PLAN.replace("{by: Ada, day: 2026-02-01}", "{day: 2026-02-01, by: Ada}")),
    )
    assert plan.digest() == other.digest()
    assert compile_plan(plan).text() == compile_plan(other).text()
    assert plan.digest() != Plan.from_yaml(PLAN.replace("8507", "8521")).digest()


def test_keys_are_texts_whatever_yaml_makes_of_them() -> None:
    assert Plan.from_yaml(PLAN).rules["person"].fields["gender_concept_id"].values == {"M": 8507, "no": 8532}


def test_the_sql_holds_no_path_and_no_key() -> None:
    text = compile_plan(Plan.from_yaml(PLAN)).text()
    assert ".csv" not in text and "getvariable" not in text and "keyed_id('clinic|person|' || r.\"mrn\")" in text


def test_numbers_of_rules_are_apart() -> None:
    first, second = (row_number_base("clinic", rule, "drug_exposure") for rule in ("a", "b"))
    assert first != second and first % 2**40 == 0 and first < 2**63
    with pytest.raises(HarmonisationError, match="alike by chance"):
        demand_apart([first, first])


MEASURED = (
    ("tables: [drug_exposure]", 'tables: [measurement]\n    result: {value: n, unit: u, decimal: "."}'),
    ("otherwise: drug_exposure", "otherwise: measurement"),
    (", end: {date: day, form: day}, type: 32817, drug_exposure.quantity: n", ", type: 32817"),
)


def test_rows_kept_aside_are_not_read_for_results_unless_a_check_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLAN
    for change in MEASURED:
        plan = plan.replace(*change)
    part = next(part for part in compile_plan(Plan.from_yaml(plan)).parts if part.table == "measurement")
    assert "units_drugs" in part.rows and "result_number" in part.rows
    assert "units_drugs" not in part.aside and "result_number" not in part.aside
    monkeypatch.setattr(rows, "NOT_BELOW_ZERO", ("value_as_number",))
    part = next(part for part in compile_plan(Plan.from_yaml(plan)).parts if part.table == "measurement")
    assert "units_drugs" in part.aside and '"value_as_number" < 0' in part.aside


def test_names_that_would_mean_two_things() -> None:
    refused(("  drugs:\n    file: drugs\n", "  derived:\n    file: drugs\n"), "cannot be called `derived`")
    again = PLAN[PLAN.index("  drugs:\n    file: drugs") :].replace("  drugs:", "  person_race_concept_id:")
    plan = PLAN.replace("    fields:\n", "    fields:\n      race_concept_id: {concept: {code: a, vocabulary: b}}\n", 1)
    with pytest.raises(HarmonisationError, match="would be called `codes_person_race_concept_id`"):
        compile_plan(Plan.from_yaml(plan + again))
