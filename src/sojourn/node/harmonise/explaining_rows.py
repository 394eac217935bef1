"""Where one row's field comes from: file and record, rule, the decision about its code. No value is told.

Each part of a snapshot is what one rule gave, and keeps beside a row its place in the file: a row's number is met
there, and nothing is made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.explaining_concepts import is_own_concept, source_value, vocabularies
from sojourn.node.harmonise.explaining_values import (
    KEPT,
    conversion_words,
    converted,
    of_result,
    reason_words,
    why_no_result,
    why_not_filled,
)
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.quarantine import UNMAPPED_TABLE
from sojourn.node.harmonise.reading import opened
from sojourn.node.warehouse import quote
from sojourn.omop.compilation import Compiled
from sojourn.omop.identifiers import file_place, literal, record_place
from sojourn.omop.plan import Plan, Rule
from sojourn.omop.tables import TABLES

if TYPE_CHECKING:
    import duckdb

EMPTY, ZERO, FILLED = "empty", "no concept", "filled"
_MOST = 1 << 63


def row_places(
    places: Places, manifest: dict[str, Any], plan: Plan, compiled: Compiled, field: str, row: int
) -> list[dict[str, Any]]:
    """Of TABLE.FIELD in the row of that number: rule, file, record, the key's columns, what it is and who decided.

    record: among the file's sound rows, from 1, as in `quarantine`; 0 of a derived row. HarmonisationError without one.
    """
    table, _, column = field.partition(".")
    number = _number_column(table)
    if not -_MOST <= row < _MOST:
        raise _no_row(table)
    found = []
    with opened(places, manifest["snapshot"]) as connection:
        for index, part in enumerate(manifest["tables"].get(table, {"parts": []})["parts"]):
            path = places.snapshots / manifest["snapshot"] / table / f"{index:04}.parquet"
            found += _in_part(connection, path, plan, part["rule"], (table, column), f"{quote(number)} = {row}")
        if not found:
            raise _no_row(table)
        for each in found:
            _explain(connection, places.snapshots / manifest["snapshot"], manifest, plan, compiled, each)
    return found


def row_words(table: str, row: int, found: dict[str, Any]) -> list[str]:
    """One place for people."""
    if found["rule"] == "derived":
        said = f"Row {row} of {table} is derived: no line of a file is its own. Ask of the rows that it is made of."
    else:
        key = f", found there by {', '.join(f'`{name}`' for name in found['key'])}" if found["key"] else ""
        skipped = f" ({found['unreadable']} unreadable rows of it are not counted)" if found["unreadable"] else ""
        said = f"Row {row} of {table} is from record {found['record']} of {found['path']}{skipped}{key}."
    words = [said]
    if found["is"] != FILLED:
        reason = reason_words(found)
        words.append(f"In this row it is {'empty' if found['is'] == EMPTY else '0'}{f':{reason}' if reason else '.'}")
    if found["converted"]:
        words.append(conversion_words(found["converted"]))
    for each in found["decisions"]:
        why = f" Why: {each['why'].rstrip('.')}." if each["why"] else ""
        words.append(f"{each['by']} decided on {each['day']} what this row's code becomes.{why}")
    if found["database"]:
        words.append(
            f"That table's rows had the digest {found['sha256'][:16]}…; among others the record may stand elsewhere."
        )
    elif found["sha256"]:
        words.append(
            f"That file had the SHA-256 {found['sha256'][:16]}…; in a newer one the record may stand elsewhere."
        )
    return words


def _number_column(table: str) -> str:
    if TABLES[table].key:
        return TABLES[table].key
    if TABLES[table].has("person_id"):  # a row a person
        return "person_id"
    raise HarmonisationError(f"Rows of `{table}` have no number.", remedy="Ask without --row.")


def _in_part(
    connection: duckdb.DuckDBPyConnection, path: Path, plan: Plan, rule: str, field: tuple[str, str], where: str
) -> list[dict[str, Any]]:
    """The rows of one part, each with what the next step reads of it; the texts are taken out again there."""
    table, column = field
    derived = rule == "derived"
    written = "NULL" if derived else source_value(plan.rules[rule], table)
    result = not derived and plan.rules[rule].result is not None and all(TABLES[table].has(each) for each in KEPT)
    kept = ", ".join(map(quote, KEPT)) if result else "NULL, NULL"
    place, file = ("-1", "0") if derived else (record_place("_record"), file_place("_record"))
    read = f"{place}, {file}, {quote(column)}, {written}, {kept}"
    rows = connection.execute(f"SELECT {read} FROM read_parquet({literal(str(path))}) WHERE {where}").fetchall()
    return [
        {"table": table, "field": column, "rule": rule, "record": int(record) + 1, "is": _is(table, column, value),
         "_file": int(file), "_code": code, "_kept": kept_ones}
        for record, file, value, code, *kept_ones in rows
    ]  # fmt: skip


def _is(table: str, column: str, value: Any) -> str:
    if value is None:
        return EMPTY
    known = TABLES[table].column(column)
    return ZERO if known is not None and known.is_concept and value == 0 else FILLED


def _explain(
    connection: duckdb.DuckDBPyConnection,
    snapshot: Path,
    manifest: dict[str, Any],
    plan: Plan,
    compiled: Compiled,
    found: dict[str, Any],
) -> None:
    """Add where to look, who decided of the rule's own concept, why the field is empty or 0, what was converted."""
    code, place, kept = found.pop("_code"), found.pop("_file"), found.pop("_kept")
    rule = plan.rules.get(found["rule"])
    file = manifest["files"].get(rule.file, {}) if rule else {}
    file = file["parts"][place] if "parts" in file else file
    words = {"file": rule.file if rule else "", "path": file.get("path", ""), "sha256": file.get("sha256", "")}
    source = plan.files[rule.file] if rule else None
    found |= {**words, "database": source.database if source else "", "key": list(source.key) if source else []}
    found |= {"unreadable": file.get("unreadable", 0), "decisions": [], "reason": "", "converted": None}
    table, field = found["table"], found["field"]
    part = next((each for each in compiled.parts if (each.rule, each.table) == (found["rule"], table)), None)
    if rule is None or part is None:
        return
    if is_own_concept(compiled, found["rule"], rule, table, field):
        found["decisions"] = _decisions(plan, rule, code)
        if found["is"] == ZERO and source_value(rule, table) != "NULL::VARCHAR":
            found["reason"] = _unmapped(connection, snapshot, found["rule"], code)
    elif rule.result and of_result(part, rule, field):
        if found["is"] != FILLED:
            found["reason"] = why_no_result(rule.result, field, *kept)
        elif field in ("value_as_number", "unit_concept_id"):
            found["converted"] = converted(rule.result, code, kept[1])
    elif found["is"] != FILLED:
        found["reason"] = why_not_filled(part, rule, field)


def _decisions(plan: Plan, rule: Rule, code: str | None) -> list[dict[str, str]]:
    return [
        {"by": each.by, "day": each.day.isoformat(), "why": each.why}
        for each in plan.decisions
        if code is not None and each.code == code and each.vocabulary in vocabularies(rule)
    ]


def _unmapped(connection: duckdb.DuckDBPyConnection, snapshot: Path, rule: str, code: str | None) -> str:
    """Why the code has no concept; empty where more than one reason may hold."""
    place = literal(str(snapshot / UNMAPPED_TABLE / "*.parquet"))
    reasons = connection.execute(
        f"SELECT DISTINCT reason FROM read_parquet({place}) WHERE rule = $1 AND code IS NOT DISTINCT FROM $2",
        [rule, code],
    ).fetchall()
    return str(reasons[0][0]) if len(reasons) == 1 else ""


def _no_row(table: str) -> HarmonisationError:
    return HarmonisationError(
        f"This snapshot has no row of `{table}` with that number.",
        remedy="Take the number from that table, of this source and snapshot.",
    )
