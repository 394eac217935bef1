"""The ids of concepts that a plan itself names, each with the domain that its column wants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sojourn.omop.plan import Filling, Plan
from sojourn.omop.rows import Part

# Source: OHDSI CommonDataModel v5.4, "fk domain" of the field level. An observation may have any domain.
DOMAINS: Mapping[str, str] = MappingProxyType(
    {
        "gender_concept_id": "Gender",
        "race_concept_id": "Race",
        "ethnicity_concept_id": "Ethnicity",
        "visit_concept_id": "Visit",
        "visit_detail_concept_id": "Visit",
        "condition_concept_id": "Condition",
        "condition_status_concept_id": "Condition Status",
        "drug_concept_id": "Drug",
        "route_concept_id": "Route",
        "procedure_concept_id": "Procedure",
        "device_concept_id": "Device",
        "measurement_concept_id": "Measurement",
        "specimen_concept_id": "Specimen",
        "unit_concept_id": "Unit",
    }
)
TYPES = "Type Concept"


@dataclass(frozen=True)
class Named:
    """rule, column: where the plan names it. domain: what the column wants, or empty. source: of a source column."""

    rule: str
    column: str
    concept: int
    domain: str
    source: bool


def named(plan: Plan, parts: Iterable[Part]) -> list[Named]:
    """Every id but 0, once a rule and domain, in the plan's order."""
    found: dict[tuple[str, int, str, bool], Named] = {}
    for each in _all(plan, parts):
        if each.concept:
            found.setdefault((each.rule, each.concept, each.domain, each.source), each)
    return list(found.values())


def _all(plan: Plan, parts: Iterable[Part]) -> Iterator[Named]:
    for part in parts:
        for column, filling in part.filled.items():
            if filling is not None and "_concept_id" in column:
                source = "_source_concept_id" in column
                for concept in _ids(filling):
                    yield Named(part.rule, column, concept, _domain(column), source)
    if plan.observation_period:
        yield Named("observation_period", "period_type_concept_id", plan.observation_period.type, TYPES, False)


def _domain(column: str) -> str:
    return TYPES if column.endswith("_type_concept_id") else DOMAINS.get(column, "")


def _ids(filling: Filling) -> list[int]:
    given = [filling.constant, *(filling.values or {}).values(), filling.otherwise]
    return [int(each) for each in given if isinstance(each, int | float)]
