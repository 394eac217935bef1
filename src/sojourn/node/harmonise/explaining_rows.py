"""Where one row's field comes from: file and record, rule, the decision about its code. No value is told.

Each part of a snapshot is what one rule gave, and keeps beside a row its place in the file: a row's number is met
there, and nothing is made again.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.quarantine import UNMAPPED_TABLE
from sojourn.node.harmonise.reading import opened
from sojourn.node.warehouse import quote
from sojourn.omop.compilation import Compiled
from sojourn.omop.identifiers import file_place, literal, record_place
from sojourn.omop.medicines import MEDICINE
from sojourn.omop.plan import Plan, Rule, Systems
from sojourn.omop.reasons import UNMAPPED
from sojourn.omop.tables import EVENTS, TABLES

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
        reason = f": {UNMAPPED[found['reason']]}" if found["reason"] in UNMAPPED else "."
        words.append(f"In this row it is {'empty' if found['is'] == EMPTY else '0'}{reason}")
    for each in found["decisions"]:
        why = f" Why: {each['why'].rstrip('.')}." if each["why"] else ""
        words.append(f"{each['by']} decided on {each['day']} what this row's code becomes.{why}")
    if found["sha256"]:
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
    written = "NULL" if derived else _source_value(plan.rules[rule], table)
    place, file = ("-1", "0") if derived else (record_place("_record"), file_place("_record"))
    rows = connection.execute(
        f"SELECT {place}, {file}, {quote(column)}, {written} FROM read_parquet({literal(str(path))}) WHERE {where}"
    ).fetchall()
    return [
        {"table": table, "field": column, "rule": rule, "record": int(record) + 1, "is": _is(table, column, value),
         "_file": int(file), "_code": code}
        for record, file, value, code in rows
    ]  # fmt: skip


def _source_value(rule: Rule, table: str) -> str:
    """The column that keeps a row's code as it stood in the file; empty where a field of the rule took its place."""
    column = EVENTS[table].roles.get("source_value", "") if table in EVENTS else ""
    given = {name.rpartition(".")[2] for name in rule.fields}
    return quote(column) if rule.coded and column and not given & {column, "source_value"} else "NULL"


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
    """Add where to look, and of the rule's own concept who decided or why there is none."""
    code, place = found.pop("_code"), found.pop("_file")
    rule = plan.rules.get(found["rule"])
    file = manifest["files"].get(rule.file, {}) if rule else {}
    file = file["parts"][place] if "parts" in file else file
    words = {"file": rule.file if rule else "", "path": file.get("path", ""), "sha256": file.get("sha256", "")}
    key = list(plan.files[rule.file].key) if rule else []
    found |= {**words, "key": key, "unreadable": file.get("unreadable", 0), "decisions": [], "reason": ""}
    roles = EVENTS[found["table"]].roles if found["table"] in EVENTS else {}
    part = next((each for each in compiled.parts if (each.rule, each.table) == (found["rule"], found["table"])), None)
    if rule is None or not rule.coded or part is None or part.filled.get(found["field"]) is not None:
        return
    if found["field"] != roles.get("concept"):
        return
    found["decisions"] = [
        {"by": each.by, "day": each.day.isoformat(), "why": each.why}
        for each in plan.decisions
        if code is not None and each.code == code and each.vocabulary in _vocabularies(rule)
    ]
    if found["is"] == ZERO:
        place = literal(str(snapshot / UNMAPPED_TABLE / "*.parquet"))
        reasons = connection.execute(
            f"SELECT DISTINCT reason FROM read_parquet({place}) WHERE rule = $1 AND code IS NOT DISTINCT FROM $2",
            [found["rule"], code],
        ).fetchall()
        found["reason"] = str(reasons[0][0]) if len(reasons) == 1 else ""


def _vocabularies(rule: Rule) -> tuple[str, ...]:
    if rule.concept is None:
        return (MEDICINE,)
    named = rule.concept.vocabulary
    return tuple(named.names.values()) if isinstance(named, Systems) else (named,)


def _no_row(table: str) -> HarmonisationError:
    return HarmonisationError(
        f"This snapshot has no row of `{table}` with that number.",
        remedy="Take the number from that table, of this source and snapshot.",
    )
