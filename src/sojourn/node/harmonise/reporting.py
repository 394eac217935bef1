"""The report of a pilot or run: rows by table, rows kept aside by reason, codes without a concept. It stays inside.

Its JSON and page name codes, which are values of the data; what a command prints names none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.making import ASIDE, CODES, UNITS, Made
from sojourn.node.harmonise.reporting_dates import clock_doubts, date_doubts
from sojourn.node.harmonise.reporting_medicines import LEAST_ROWS, medicine_doubts, medicines
from sojourn.node.harmonise.reporting_results import result_doubts, results
from sojourn.node.harmonise.staging import ASIDE as UNREADABLE
from sojourn.omop.eras import doses_told
from sojourn.omop.expression import compiled
from sojourn.omop.filling import QUARANTINE
from sojourn.omop.identifiers import file_place, key_text, literal
from sojourn.omop.results import CONFLICT
from sojourn.omop.tables import TABLES

MOST_CODES = 500  # of each rule, the most frequent first; totals are of all


def report_of(made: Made, engine: Engine, share: float) -> dict[str, Any]:
    """The whole as one document; the same files, plan and vocabulary give the same."""
    units, named, aside = _units(made, engine), medicines(made, engine), _aside(made, engine)
    read = results(made, engine)
    return {
        "source": made.plan.source,
        "plan": made.plan.digest(),
        "vocabulary": {"version": made.vocabulary[0], "digest": made.vocabulary[1]},
        "share": share,
        "files": {name: _file(made, name) for name in made.files},
        "tables": {
            table: {
                "rows": sum(part.step.facts["rows"] for part in parts),
                "parts": [{"rule": part.rule, "file": part.file, "rows": part.step.facts["rows"]} for part in parts],
                "without_concept": _without_concept(table, parts),
            }
            for table, parts in sorted(made.parts.items())
        },
        "aside": aside,
        "files_aside": _files_aside(made, engine),
        "aside_at_most": made.plan.quarantine_at_most,
        "doses": _doses(made, engine),
        "left_out": _left_out(made, engine),
        "unlisted": _unlisted(made, engine),
        "unmapped": _unmapped(made, engine),
        "medicines": named,
        "units": units,
        "results": read,
        "doubts": [
            *_unit_doubts(units),
            *result_doubts(read),
            *medicine_doubts(named, engine),
            *date_doubts(made, engine),
            *clock_doubts(made, engine, aside),
        ],
    }


def aside_share(report: dict[str, Any]) -> float:
    """The part of all rows read that were kept aside."""
    read = sum(file["records"] + file["unreadable"] for file in report["files"].values())
    return sum(each["rows"] for each in report["aside"]) / read if read else 0.0


def _file(made: Made, name: str) -> dict[str, Any]:
    """Where a source is, the digest of what was read, and how many rows; of several files each as well, in order."""
    file, pieces = made.plan.files[name], made.files[name]
    words = ("records", "unreadable")
    found = {"path": file.said, "sha256": made.digests[name]}
    counts = {word: sum(each.step.facts[word] for each in pieces) for word in words}
    if not file.several:
        return {**found, **counts}
    parts = [
        {"path": each.said, "sha256": each.digest, **{word: each.step.facts[word] for word in words}} for each in pieces
    ]
    return {**found, **counts, "parts": parts}


def _without_concept(table: str, parts: list[Any]) -> dict[str, int]:
    """How many rows have concept 0, of the concept columns that the model requires."""
    required = [column.name for column in TABLES[table].columns if column.is_concept and column.required]
    return {name: sum(part.step.facts["zero"].get(name, 0) for part in parts) for name in required}


def _aside(made: Made, engine: Engine) -> list[dict[str, Any]]:
    found = []
    for name, pieces in made.files.items():
        for reason, _, rows in _counted(engine, *(each.step.folder / UNREADABLE for each in pieces)):
            found.append({"file": name, "rule": "", "table": "", "reason": reason, "columns": "", "rows": rows})
    for part, step in made.aside:
        for reason, columns, rows in _counted(engine, step.folder / ASIDE):
            words = {"file": part.file, "rule": part.rule, "table": part.table, "reason": reason, "columns": columns}
            found.append({**words, "rows": rows})
    return found


def _files_aside(made: Made, engine: Engine) -> list[dict[str, Any]]:
    """The files of which more than the plan allows of all was kept aside: a new one of a foreign form drowns in all."""
    found = []
    for name, pieces in made.files.items():
        steps = [step for part, step in made.aside if part.file == name and step.facts["aside"]]
        listed = ", ".join(literal(str(step.folder / ASIDE)) for step in steps)
        counted = f"SELECT {file_place('record')}, count(DISTINCT record) FROM read_parquet([{listed}]) GROUP BY 1"
        lost = {int(place): int(rows) for place, rows in (engine.rows(counted) if steps else [])}
        for place, each in enumerate(pieces):
            rows = each.step.facts["records"] + each.step.facts["unreadable"]
            aside = lost.get(place, 0) + each.step.facts["unreadable"]
            if aside > made.plan.quarantine_at_most * rows:
                found.append({"file": name, "path": each.said, "rows": rows, "aside": aside})
    return found


def _counted(engine: Engine, *paths: Path) -> list[tuple[Any, ...]]:
    listed = ", ".join(literal(str(path)) for path in paths)
    return engine.rows(f"SELECT reason, columns, count(*) FROM read_parquet([{listed}]) GROUP BY ALL ORDER BY ALL")


def _doses(made: Made, engine: Engine) -> dict[str, int]:
    """Exposures to drugs, and those that tell a daily amount: others are in no dose era."""
    if "drug_exposure" not in made.parts:
        return {"exposures": 0, "with_dose": 0}
    exposures, told = engine.rows(doses_told())[0]
    return {"exposures": int(exposures), "with_dose": int(told)}


def _left_out(made: Made, engine: Engine) -> dict[str, int]:
    """Rows that a rule's `where` does not take."""
    found = {}
    for name, rule in made.plan.rules.items():
        if rule.where:
            sql = f"SELECT count(*) FROM stage_{rule.file} AS r WHERE ({compiled(rule.where, 'r')}) IS NOT TRUE"
            found[name] = int(engine.rows(sql)[0][0])
    return found


