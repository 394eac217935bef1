"""Why a field of the tables is what it is: rules and decisions in words, with how many rows; the same for machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import Engine, open_engine
from sojourn.node.harmonise.explaining_rows import row_places, row_words
from sojourn.node.harmonise.places import Places, custodian_key
from sojourn.node.harmonise.publishing import PLAN, manifest_of
from sojourn.omop.compilation import compile_plan
from sojourn.omop.identifiers import literal, quoted
from sojourn.omop.plan import Plan
from sojourn.omop.provenance import all_origins, origins
from sojourn.omop.tables import TABLES


def explain(
    places: Places, warehouse: Path, place: str, concept: int | None, snapshot: str = "", row: int | None = None
) -> dict[str, Any]:
    """Where TABLE.FIELD of a snapshot comes from, and, of one concept, by which codes; of one row, where to look.

    Counts stay inside the site, and so does what is said of a row.
    """
    if concept is not None and row is not None:
        raise HarmonisationError("A row has one concept or none.", remedy="Give --concept or --row, not both.")
    _demand_source(places)
    manifest = manifest_of(places, snapshot)
    plan = Plan.from_yaml((places.snapshots / manifest["snapshot"] / PLAN).read_text(encoding="utf-8"))
    table, _, field = place.partition(".")
    _demand_field(place, table, field)
    compiled = compile_plan(plan)
    found = [
        {**origin.document(), "sentence": origin.sentence(), **_counts(manifest, table, field, origin.rule)}
        for origin in origins(plan, compiled, table, field)
        if origin.rule in _rules(manifest, table)
    ]
    document: dict[str, Any] = {
        "field": place,
        "snapshot": manifest["snapshot"],
        "plan": manifest["plan"],
        "vocabulary": manifest["vocabulary_version"],
        "signed": {word: manifest["signature"][word] for word in ("name", "day")},
        "software": manifest["software"],
        "rows": manifest["tables"].get(table, {"rows": 0})["rows"],
        "origins": found,
    }
    if row is not None:
        document["row"] = row
        document["places"] = row_places(places, manifest, plan, compiled, place, row)
        rules = {each["rule"] for each in document["places"]}
        document["origins"] = [each for each in found if each["rule"] in rules]
    if concept is not None:
        column = TABLES[table].column(field)
        if column is None or not column.is_concept:
            raise HarmonisationError("That field holds no concept.", remedy="Name a field that ends in `_concept_id`.")
        with open_engine(warehouse, places.work, (places.folder,), custodian_key(places.home)) as engine:
            document["concept"] = _of_concept(engine, places, manifest["snapshot"], table, field, concept)
    return document


def _demand_source(places: Places) -> None:
    if not places.folder.is_dir():
        known = [path.parent.name for path in places.folder.parent.glob("*/snapshots")]
        raise HarmonisationError(
            f"Nothing was harmonised here under the name `{places.source}`.",
            remedy=did_you_mean(places.source, known) or "Pilot and run its plan first.",
        )


def _demand_field(place: str, table: str, field: str) -> None:
    if table in TABLES and TABLES[table].has(field):
        return
    names = [column.name for column in TABLES[table].columns] if table in TABLES else []
    near = did_you_mean(field, names) if names else did_you_mean(table, TABLES)
    if names and not near:
        near = f"Fields of `{table}`: {', '.join(names)}."
    raise HarmonisationError(
        f"The model has no such field: `{place}`.",
        remedy=f"{near} Write TABLE.FIELD, e.g. person.year_of_birth.".strip(),
    )


def provenance(places: Places, snapshot: str = "") -> dict[str, Any]:
    """The machine form of all fields, for a study's record: no counts, no codes."""
    _demand_source(places)
    manifest = manifest_of(places, snapshot)
    plan = Plan.from_yaml((places.snapshots / manifest["snapshot"] / PLAN).read_text(encoding="utf-8"))
    words = ("snapshot", "source", "plan", "vocabulary_version", "software", "signature")
    return {**{word: manifest[word] for word in words}, "fields": all_origins(plan, compile_plan(plan))}


def words(document: dict[str, Any]) -> list[str]:
    """An explanation for people."""
    said = [f"{document['field']}, {document['rows']:,} rows in snapshot {document['snapshot']}."]
    for each in document.get("places", ()):
        said += row_words(each["table"], document["row"], each)
    for origin in document["origins"]:
        counts = f" {origin['rows']:,} rows"
        counts += f", of which {origin['empty']:,} are empty" if origin.get("empty") else ""
        counts += f", of which {origin['zero']:,} are 0: no concept" if origin.get("zero") else ""
        said.append(f"{origin['sentence']}{counts}.")
    if concept := document.get("concept"):
        name = concept["name"] or "not in the vocabulary"
        said.append(f"Concept {concept['concept']} is {name} ({concept['vocabulary']}, domain {concept['domain']}): "
                    f"{concept['rows']:,} rows.")  # fmt: skip
        for code in concept["codes"]:
            link = "is this concept" if code["same"] else "maps to it"
            said.append(f"  {code['vocabulary']} {code['code']} ({code['name']}) {link}: {code['rows']:,} rows.")
    said.append(f"Plan {document['plan'][:16]}, signed by {document['signed']['name']} on {document['signed']['day']}; "
                f"vocabulary {document['vocabulary']}; Sojourn {document['software']}.")  # fmt: skip
    return said


def _rules(manifest: dict[str, Any], table: str) -> set[str]:
    return {part["rule"] for part in manifest["tables"].get(table, {"parts": []})["parts"]}


def _counts(manifest: dict[str, Any], table: str, field: str, rule: str) -> dict[str, int]:
    parts = [part for part in manifest["tables"][table]["parts"] if part["rule"] == rule]
    return {
        "rows": sum(part["rows"] for part in parts),
        "empty": sum(part["empty"].get(field, 0) for part in parts),
        "zero": sum(part["zero"].get(field, 0) for part in parts),
    }


def _of_concept(engine: Engine, places: Places, snapshot: str, table: str, field: str, concept: int) -> dict[str, Any]:
    """Rows that have the concept, by the source concept beside it where the table keeps one."""
    files = literal(str(places.snapshots / snapshot / table / "*.parquet"))
    source = field.removesuffix("_concept_id") + "_source_concept_id"
    beside = quoted(source) if TABLES[table].has(source) else "NULL::BIGINT"
    about = engine.rows(
        f"SELECT concept_name, vocabulary_id, domain_id FROM vocabulary.concept WHERE concept_id = {concept}"
    )
    counted = engine.rows(
        "SELECT s.id, c.vocabulary_id, c.concept_code, c.concept_name, s.rows "
        f"FROM (SELECT {beside} AS id, count(*) AS rows "
        f"FROM read_parquet({files}) WHERE {quoted(field)} = {concept} GROUP BY ALL) AS s "
        "LEFT JOIN vocabulary.concept AS c ON c.concept_id = s.id ORDER BY s.rows DESC, s.id"
    )
    name, vocabulary, domain = about[0] if about else ("", "", "")
    codes = [
        {"vocabulary": row[1], "code": row[2], "name": row[3], "rows": row[4], "same": row[0] == concept}
        for row in counted
        if row[1] is not None
    ]
    rows = sum(row[4] for row in counted)
    return {"concept": concept, "name": name, "vocabulary": vocabulary, "domain": domain, "rows": rows, "codes": codes}
