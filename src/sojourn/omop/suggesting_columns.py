"""What a column is likely to be for the table that its file fills: by its name, type, codes, values and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sojourn.omop.suggesting_files import BY_CODE
from sojourn.omop.suggesting_names import likeness
from sojourn.omop.suggesting_values import meaning, vocabulary
from sojourn.omop.suggestion import LEAST, Evidence, Link, Suggestion, joined, said

# What people call columns, by what they are for.
_NAMES = {
    "row": ("id", "row id", "key", "record id"),
    "person": ("patient", "patient id", "person", "person id", "subject", "subject id", "mrn", "pid", "paziente",
               "paciente", "patienten id"),
    "visit": ("encounter", "encounter id", "visit", "visit id", "stay", "stay id", "admission", "admission id",
              "hadm id", "case id", "fall id"),
    "birth": ("birth date", "birthdate", "date of birth", "dob", "birthday", "birth", "born"),
    "death": ("death date", "deathdate", "date of death", "dod", "death", "died", "deceased"),
    "gender": ("gender", "sex", "geschlecht", "sesso", "sexo", "sexe"),
    "race": ("race",),
    "ethnicity": ("ethnicity", "ethnic group"),
    "start": ("start", "start date", "start time", "begin", "from", "date", "day", "onset", "admitted",
              "admission date", "admit time", "ordered", "chart time", "taken", "performed", "datum", "fecha"),
    "end": ("stop", "stop date", "stop time", "end", "end date", "end time", "until", "to", "discharged",
            "discharge date", "discharge time", "disch time", "resolved"),
    "kind": ("encounter class", "class", "visit type", "kind", "admission type", "patient class"),
    "code": ("code", "icd code", "diagnosis code", "concept code", "item code", "drug code"),
    "medicine": ("drug", "drug name", "drug text", "medicine", "medicine name", "medication", "medication name",
                 "product", "product name", "preparation", "medikament", "farmaco", "medicamento"),
    "vocabulary": ("system", "code system", "vocabulary", "coding system", "icd version"),
    "value": ("value", "result", "result value", "numeric value", "value num", "wert"),
    "unit": ("unit", "units", "uom", "value uom", "einheit"),
}  # fmt: skip
_OF_PERSONS = ("row", "birth", "death", "gender", "race", "ethnicity")
_OF_EVENTS = ("row", "person", "visit", "start", "end")
_VALUES = ("value", "unit")
_MORE = {"measurement": _VALUES, "observation": _VALUES, "drug_exposure": ("medicine",)}
_DATES = ("birth", "death", "start", "end")
_REFERRED_TO = {"person", "visit_occurrence"}
_VALUED = ("gender", "race", "ethnicity", "kind")
_NAME, _DATE, _ONLY, _KEY, _REFERRED, _LINK, _NUMBERS = 0.75, 0.3, 0.55, 0.35, 0.6, 0.85, 0.35
_VALUE, _SYSTEM, _TYPE, _NEARLY = 0.8, 0.85, 0.5, 0.32
_NEAR = "nearly a key"
_CODED = {"high": 0.7, "medium": 0.55, "low": 0.35}


def roles_of(target: str) -> tuple[str, ...]:
    """What columns of a file can be, that fills this table."""
    if target == "person":
        return _OF_PERSONS
    if target == "visit_occurrence":
        return (*tuple(role for role in _OF_EVENTS if role != "visit"), "kind")
    if target == "death":
        return ("row", "person", "death")
    return (*_OF_EVENTS, "code", "vocabulary", *_MORE.get(target, ())) if target in BY_CODE else ()


def likely_columns(
    table: Mapping[str, Any], target: str, links: Sequence[Link], targets: Mapping[str, str]
) -> dict[str, Suggestion]:
    """A suggestion for each column of a file; a role goes to the column that most speaks for, and to no other.

    targets: by file, the table that it is likely to fill.
    """
    cases = []
    for place, column in enumerate(table["columns"]):
        for role in roles_of(target):
            evidence = _evidence(role, column, table, links, targets)
            if evidence and joined(evidence) >= LEAST:
                cases.append((-joined(evidence), place, role, evidence))
    found: dict[str, Suggestion] = {}
    taken: dict[str, str] = {}
    for _, place, role, evidence in sorted(cases, key=lambda case: case[:2]):
        name = table["columns"][place]["name"]
        if name not in found and role not in taken:
            found[name], taken[role] = said(role, evidence), name
    for column in table["columns"]:
        lost = [taken[role] for _, place, role, _ in cases if table["columns"][place] is column and role in taken]
        why = f"`{lost[0]}` is likelier" if lost else "nothing speaks for one"
        found.setdefault(column["name"], Suggestion("", 0.0, why))
    return found


def _evidence(
    role: str, column: Mapping[str, Any], table: Mapping[str, Any], links: Sequence[Link], targets: Mapping[str, str]
) -> list[Evidence]:
    kind, dated = column["type"], column["type"] in ("date", "date and time")
    if kind == "empty" or (role in _DATES) != dated:
        return []
    found = []
    like, word = likeness(column["name"], _NAMES[role])
    if like:
        found.append(Evidence(_NAME * like, f"the name is like `{word}`"))
    if dated:
        found += _dated(role, table, bool(found))
    elif role == "row":
        return _row(column, table, links, targets, found)
    elif role in ("person", "visit"):
        found += _linked("person" if role == "person" else "visit_occurrence", column, table, links, targets)
    elif role in _VALUED:
        return _valued(role, column, found)
    elif role == "vocabulary":
        return _systems(column, found)
    elif role == "code":
        found = [*found, *_coded(column)] if column.get("codes") else []
    elif role == "medicine":
        found = [*found, Evidence(_TYPE, "no column has codes")] if found and _only_named(kind, table) else []
    elif role == "value":
        found = (
            [*found, Evidence(_TYPE, f"its values are {kind.removesuffix('s')}s")]
            if kind in ("number", "results")
            else []
        )
    elif role == "unit":
        found = [*found, Evidence(_TYPE, column["units"]["reason"])] if "units" in column else []
    return found


def _dated(role: str, table: Mapping[str, Any], named: bool) -> list[Evidence]:
    only = sum(each["type"] in ("date", "date and time") for each in table["columns"]) == 1
    if role == "start" and only:
        return [Evidence(_ONLY, "it is the file's only date")]
    return [Evidence(_DATE, "its values are dates")] if named else []


def _row(
    column: Mapping[str, Any],
    table: Mapping[str, Any],
    links: Sequence[Link],
    targets: Mapping[str, str],
    named: list[Evidence],
) -> list[Evidence]:
    """Small numbers are among any numbers: for them a link counts only between columns of one name."""
    own, name = table["table"], column["name"]
    to = {targets.get(link.to_file) for link in links if (link.file, link.column) == (own, name)}
    kept = targets.get(own) in _REFERRED_TO
    if not ("key" in column or (kept and "nearly a key" in column)) or (not kept and to & _REFERRED_TO):
        return []  # a person or visit with one row here is no row
    if kept:
        like, word = likeness(name, _NAMES["visit" if targets[own] == "visit_occurrence" else "person"])
        named = [*named, Evidence(_NAME * like, f"the name is like `{word}`")] if like and not named else named
    key = Evidence(_KEY, column["key"]) if "key" in column else Evidence(_NEARLY, f"nearly a key: {column[_NEAR]}")
    found = [*named, key]
    near = [link for link in links if (link.to_file, link.to_column) == (own, name)]
    by = sorted({link.file for link in near if not link.numbers or link.column.casefold() == name.casefold()})
    return [*found, Evidence(_REFERRED, f"{', '.join(by)} refer to it")] if by else found


def _linked(
    target: str,
    column: Mapping[str, Any],
    table: Mapping[str, Any],
    links: Sequence[Link],
    targets: Mapping[str, str],
) -> list[Evidence]:
    own = (table["table"], column["name"])
    to = [link for link in links if (link.file, link.column) == own and targets.get(link.to_file) == target]
    if not to:
        return []
    best = max(to, key=lambda link: link.share)
    weight = (_NUMBERS if best.numbers else _LINK) * best.share
    words = f"{best.share:.0%} of {best.sample} values looked at are in `{best.to_column}` of {best.to_file}"
    return [Evidence(weight, words)]


def _valued(role: str, column: Mapping[str, Any], named: list[Evidence]) -> list[Evidence]:
    levels = column.get("values", {}).get("frequent", {})
    known = [value for value in levels if meaning(role, value) is not None]
    if not known:
        return named
    share = len(known) / len(levels)
    return [*named, Evidence(_VALUE * share, f"{len(known)} of {len(levels)} frequent values are known ones")]


def _systems(column: Mapping[str, Any], named: list[Evidence]) -> list[Evidence]:
    levels = column.get("values", {}).get("frequent", {})
    known = [value for value in levels if vocabulary(value) is not None]
    if len(known) < max(1, 0.5 * len(levels)):
        return []
    return [*named, Evidence(_SYSTEM * len(known) / len(levels), "its values are names of code systems")]


def _only_named(kind: str, table: Mapping[str, Any]) -> bool:
    """Whether a column of texts names what no code of the file does."""
    return kind in ("text", "free text") and not any(column.get("codes") for column in table["columns"])


def _coded(column: Mapping[str, Any]) -> list[Evidence]:
    guess = column["codes"][0]
    return [Evidence(_CODED[guess["confidence"]], f"codes of {guess['system']}: {guess['reason']}")]
