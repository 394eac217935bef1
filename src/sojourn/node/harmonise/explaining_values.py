"""Why one row's field is empty or 0, and whether its result was converted: fixed words and units, never a value."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sojourn.omop.plan import Result, Rule
from sojourn.omop.reasons import EMPTY_OR_ZERO
from sojourn.omop.results import differ
from sojourn.omop.rows import Part
from sojourn.omop.tables import EVENTS
from sojourn.omop.units import Conversion, conversion
from sojourn.omop.units_spelling import readings, ucum
from sojourn.omop.values import Value, read

KEPT = ("value_source_value", "unit_source_value")  # what a row keeps of its result as it came
_OF_RESULT = ("value_as_number", "operator_concept_id", "unit_concept_id", "value_as_string")
_BY_FILLING: Mapping[str, str] = MappingProxyType(
    {
        "constant": "so planned", "expression": "expression without a value", "values": "listed so",
        "concept": "other code", "id": "no such row",
    }
)  # fmt: skip


def of_result(part: Part, rule: Rule, field: str) -> bool:
    """Whether the rule's result gives the field, and the row keeps what it was read of."""
    return rule.result is not None and field in _OF_RESULT and not {field, *KEPT} & set(part.filled)


def why_not_filled(part: Part, rule: Rule, field: str) -> str:
    """A reason (`reasons.EMPTY_OR_ZERO`) that the plan alone gives; empty where there is none."""
    roles = EVENTS[part.table].roles if part.table in EVENTS else {}
    role = next((word for word, column in roles.items() if column == field), "")
    filling = part.filled.get(field)
    if filling is not None:
        return _BY_FILLING.get(filling.kind, "empty there")
    if rule.coded and role in ("source_concept", "value_concept", "source_value"):
        return f"no {role.replace('_', ' ')}"
    return "" if field in part.filled else "not filled"


def why_no_result(result: Result, field: str, value: str | None, unit: str | None) -> str:
    """Why that field of a row is empty or 0. value, unit: as they came; no part of them is given back."""
    found = read(value or "", result.decimal)
    two = differ(found.unit or "", unit or "")
    if field == "unit_concept_id":
        return _why_no_unit(unit or "", two)
    if not (value or "").strip():
        return "no value"
    if two:
        return "two units"
    if field == "value_as_string":
        return "not a text"
    return _why_no_number(found, result)


def _why_no_number(found: Value, result: Result) -> str:
    if found.low is not None:
        return "a range"
    other = read(found.original, "," if result.decimal == "." else ".")
    return "other decimal sign" if other.number is not None else "no number"


def _why_no_unit(unit: str, two: bool) -> str:
    if two:
        return "two units"
    if not unit:
        return "no unit"
    if readings(unit):
        return "ambiguous unit"
    return "unknown unit" if ucum(unit) is None else "no unit concept"


def converted(result: Result, code: str | None, unit: str | None) -> dict[str, str] | None:
    """From which unit to which a row's number was converted, by which rule; `reason` where it could not be."""
    target = result.units.get(code or "", "")
    if not target:
        return None
    found = conversion(unit or "", target, code or "")
    if isinstance(found, str):
        return {"from": "", "to": target, "rule": "", "reason": found if unit else "no unit"}
    if (found.factor, found.offset) == (1.0, 0.0):
        return None
    return _known(found, unit or "", target)


def _known(found: Conversion, unit: str, target: str) -> dict[str, str]:
    return {"from": ucum(unit) or "", "to": target, "rule": found.rule, "reason": ""}


def reason_words(found: Mapping[str, Any]) -> str:
    """A reason for people, with a blank before it."""
    return f" {EMPTY_OR_ZERO[found['reason']]}" if found["reason"] in EMPTY_OR_ZERO else ""


def conversion_words(found: dict[str, str]) -> str:
    """What became of a result's unit, for people."""
    if found["reason"]:
        return f"Its number was not converted to {found['to']}: {found['reason']}. It stands in its own unit."
    return f"Its number was converted from {found['from']} to {found['to']} ({found['rule']})."
