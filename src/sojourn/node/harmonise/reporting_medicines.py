"""What a pilot says of names of medicines: how many met a drug, an ingredient or nothing. Rare ones are not shown.

A rare text may tell of a person: one is written down only if `LEAST_ROWS` rows hold it, as `profile` does with values.
"""

from __future__ import annotations

from typing import Any

from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.making import CODES, Made
from sojourn.omop.identifiers import literal
from sojourn.omop.medicines import MEDICINE
from sojourn.omop.medicines_sql import AS_DECIDED, AS_DRUG, AS_INGREDIENT

LEAST_ROWS = 10
MOST_NAMES = 500  # of each rule, the most frequent first; totals are of all
_UNKNOWN = "unknown"
# Of the vocabulary, by which a name with its strength and form is met with a Clinical Drug.
_FOR_DRUGS = {
    "strengths of drugs (DRUG_STRENGTH)": "vocabulary.drug_strength",
    "dose forms (`RxNorm has dose form` in CONCEPT_RELATIONSHIP)": (
        "vocabulary.concept_relationship WHERE relationship_id = 'RxNorm has dose form'"
    ),
}


def medicines(made: Made, engine: Engine) -> dict[str, Any]:
    """By rule: names and rows by what they became, and the frequent names that met nothing or an ingredient alone."""
    found = {}
    for name in made.compiled.medicines:
        place = f"read_parquet({literal(str(made.codes[f'codes_{name}'].folder / CODES))})"
        asked = f"(SELECT code, coalesce(level, '{_UNKNOWN}') AS level, unmapped, rows FROM {place} WHERE ordinal = 0)"
        counts = {
            str(level): (int(names), int(rows))
            for level, names, rows in engine.rows(f"SELECT level, count(*), sum(rows) FROM {asked} GROUP BY level")
        }
        open_ones = f"{asked} WHERE level IN ('{_UNKNOWN}', '{AS_INGREDIENT}')"
        rare = engine.rows(f"SELECT count(*) FILTER (rows < {LEAST_ROWS}) FROM {open_ones}")[0][0]
        listed = engine.rows(
            f"SELECT code, coalesce(unmapped, level), rows FROM {open_ones} AND rows >= {LEAST_ROWS} "
            f"ORDER BY level = '{AS_INGREDIENT}', rows DESC, code LIMIT {MOST_NAMES}"
        )
        found[name] = {
            "names": sum(names for names, _ in counts.values()),
            "rows": sum(rows for _, rows in counts.values()),
            **{
                f"{level}_{what}": counts.get(level, (0, 0))[place]
                for level in (AS_DRUG, AS_INGREDIENT, AS_DECIDED, _UNKNOWN)
                for place, what in enumerate(("names", "rows"))
            },
            "rare_names": int(rare),
            "listed": [dict(zip(("name", "became", "rows"), row, strict=True)) for row in listed],
        }
    return found


def medicine_doubts(found: dict[str, Any], engine: Engine) -> list[str]:
    """What people are to decide, in counts; and where the vocabulary lacks what drugs are found by."""
    lacks = [
        f"The vocabulary has no {what}: names with a strength cannot become Clinical Drugs. Was it "
        "downloaded with RxNorm, and loaded whole?"
        for what, sql in _FOR_DRUGS.items()
        if found and not engine.rows(f"SELECT 1 FROM {sql} LIMIT 1")
    ]
    return lacks + [
        f"{each['unknown_names']} names of medicines of rule `{name}` met nothing ({each['unknown_rows']} rows), "
        f"{each['ingredient_names']} an ingredient alone ({each['ingredient_rows']} rows): what are they? Write a "
        f"`decision` for each that matters, with `vocabulary: {MEDICINE}` and the text as its `code`."
        for name, each in found.items()
        if each["unknown_names"] or each["ingredient_names"]
    ]
