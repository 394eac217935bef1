"""By which codes, names and decisions rows have a concept, and for what reasons others have none.

Each part of a snapshot is what one rule gave and keeps the code as it stood in the file: nothing is made again.
"""

from __future__ import annotations

from typing import Any

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.quarantine import UNMAPPED_TABLE
from sojourn.node.harmonise.reporting import MOST_CODES
from sojourn.node.harmonise.reporting_medicines import LEAST_ROWS
from sojourn.omop.compilation import Compiled
from sojourn.omop.identifiers import literal, quoted
from sojourn.omop.medicines import MEDICINE
from sojourn.omop.plan import Plan, Rule, Systems
from sojourn.omop.reasons import UNMAPPED
from sojourn.omop.tables import EVENTS, TABLES


def of_concept(
    engine: Engine,
    places: Places,
    manifest: dict[str, Any],
    plan: Plan,
    compiled: Compiled,
    field: tuple[str, str],
    concept: int,
) -> dict[str, Any]:
    """Rows of a table whose field has the concept: by code, name and decision; of 0, by reason.

    Names of medicines may be free text: those that fewer than ten rows have are counted together. HarmonisationError
    of a concept that neither the vocabulary nor a row has.
    """
    table, column = field
    folder = places.snapshots / manifest["snapshot"]
    total, codes, reasons, unlisted = 0, [], dict[str, int](), 0
    for index, part in enumerate(manifest["tables"].get(table, {"parts": []})["parts"]):
        rule = plan.rules.get(part["rule"])
        own = rule is not None and is_own_concept(compiled, part["rule"], rule, table, column)
        source = f"read_parquet({literal(str(folder / table / f'{index:04}.parquet'))})"
        chosen = f"{source} WHERE {quoted(column)} = {concept}"
        rows = int(engine.rows(f"SELECT count(*) FROM {chosen}")[0][0])
        total += rows
        text = source_value(rule, table) if rule and own else "NULL::VARCHAR"
        if concept == 0:
            for reason, count in _reasons(engine, str(folder), part["rule"], chosen, text, rows):
                reasons[reason] = reasons.get(reason, 0) + count
        elif rule is not None:
            listed = _codes(engine, plan, rule, chosen, text, (table, column, concept))
            codes += listed
            unlisted += rows - sum(each["rows"] for each in listed) if own else 0
    about = _about(engine, concept)
    if concept != 0 and about["name"] == "" and not total:
        raise HarmonisationError(
            f"Vocabulary {engine.vocabulary.version} has no concept {concept}, and no row has it.",
            remedy="Look for the concept's id in the vocabulary; without --concept all rows of the field are told.",
        )
    listed_reasons = [{"reason": name, "rows": n} for name, n in sorted(reasons.items(), key=lambda each: -each[1])]
    return {"concept": concept, **about, "rows": total, "codes": _merged(codes), "unlisted_rows": unlisted,
            "reasons": [each for each in listed_reasons if each["rows"]]}  # fmt: skip


