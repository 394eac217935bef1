"""Why a field of the tables is what it is: rules and decisions in words, with how many rows; the same for machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import open_engine
from sojourn.node.harmonise.explaining_concepts import concept_words, of_concept
from sojourn.node.harmonise.explaining_rows import row_places, row_words
from sojourn.node.harmonise.places import Places, custodian_key
from sojourn.node.harmonise.publishing import PLAN, Audit, manifest_of
from sojourn.omop.compilation import compile_plan
from sojourn.omop.plan import Plan
from sojourn.omop.provenance import all_origins, origins
from sojourn.omop.tables import TABLES


def explain(
    places: Places,
    warehouse: Path,
    place: str,
    concept: int | None,
    snapshot: str = "",
    row: int | None = None,
    audit: Audit | None = None,
) -> dict[str, Any]:
    """Where TABLE.FIELD of a snapshot comes from, and, of one concept, by which codes; of one row, where to look.

    Counts stay inside the site, and so does what is said of a row. audit: keeps that somebody asks for a row, and not
    for which, before it is looked for; no row is looked for without it.
    """
    if row is not None and audit is None:
        raise TypeError("a row is explained where the question is kept")
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
    if row is not None and audit is not None:
        audit("row.explained", {"source": places.source, "snapshot": manifest["snapshot"], "field": place})
        document["row"] = row
        document["places"] = row_places(places, manifest, plan, compiled, place, row)
        rules = {each["rule"] for each in document["places"]}
        document["origins"] = [each for each in found if each["rule"] in rules]
    if concept is not None:
        column = TABLES[table].column(field)
        if column is None or not column.is_concept:
            raise HarmonisationError("That field holds no concept.", remedy="Name a field that ends in `_concept_id`.")
        with open_engine(warehouse, places.work, (places.folder,), custodian_key(places.home)) as engine:
            place_of = (table, field)
            document["concept"] = of_concept(engine, places, manifest, plan, compiled, place_of, concept)
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
        said += concept_words(concept)
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
