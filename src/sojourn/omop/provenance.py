"""Where each field comes from: of every rule that fills it file, columns, way and who decided; in words too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sojourn.errors import HarmonisationError
from sojourn.omop.compilation import Compiled
from sojourn.omop.expression import columns_of
from sojourn.omop.plan import DOMAIN, Code, Decided, Filling, Plan, Rule, Systems
from sojourn.omop.rows import Part
from sojourn.omop.tables import EVENTS, TABLES

_DERIVED = {
    "observation_period": "one period a person, from the first to the last day of {periods}",
    "condition_era": "conditions of one concept, joined while no more than {condition_gap} days lie between them",
    "drug_era": "exposures to one ingredient, joined while no more than {drug_gap} days lie between them",
    "dose_era": "exposures to one ingredient at one daily amount (quantity times the vocabulary's amount in a "
    "piece, by the days of supply), joined while no more than {drug_gap} days lie between them; none without an amount",
    "cdm_source": "the plan's words about the source, and the vocabulary's version",
    "metadata": "plan, software and vocabulary of the run",
}

_OF_MEDICINE = {
    "concept": "the drug that a decision names for this text, else the vocabulary's drug of that very name, else the "
    "one Clinical Drug with these ingredients, strengths and form, else each ingredient; 0 where the name is not known",
    "source_concept": "always 0: a name is no code",
    "source_value": "the texts as they stand there, joined by a blank",
}
_MEASURED = {
    "value_as_number": "the number in the value; empty where it is a text or a range",
    "operator_concept_id": "the sign before the number, e.g. < in <0.5",
    "unit_concept_id": "the UCUM unit that the unit's spelling means, 0 where it cannot be read",
    "unit_source_value": "the unit as it stands there",
    "value_source_value": "the value as it stands there",
    "value_as_string": "the value where it is a text",
}


@dataclass(frozen=True)
class Origin:
    """One way in which a field of a table is filled.

    rule: its name, or `derived`. file, columns: what is read. way: how, in words. by, day, why: the decision.
    """

    table: str
    field: str
    rule: str
    file: str
    path: str
    columns: tuple[str, ...]
    way: str
    by: str
    day: str
    why: str

    def document(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)

    def sentence(self) -> str:
        """For people."""
        if self.rule == "derived":
            return f"Derived: {self.way}."
        read = f" {', '.join(f'`{column}`' for column in self.columns)}" if self.columns else ""
        why = f" Why: {self.why.rstrip('.')}." if self.why else ""
        source = f"from{read} of {self.path}: " if read else f"for rows of {self.path}: "
        return f"Rule `{self.rule}` fills it {source}{self.way}. {self.by} decided so on {self.day}.{why}"


def origins(plan: Plan, compiled: Compiled, table: str, field: str) -> tuple[Origin, ...]:
    """Every way in which the field is filled; HarmonisationError where the model has no such field."""
    if table not in TABLES or not TABLES[table].has(field):
        raise HarmonisationError("The model has no such field.", remedy="Write TABLE.FIELD, e.g. person.year_of_birth.")
    found = [_origin(plan, part, table, field) for part in compiled.parts if part.table == table]
    if table in _DERIVED and not (table == "observation_period" and plan.observation_period is None):
        periods = plan.observation_period
        words = {
            "periods": ", ".join(periods.tables) if periods else "",
            "condition_gap": plan.eras.condition_gap,
            "drug_gap": plan.eras.drug_gap,
        }
        way = _DERIVED[table].format(**words)
        decided = periods.decided if periods and table == "observation_period" else None
        found.append(_made(table, field, "derived", None, way, decided))
    return tuple(found)


def all_origins(plan: Plan, compiled: Compiled) -> list[dict[str, Any]]:
    """Of every field of every table that is filled: the machine form, for a study's record."""
    tables = dict.fromkeys([*(part.table for part in compiled.parts if part.table), *_DERIVED])
    return [
        origin.document()
        for table in tables
        for column in TABLES[table].columns
        for origin in origins(plan, compiled, table, column.name)
    ]