def concept_words(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    rows = f"{found['rows']:,} rows."
    if found["concept"] == 0:
        said = [f"0 stands for no concept: {rows}"]
        for each in found["reasons"]:
            said.append(
                f"  {UNMAPPED.get(each['reason'], 'So the rule gives it.').rstrip('.')}: {each['rows']:,} rows."
            )
        return said
    if found["name"]:
        known = f"is {found['name']} ({found['vocabulary']}, domain {found['domain']})"
    else:
        known = "is not in the vocabulary that is in use"
    said = [f"Concept {found['concept']} {known}: {rows}"]
    said += [f"  {_code_words(code)}" for code in found["codes"]]
    if found["unlisted_rows"]:
        said.append(
            f"  Names that fewer than {LEAST_ROWS} rows have, codes beyond the {MOST_CODES} most frequent, and codes "
            f"that no column keeps: {found['unlisted_rows']:,} rows."
        )
    return said


def is_own_concept(compiled: Compiled, name: str, rule: Rule, table: str, column: str) -> bool:
    """Whether the rule's own code or name, and no field of the rule, gives that column."""
    part = next((each for each in compiled.parts if (each.rule, each.table) == (name, table)), None)
    roles = EVENTS[table].roles if table in EVENTS else {}
    return rule.coded and part is not None and part.filled.get(column) is None and column == roles.get("concept")


def source_value(rule: Rule, table: str) -> str:
    """The column that keeps a row's code as it stood in the file; empty where a field of the rule took its place."""
    column = EVENTS[table].roles.get("source_value", "") if table in EVENTS else ""
    given = {name.rpartition(".")[2] for name in rule.fields}
    return quoted(column) if rule.coded and column and not given & {column, "source_value"} else "NULL::VARCHAR"


def vocabularies(rule: Rule) -> tuple[str, ...]:
    """The names under which decisions know the rule's codes."""
    if rule.concept is None:
        return (MEDICINE,)
    named = rule.concept.vocabulary
    return tuple(named.names.values()) if isinstance(named, Systems) else (named,)


def _about(engine: Engine, concept: int) -> dict[str, str]:
    rows = engine.rows(
        f"SELECT concept_name, vocabulary_id, domain_id FROM vocabulary.concept WHERE concept_id = {concept}"
    )
    return dict(zip(("name", "vocabulary", "domain"), rows[0] if rows else ("", "", ""), strict=True))


def _codes(
    engine: Engine, plan: Plan, rule: Rule, chosen: str, text: str, field: tuple[str, str, int]
) -> list[dict[str, Any]]:
    """One rule's codes or names of the concept, the most frequent first, each with the decision about it."""
    table, column, concept = field
    source = column.removesuffix("_concept_id") + "_source_concept_id"
    beside = f"nullif({quoted(source)}, 0)" if TABLES[table].has(source) else "NULL::BIGINT"
    least = LEAST_ROWS if rule.medicine else 1
    counted = engine.rows(
        f"SELECT s.id, s.code, c.vocabulary_id, c.concept_code, c.concept_name, s.rows FROM (SELECT {beside} AS id, "
        f"{text} AS code, count(*) AS rows FROM {chosen} GROUP BY ALL HAVING count(*) >= {least}) AS s "
        "LEFT JOIN vocabulary.concept AS c ON c.concept_id = s.id WHERE s.id IS NOT NULL OR s.code IS NOT NULL "
        f"ORDER BY s.rows DESC, s.id, s.code LIMIT {MOST_CODES}"
    )
    found = []
    for id_, code, vocabulary, known, name, rows in counted:
        among = (vocabulary,) if vocabulary else vocabularies(rule)
        decision = next(
            (
                {"vocabulary": each.vocabulary, "by": each.by, "day": each.day.isoformat(), "why": each.why}
                for each in plan.decisions
                if each.code in (code, known) and each.vocabulary in among and concept in each.concepts
            ),
            None,
        )
        said = vocabulary or (decision["vocabulary"] if decision else among[0] if len(among) == 1 else "")
        words = {"vocabulary": said, "code": known or code, "name": name or "", "same": id_ == concept}
        found.append({**words, "rows": int(rows), "decision": decision})
    return found


def _merged(codes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry a code, whichever rules have it."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for each in codes:
        one = found.setdefault((each["vocabulary"], each["code"], each["decision"] is None), {**each, "rows": 0})
        one["rows"] += each["rows"]
    return sorted(found.values(), key=lambda each: (-each["rows"], each["vocabulary"], each["code"]))


def _reasons(engine: Engine, folder: str, rule: str, chosen: str, text: str, rows: int) -> list[tuple[str, int]]:
    """Why rows of one rule have no concept; one empty reason where the rule's own code does not give the field."""
    if text.startswith("NULL"):
        return [("", rows)]
    place = literal(f"{folder}/{UNMAPPED_TABLE}/*.parquet")
    return [
        (str(reason), int(count))
        for reason, count in engine.rows(
            "SELECT coalesce(w.reason, ''), CAST(sum(s.rows) AS BIGINT) "
            f"FROM (SELECT {text} AS code, count(*) AS rows FROM {chosen} GROUP BY ALL) AS s LEFT JOIN ("
            "SELECT code, CASE WHEN count(DISTINCT reason) = 1 THEN any_value(reason) END AS reason "
            f"FROM read_parquet({place}) WHERE rule = {literal(rule)} GROUP BY code) AS w "
            "ON w.code IS NOT DISTINCT FROM s.code GROUP BY ALL"
        )
    ]


def _code_words(code: dict[str, Any]) -> str:
    rows = f"{code['rows']:,} rows."
    named = f" ({code['name']})" if code["name"] else ""
    said = f"The name `{code['code']}`" if code["vocabulary"] == MEDICINE else f"{code['vocabulary']} {code['code']}"
    if decision := code["decision"]:
        why = f" Why: {decision['why'].rstrip('.')}." if decision["why"] else ""
        return f"{said}{named} becomes it by a decision of {decision['by']} on {decision['day']}: {rows}{why}"
    link = "is read as it" if code["vocabulary"] == MEDICINE else "is this concept" if code["same"] else "maps to it"
    return f"{said}{named} {link}: {rows}"