def _unlisted(made: Made, engine: Engine) -> list[dict[str, Any]]:
    """What a list of `values` does not name, the most frequent first, and what it becomes."""
    found = []
    for name, rule in made.plan.rules.items():
        for field, filling in rule.fields.items():
            if not filling.values:
                continue
            value = key_text(filling.of, "r")
            named = ", ".join(literal(each) for each in filling.values)
            where = f" AND ({compiled(rule.where, 'r')})" if rule.where else ""
            sql = (
                f"SELECT {value} AS value, count(*) AS rows FROM stage_{rule.file} AS r "
                f"WHERE coalesce({value} NOT IN ({named}), TRUE){where} GROUP BY 1"
            )
            values, rows = engine.rows(f"SELECT count(*), coalesce(CAST(sum(rows) AS BIGINT), 0) FROM ({sql})")[0]
            if not rows:
                continue
            listed = engine.rows(f"SELECT value, rows FROM ({sql}) ORDER BY rows DESC, value LIMIT {MOST_CODES}")
            becomes = filling.otherwise
            if becomes is None:
                becomes = 0 if field.endswith("_concept_id") or field.endswith("concept") else QUARANTINE
            words = {"rule": name, "field": field, "of": ", ".join(filling.of), "becomes": becomes}
            found.append({
                **words, "values": int(values), "rows": int(rows),
                "listed": [{"value": row[0], "rows": int(row[1])} for row in listed],
            })  # fmt: skip
    return found


def _unmapped(made: Made, engine: Engine) -> dict[str, Any]:
    found = {}
    for name, step in made.codes.items():
        place = f"read_parquet({literal(str(step.folder / CODES))})"
        codes, rows, lost_codes, lost_rows = engine.rows(
            "SELECT count(*) FILTER (ordinal = 0), coalesce(sum(rows) FILTER (ordinal = 0), 0), "
            "count(*) FILTER (unmapped IS NOT NULL), coalesce(sum(rows) FILTER (unmapped IS NOT NULL), 0) "
            f"FROM {place}"
        )[0]
        least = LEAST_ROWS if name.removeprefix("codes_") in made.compiled.medicines else 1  # a name may be free text
        listed = engine.rows(
            f"SELECT vocabulary, code, unmapped, rows FROM {place} WHERE unmapped IS NOT NULL AND rows >= {least} "
            f"ORDER BY rows DESC, vocabulary, code LIMIT {MOST_CODES}"
        )
        found[name.removeprefix("codes_")] = {
            "codes": codes,
            "rows": int(rows),
            "unmapped_codes": lost_codes,
            "unmapped_rows": int(lost_rows),
            "listed": [dict(zip(("vocabulary", "code", "reason", "rows"), row, strict=True)) for row in listed],
        }
    return found


def _units(made: Made, engine: Engine) -> dict[str, Any]:
    """Units of each rule with a result: how many spellings, and which could not be read or converted."""
    found = {}
    for name, step in made.units.items():
        place = f"read_parquet({literal(str(step.folder / UNITS))})"
        listed = engine.rows(
            f"SELECT own, unit, loinc, target, reason, CAST(rows AS BIGINT) FROM {place} "
            f"WHERE reason IS NOT NULL AND unit <> '' ORDER BY rows DESC, unit, loinc, own LIMIT {MOST_CODES}"
        )
        spellings, two = engine.rows(
            "SELECT count(DISTINCT unit) FILTER (unit <> ''), "
            f"coalesce(CAST(sum(rows) FILTER (reason = {literal(CONFLICT)}) AS BIGINT), 0) FROM {place}"
        )[0]
        words = ("own", "unit", "loinc", "target", "reason", "rows")
        found[name.removeprefix("units_")] = {
            "spellings": int(spellings),
            "unread_rows": sum(row[5] for row in listed),
            "two_units_rows": int(two),
            "listed": [dict(zip(words, row, strict=True)) for row in listed],
        }
    return found


def _unit_doubts(units: dict[str, Any]) -> list[str]:
    return [
        f"{each['two_units_rows']} values of rule `{name}` carry another unit than the column of units says: which one "
        "holds? They are kept as they came, without a number."
        for name, each in units.items()
        if each["two_units_rows"]
    ]
