"""Measured values of a rule: number, operator, unit and conversion of each row, as SQL; the originals stay beside them.

Distinct units of a file are few: each is read and its conversion found once, in Python, and rows join to that table.
"""

from __future__ import annotations

from sojourn.omop import values
from sojourn.omop.expression import compiled
from sojourn.omop.identifiers import literal, quoted
from sojourn.omop.plan import Rule
from sojourn.omop.tables import Table
from sojourn.omop.units_spelling import ucum

CONFLICT = "two units"  # the value names one, the column beside it another
UNIT_COLUMNS = ("own", "unit", "loinc", "target", "ucum", "factor", "shift", "rule", "reason", "rows")
_VALUE = "_result_"  # before what is read of a value
# The unit that a rule's rows end with: the one converted to, else their own, where it can be read.
UNITS_SQL = """\
SELECT u.*, c.concept_id AS unit_concept_id FROM {table} AS u LEFT JOIN vocabulary.concept AS c
  ON c.vocabulary_id = 'UCUM' AND c.standard_concept = 'S'
  AND c.concept_code = CASE WHEN u.factor IS NOT NULL AND u.target <> '' THEN u.target ELSE u.ucum END"""


def read_sql(rule: Rule, read: str) -> str:
    """The rows of a query with what is read of their values."""
    if rule.result is None:
        return read
    return f"({values.sql(read, f'r.{quoted(rule.result.value)}', rule.result.decimal, _VALUE)})"


def wanted_sql(rule: Rule) -> str:
    """The distinct (unit inside the value, where a column names one as well; unit; LOINC code; unit to convert to) of
    a rule's rows, with how many rows have them.
    """
    own, unit, loinc, target = _asked(rule)
    rows = read_sql(rule, f"stage_{rule.file}")
    where = f" WHERE {compiled(rule.where, 'r')}" if rule.where else ""
    return (
        f"SELECT {own} AS own, {unit} AS unit, {loinc} AS loinc, {target} AS target, count(*) AS rows\n"
        f"FROM {rows} AS r{where} GROUP BY ALL"
    )


def join_sql(name: str, rule: Rule) -> str:
    """The join of a rule's rows to that table, as `u`."""
    own, unit, loinc, target = _asked(rule)
    asked = f"u.own = {own} AND u.unit = {unit} AND u.loinc = {loinc} AND u.target = {target}"
    return f"LEFT JOIN units_{name} AS u ON {asked}"


def differ(own: str, unit: str) -> bool:
    """Whether a value's own unit and that of the column beside it are two units; nobody but the owner knows which."""
    if not own or own.strip().casefold() == unit.strip().casefold():
        return False
    read = ucum(own)
    return read is None or read != ucum(unit)


def fields(rule: Rule, target: Table) -> dict[str, str]:
    """SQL of each column of the table that a result fills."""
    if rule.result is None:
        return {}
    original = f"r.{quoted(rule.result.unit)}" if rule.result.unit else f"r.{_VALUE}unit"
    number = f"r.{_VALUE}number"
    two = f"u.reason = {literal(CONFLICT)}"
    found = {
        "value_as_number": f"CASE WHEN {two} THEN NULL ELSE coalesce({number} * u.factor + u.shift, {number}) END",
        "operator_concept_id": f"CASE WHEN {two} THEN NULL ELSE CAST(r.{_VALUE}operator_concept_id AS BIGINT) END",
        "unit_concept_id": "CASE WHEN u.unit <> '' THEN coalesce(CAST(u.unit_concept_id AS BIGINT), 0) END",
        "unit_source_value": f"coalesce({original}, r.{_VALUE}unit)",
        "value_source_value": f"r.{quoted(rule.result.value)}",
        "value_as_string": f"CASE WHEN {two} THEN r.{quoted(rule.result.value)} ELSE r.{_VALUE}text END",
    }
    return {column: sql for column, sql in found.items() if target.has(column)}


def _asked(rule: Rule) -> tuple[str, str, str, str]:
    assert rule.result is not None
    inside = f"r.{_VALUE}unit"
    own, unit = "''", f"coalesce({inside}, '')"
    if rule.result.unit:
        beside = f"r.{quoted(rule.result.unit)}"
        own, unit = (
            f"coalesce(CASE WHEN {beside} IS NOT NULL THEN {inside} END, '')",
            f"coalesce({beside}, {inside}, '')",
        )
    if not rule.result.units or rule.concept is None:
        return own, unit, "''", "''"
    code = f"r.{quoted(rule.concept.code)}"
    cases = " ".join(f"WHEN {literal(each)} THEN {literal(to)}" for each, to in rule.result.units.items())
    listed = ", ".join(literal(each) for each in rule.result.units)
    known = f"CASE WHEN {code} IN ({listed}) THEN {code} ELSE '' END"
    return own, unit, known, f"CASE {code} {cases} ELSE '' END"
