"""Rules from what files and columns are likely to be; every constant that nobody told is an open question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sojourn.omop.open_places import OPEN
from sojourn.omop.plan import DOMAIN
from sojourn.omop.suggesting_dates import Forms
from sojourn.omop.suggesting_files import BY_CODE
from sojourn.omop.suggesting_likely import Likely
from sojourn.omop.suggesting_names import slug
from sojourn.omop.suggesting_values import meaning, vocabulary
from sojourn.omop.suggestion import Suggestion
from sojourn.omop.tables import BY_DOMAIN, EVENTS, TABLES

_NATIONAL = ("ICD10", "ICD9CM", "ICD11")  # by their form alone nobody knows whose edition they are


@dataclass(frozen=True)
class Rule:
    """A drafted rule. words: all but its fields. columns: the suggestions that it is made of."""

    name: str
    table: Suggestion
    columns: Mapping[str, Suggestion]
    words: Mapping[str, Any]
    fields: Mapping[str, Any]
    others: Mapping[str, int] = field(default_factory=dict)  # values that a profile does not show, by column


def rules_of(likely: Likely, used: Sequence[Likely], forms: Forms) -> list[Rule]:
    """The rules of one file; of a file of persons also one for their deaths."""
    role = likely.table.role
    if role == "person":
        return [_persons(likely, forms), *_deaths(likely, forms)]
    if role == "death":
        return _deaths(likely, forms)
    return [_events(likely, used, forms)]


def _persons(likely: Likely, forms: Forms) -> Rule:
    fields: dict[str, Any] = {}
    for role in ("gender", "race", "ethnicity"):
        if column := likely.column(role):
            fields[f"{role}_concept_id"] = _values(role, likely.of(column))
            fields[f"{role}_source_value"] = column
    if born := likely.column("birth"):
        form = forms.of(likely.name, likely.of(born))
        parts = {"year_of_birth": "year", "month_of_birth": "month", "day_of_birth": "day", "birth_datetime": "date"}
        fields |= {field: {part: born, "form": form} for field, part in parts.items()}
    else:
        fields["year_of_birth"] = OPEN
    fields["person_source_value"] = {"pseudonym": likely.column("row")}
    columns = {name: each for name, each in likely.columns.items() if each.role != "death"}
    return Rule("person", likely.table, columns, _words(likely, "person"), fields, _others(likely))


def _deaths(likely: Likely, forms: Forms) -> list[Rule]:
    died = likely.column("death")
    if not died:
        return []
    fields = {"start": {"date": died, "form": forms.of(likely.name, likely.of(died))}, "type": OPEN}
    words = {**_words(likely, "death"), "where": f'"{died}" IS NOT NULL'}
    own = likely.columns if likely.table.role == "death" else {died: likely.columns[died]}
    table = Suggestion("death", likely.columns[died].confidence, f"`{died}` says when a person died")
    return [Rule("death", table, own, words, fields)]


def _events(likely: Likely, used: Sequence[Likely], forms: Forms) -> Rule:
    role, words = likely.table.role, _words(likely, likely.table.role)
    fields: dict[str, Any] = {}
    if role in BY_CODE and likely.column("code"):
        words |= {"to": DOMAIN, "otherwise": role, **_tables(likely, role), "concept": _concept(likely)}
    elif role == "drug_exposure" and likely.column("medicine"):
        words |= {"medicine": {"name": likely.column("medicine")}}
    if role == "visit_occurrence":
        kind = likely.column("kind")
        fields["visit_concept_id"] = _values("kind", likely.of(kind)) if kind else OPEN
    fields |= _times(likely, role, forms)
    visits = next((each for each in used if each.table.role == "visit_occurrence" and each.column("row")), None)
    if visits and likely.column("visit"):
        fields["visit"] = {"id": "visit_occurrence", "of": likely.column("visit")}
    fields["type"] = OPEN
    if likely.column("value"):
        unit = likely.column("unit")
        words["result"] = {"value": likely.column("value"), "decimal": OPEN, **({"unit": unit} if unit else {})}
    return Rule(likely.name, likely.table, likely.columns, words, fields, _others(likely))


def _times(likely: Likely, role: str, forms: Forms) -> dict[str, Any]:
    """Start and end; where the model requires an end and a row has none, it is its start."""
    start, end = likely.column("start"), likely.column("end")
    if not start:
        return {"start": OPEN}
    fields: dict[str, Any] = {"start": {"date": start, "form": forms.of(likely.name, likely.of(start))}}
    required = _ends(role)
    if end and (required or role in ("condition_occurrence", "procedure_occurrence", "device_exposure")):
        form = forms.of(likely.name, likely.of(end))
        same = form == fields["start"]["form"]
        fields["end"] = {"date": [end, start] if required and same else end, "form": form}
    elif required:
        fields["end"] = dict(fields["start"])
    return fields


def _tables(likely: Likely, role: str) -> dict[str, Any]:
    """Without an end, the domain picks no table that requires one, but the one that the file is likely to fill."""
    if likely.column("end"):
        return {}
    return {"tables": [table for table in BY_DOMAIN.values() if table == role or not _ends(table)]}


def _ends(table: str) -> bool:
    column = TABLES[table].column(f"{EVENTS[table].end}_date") if EVENTS[table].end else None
    return column is not None and column.required


def _concept(likely: Likely) -> dict[str, Any]:
    code, by = likely.column("code"), likely.column("vocabulary")
    if by:
        levels = likely.of(by).get("values", {}).get("frequent", {})
        return {"code": code, "vocabulary": {"of": by, "names": {level: vocabulary(level) or OPEN for level in levels}}}
    systems = [guess["system"] for guess in likely.of(code)["codes"]]
    sure = len(systems) == 1 and systems[0] not in (*_NATIONAL, "local")
    return {"code": code, "vocabulary": systems[0] if sure else OPEN}


def _values(role: str, column: Mapping[str, Any]) -> dict[str, Any]:
    levels = column.get("values", {}).get("frequent", {})
    known = {value: meaning(role, value) for value in levels}
    return {"values": {value: OPEN if is_ is None else is_ for value, is_ in known.items()} or OPEN,
            "of": column["name"]}  # fmt: skip


def _others(likely: Likely) -> dict[str, int]:
    return {each["name"]: each["values"]["others"] for each in likely.profile["columns"] if "values" in each}


def _words(likely: Likely, to: str) -> dict[str, Any]:
    return {"file": slug(likely.name), "to": to}
