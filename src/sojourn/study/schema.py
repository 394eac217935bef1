"""The JSON Schema of a plan's document, made from the code that reads it."""

from __future__ import annotations

from typing import Any

from sojourn.analysis.declaration import LONGEST_LABEL
from sojourn.analysis.variable import AREAS, SITE, Kind
from sojourn.cohort.where import MOST_CHARACTERS
from sojourn.disclosure import change as changes
from sojourn.statistics import catalogue
from sojourn.study import plan as plans
from sojourn.study.purpose import WORDS


def plan_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a plan's form; formulas and `where` are read by `Plan.from_dict`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Sojourn plan",
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": plans.LONGEST_TITLE},
            "purpose": {"enum": ["", *WORDS]},
            "table": {"type": "string", "pattern": f"^{plans.TABLE.pattern}$"},
            "where": {"type": "string", "maxLength": MOST_CHARACTERS},
            "variables": _variables(),
            "analyses": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": plans.MOST_ANALYSES,
                "propertyNames": {"pattern": f"^{plans.ANALYSIS.pattern}$"},
                "additionalProperties": {"oneOf": [_analysis(kind) for kind in sorted(catalogue.NAMES)]},
            },
            "min_sites": {"type": "integer", "minimum": 1, "maximum": plans.MOST_SITES},
            "stragglers": {
                "oneOf": [
                    {"enum": list(plans.STRAGGLERS)},
                    {"type": "integer", "minimum": 1, "maximum": plans.LONGEST_WAIT},
                ]
            },
            "missing": {"enum": list(plans.MISSING)},
            "aggregation": {"enum": list(plans.AGGREGATION)},
            "expected": {"type": "integer", "minimum": 1, "maximum": plans.MOST_EXPECTED},
            "mitigation": {"type": "array", "items": changes.schema(), "maxItems": changes.MOST_CHANGES},
        },
        "required": ["table", "analyses"],
        "additionalProperties": False,
    }


def _analysis(kind: str) -> dict[str, Any]:
    """`{kind: arguments}`; null stands for no arguments."""
    arguments = catalogue.schemas()[kind]
    if not arguments.get("required"):
        arguments = {"anyOf": [arguments, {"type": "null"}]}
    return {"type": "object", "properties": {kind: arguments}, "required": [kind], "additionalProperties": False}


def _variables() -> dict[str, Any]:
    """Column names and their declarations."""
    labels = {
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": LONGEST_LABEL},
        "uniqueItems": True,
    }
    parts = {**labels, "minItems": 2}
    merge = {"type": "object", "propertyNames": labels["items"], "additionalProperties": parts}
    words: dict[Kind, dict[str, Any]] = {
        Kind.NUMBER: {
            "low": {"type": ["number", "null"]},
            "high": {"type": ["number", "null"]},
            "unit": {"type": "string", "maxLength": LONGEST_LABEL},
        },
        Kind.BOOLEAN: {},
        Kind.CATEGORY: {
            "levels": labels,
            "harmless": labels,
            "sensitive": labels,
            "never": {"type": "array", "items": {**labels, "uniqueItems": False, "minItems": 3, "maxItems": 3}},
            "area": {"enum": list(AREAS)},
            "merge": merge,
            "populations": {"type": "array", "items": {"type": "integer", "minimum": 0}},
        },
    }
    return {
        "type": "object",
        "maxProperties": plans.MOST_VARIABLES,
        "propertyNames": {"minLength": 1, "maxLength": plans.LONGEST_NAME, "not": {"const": SITE}},
        "additionalProperties": {
            "oneOf": [
                {
                    "type": "object",
                    "properties": {"kind": {"const": kind.value}, **own},
                    "required": ["kind"],
                    "additionalProperties": False,
                }
                for kind, own in words.items()
            ]
        },
    }