def _origin(plan: Plan, part: Part, table: str, field: str) -> Origin:
    rule = plan.rules[part.rule]
    filling = part.filled.get(field)
    if filling is not None:
        decided = rule.decided.model_copy(update={"why": filling.why or rule.decided.why})
        return _made(table, field, part.rule, (plan, rule, _columns(filling)), _way(plan, filling), decided)
    roles = EVENTS[table].roles if table in EVENTS else {}
    role = next((word for word, column in roles.items() if column == field), "")
    file = plan.files[rule.file]
    columns: tuple[str, ...] = ()
    if field == TABLES[table].key:
        columns = file.key
        way = (
            "a number of 63 bits from the custodian's key, the table's name and this key"
            if file.key
            else "a number of 63 bits from the custodian's key, the rule's and the file's name and the row's place"
            if file.several
            else "a number from the rule's name and the row's place in the file"
        )
    elif field == "person_id":
        columns, way = (file.person,), "the number of the person whom it names"
    elif rule.result and field in _MEASURED:
        columns = (rule.result.value, *((rule.result.unit,) if rule.result.unit else ()))
        way = _MEASURED[field]
        if rule.result.units and field in ("value_as_number", "unit_concept_id"):
            way += "; converted to " + ", ".join(f"{unit} for {code}" for code, unit in rule.result.units.items())
    elif rule.medicine and role in _OF_MEDICINE:
        columns, way = rule.medicine.columns, _OF_MEDICINE[role]
    elif rule.concept and role in ("concept", "source_concept", "source_value", "value_concept"):
        columns, way = rule.concept.columns, _of_concept(plan, rule, role)
    else:
        column = TABLES[table].column(field)
        assert column is not None
        way = (
            "nothing fills it, so it is 0 (no matching concept)" if column.required else "nothing fills it: it is empty"
        )
    return _made(table, field, part.rule, (plan, rule, tuple(columns)), way, rule.decided)


def _made(
    table: str,
    field: str,
    name: str,
    read: tuple[Plan, Rule, tuple[str, ...]] | None,
    way: str,
    decided: Decided | None,
) -> Origin:
    by, day, why = (decided.by, decided.day.isoformat(), decided.why) if decided else ("", "", "")
    if read is None:
        return Origin(table, field, name, "", "", (), way, by, day, why)
    plan, rule, columns = read
    return Origin(table, field, name, rule.file, plan.files[rule.file].said, columns, way, by, day, why)


def _columns(filling: Filling) -> tuple[str, ...]:
    if filling.expression:
        return columns_of(filling.expression)
    if filling.concept:
        return filling.concept.columns
    named = tuple(name for name in (filling.column, filling.pseudonym) if name)
    return named + filling.of + filling.moment


def _way(plan: Plan, filling: Filling) -> str:
    kind = filling.kind
    if kind == "column":
        return "as it stands there"
    if kind == "constant":
        return f"always {filling.constant}"
    if kind == "expression":
        return f"{filling.expression}"
    if kind == "values":
        assert filling.values is not None
        listed = ", ".join(f"{key} becomes {value}" for key, value in list(filling.values.items())[:12])
        return listed + ("; any other is kept aside" if filling.otherwise == "quarantine" else "; any other 0"
                         if filling.otherwise is None else f"; any other {filling.otherwise}")  # fmt: skip
    if kind == "concept":
        assert filling.concept is not None
        first, vocabulary = _first(plan, filling.concept), _vocabulary(filling.concept)
        return f"{first}the standard concept that the code of {vocabulary} maps to"
    if kind == "id":
        return f"the number of the row of {filling.id} that it names"
    if kind == "pseudonym":
        return "a keyed pseudonym; only the custodian's key can make it again"
    forms = plan.forms_of(filling)
    first = "the first of them that is not empty, " if len(filling.moment) > 1 else ""
    clock = f", by the clock of {forms[0].zone}" if forms[0].zone else ""
    written = ", else ".join(form.form for form in forms)
    said = "; ".join(dict.fromkeys(form.answered for form in forms))
    apart = "; kept aside where two of these forms read different moments" if len(forms) > 1 else ""
    return f"{first}the {kind} written as {written}{clock} (so said {said}){apart}"


def _of_concept(plan: Plan, rule: Rule, role: str) -> str:
    assert rule.concept is not None
    vocabulary = _vocabulary(rule.concept)
    if role == "source_value":
        return "the code as it stands there"
    if role == "source_concept":
        return f"the concept of the code itself in {vocabulary}"
    if role == "value_concept":
        return f"the value that the code of {vocabulary} has by `Maps to value`"
    picks = "; the concept's domain picks the table" if rule.to == DOMAIN else ""
    first = _first(plan, rule.concept)
    return (
        f"{first}the standard concept that the code of {vocabulary} maps to (`Maps to`), 0 where there is none{picks}"
    )


def _first(plan: Plan, code: Code) -> str:
    """What comes before `Maps to`, where the plan decides of codes of that vocabulary."""
    named = code.vocabulary
    names = tuple(named.names.values()) if isinstance(named, Systems) else (named,)
    decided = len({(each.vocabulary, each.code) for each in plan.decisions if each.vocabulary in names})
    said = "one code" if decided == 1 else f"{decided} codes"
    return f"the concepts that the plan's decisions name for {said}, for others " if decided else ""


def _vocabulary(code: Code) -> str:
    if isinstance(code.vocabulary, Systems):
        return f"the vocabulary that `{code.vocabulary.of}` names"
    return code.vocabulary
