"""Which table a file of an export is likely to fill, by its name, its codes, its columns and who refers to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.omop.suggesting_names import likeness
from sojourn.omop.suggestion import Evidence, Link, Suggestion, weighed

# What people call files, by the table that their rows become.
_NAMES = {
    "person": "patient patients person persons demographics subjects members pazienti pacientes patienten",
    "visit_occurrence": "encounter encounters visit visits admission admissions stay stays hospitalization contacts",
    "condition_occurrence": "condition conditions diagnosis diagnoses dx problem problems diagnosen",
    "drug_exposure": "medication medications drug drugs prescription prescriptions immunization immunizations "
    "vaccination vaccinations dispensing pharmacy",
    "procedure_occurrence": "procedure procedures surgery surgeries operation operations interventions",
    "measurement": "measurement measurements lab labs laboratory vitals results tests",
    "device_exposure": "device devices implants supplies",
    "observation": "observation observations allergies survey history",
    "death": "death deaths deceased mortality",
    "specimen": "specimen specimens samples",
    "provider": "provider providers physicians practitioners staff",
    "care_site": "organization organizations hospital hospitals department departments ward wards",
    "location": "location locations address addresses",
    "payer_plan_period": "payer payers insurance coverage",
    "cost": "cost costs claim claims billing",
}
DRAFTED = tuple(_NAMES)[:10]  # tables whose rules are drafted
BY_CODE = ("condition_occurrence", "drug_exposure", "procedure_occurrence", "measurement", "device_exposure",
           "observation", "specimen")  # fmt: skip
_CODES = {
    "RxNorm": "drug_exposure",
    "NDC": "drug_exposure",
    "ATC": "drug_exposure",
    "CVX": "drug_exposure",
    "LOINC": "measurement",
    "ICD9CM": "condition_occurrence",
    "ICD10": "condition_occurrence",
    "ICD11": "condition_occurrence",
}
_BIRTH = ("birth date", "date of birth", "dob", "birth", "born", "year of birth")
_NAME, _CODE, _BORN, _STAY, _VALUES = 0.8, 0.5, 0.7, 0.4, 0.4


def likely_table(table: Mapping[str, Any], links: Sequence[Link]) -> Suggestion:
    """The table that a file's rows become; `role` is empty where nothing speaks for any."""
    found: dict[str, list[Evidence]] = {}
    for target, named in _NAMES.items():
        like, word = likeness(table["table"], named.split())
        if like:
            found.setdefault(target, []).append(Evidence(_NAME * like, f"its name is like `{word}`"))
    columns = table["columns"]
    for system in {guess["system"] for column in columns for guess in column.get("codes", [])[:1]}:
        if system in _CODES:
            found.setdefault(_CODES[system], []).append(Evidence(_CODE, f"it has codes of {system}"))
    born = next((column["name"] for column in columns if likeness(column["name"], _BIRTH)[0]), "")
    nearly = any("nearly a key" in column for column in columns)
    if born and (table["keys"] or nearly):
        each = "each row is another one" if table["keys"] else "nearly each row is another one"
        found.setdefault("person", []).append(Evidence(_BORN, f"{each}, with a birth (`{born}`)"))
    if any(column["type"] in ("number", "results") for column in columns) and any("units" in each for each in columns):
        found.setdefault("measurement", []).append(Evidence(_VALUES, "it has values with units"))
    days = sum(column["type"] in ("date", "date and time") for column in columns)
    if not born and days >= 2 and any(link.to_file == table["table"] for link in links):
        found.setdefault("visit_occurrence", []).append(
            Evidence(_STAY, "its rows have two dates, and other files refer to them")
        )
    return weighed(found)
