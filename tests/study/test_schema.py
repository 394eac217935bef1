"""The published JSON Schema of a plan and the code that reads plans agree."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from sojourn.errors import PlanError
from sojourn.study.plan import Plan
from sojourn.study.schema import plan_schema

SMALLEST: dict[str, Any] = {"table": "patients", "analyses": {"n": {"count": {}}}}
VALID: list[dict[str, Any]] = [
    {},
    {"title": "Age", "purpose": "HMB", "where": "age > 18"},
    {"purpose": "DUO:0000006"},
    {"analyses": {"n": {"count": None}}},
    {"analyses": {"n": {"count": {"by": "sex"}}, "t": {"describe": {"columns": ["age"], "by": ["sex"]}}}},
    {"analyses": {"m": {"glm": {"formula": "ill ~ age", "family": "binomial"}}}},
    {"analyses": {"h": {"histogram": {"column": "age", "edges": [0, 50, 100]}}}},
    {"variables": {"age": {"kind": "number", "low": 0, "high": None, "unit": "years"}}},
    {"variables": {"sex": {"kind": "category", "levels": ["F", "M"], "harmless": ["F"], "sensitive": ["M"]}}},
    {"variables": {"ill": {"kind": "boolean"}}},
    {"min_sites": 5, "stragglers": 60, "missing": "by analysis", "aggregation": "masked"},
    {"stragglers": "abort"},
    {"variables": {"sex": {"kind": "category", "levels": ["F", "M", "X"], "merge": {"other": ["M", "X"]}}}},
    {"variables": {"sex": {"kind": "category", "merge": {"other": ["M", "X"]}}}},
    {"mitigation": [{"drop": "sex"}, {"merge": ["M", "X"], "of": "sex", "into": "other"}, {"edges": [0, 1.5]}]},
    {"mitigation": [{"leave_out": ["age"]}, {"sites": ["x"]}]},
]
INVALID: list[dict[str, Any]] = [
    {"cohort": {}},
    {"tabel": "patients"},
    {"table": "a table"},
    {"table": 3},
    {"title": "x" * 201},
    {"purpose": "profit"},
    {"where": 3},
    {"variables": {"age": {"kind": "integer"}}},
    {"variables": {"age": {}}},
    {"variables": {"age": {"kind": "number", "levels": ["a"]}}},
    {"variables": {"age": {"kind": "number", "lowest": 1}}},
    {"variables": {"sex": {"kind": "category", "low": 1}}},
    {"variables": {"sex": {"kind": "category", "levels": ["F", "F"]}}},
    {"variables": {"site": {"kind": "boolean"}}},
    {"variables": []},
    {"analyses": {}},
    {"analyses": {"N": {"count": {}}}},
    {"analyses": {"n": {"cuont": {}}}},
    {"analyses": {"n": {"count": {}, "glm": {"formula": "a ~ b"}}}},
    {"analyses": {"n": {"count": {"buy": "sex"}}}},
    {"analyses": {"n": "count"}},
    {"analyses": {"m": {"glm": None}}},
    {"analyses": {"m": {"glm": {"formula": 3}}}},
    {"min_sites": 0},
    {"min_sites": "3"},
    {"stragglers": "never"},
    {"stragglers": 0},
    {"missing": "drop"},
    {"aggregation": "open"},
    {"variables": {"sex": {"kind": "category", "levels": ["F", "M"], "merge": {"other": ["M"]}}}},
    {"variables": {"sex": {"kind": "boolean", "merge": {"other": ["M", "X"]}}}},
    {"mitigation": "dropped"},
    {"mitigation": [{"dropped": "sex"}]},
    {"mitigation": [{"drop": "sex", "into": "x"}]},
    {"mitigation": [{"drop": "sex"}] * 21},
]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(plan_schema())


def test_it_is_a_schema(schema: Draft202012Validator) -> None:
    Draft202012Validator.check_schema(schema.schema)


@pytest.mark.parametrize("change", VALID, ids=str)
def test_both_accept(change: dict[str, Any], schema: Draft202012Validator) -> None:
    document = {**SMALLEST, **change}
    schema.validate(document)
    schema.validate(Plan.from_dict(document).to_dict())


@pytest.mark.parametrize("change", INVALID, ids=lambda change: str(change)[:60])
def test_both_refuse(change: dict[str, Any], schema: Draft202012Validator) -> None:
    document = {**SMALLEST, **change}
    assert not schema.is_valid(document)
    with pytest.raises(PlanError):
        Plan.from_dict(document)


@pytest.mark.parametrize("word", ["table", "analyses"])
def test_both_demand(word: str, schema: Draft202012Validator) -> None:
    document = {key: value for key, value in SMALLEST.items() if key != word}
    assert not schema.is_valid(document)
    with pytest.raises(PlanError):
        Plan.from_dict(document)
