"""The table of a rule's names of medicines: each distinct text read once, then met with the vocabulary in one query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.vocabulary_drugs import names
from sojourn.node.warehouse import quote
from sojourn.omop.drugs import form_named
from sojourn.omop.identifiers import literal
from sojourn.omop.medicines import STRUCT, Reader, base
from sojourn.omop.medicines_sql import FORM_COLUMNS, UNIT_COLUMNS

NAMES = "names.parquet"
MOST_NAMES = 2_000_000  # distinct in one rule; each is read once, in Python
_AT_ONCE = 200_000  # that meet the vocabulary together, so that memory stays bounded
_WANTED = "wanted.parquet"
_FUNCTION = "medicine_read"
_UNITS = (
    "SELECT concept_id, concept_code FROM vocabulary.concept WHERE vocabulary_id = 'UCUM' AND concept_id IN ("
    "SELECT amount_unit_concept_id FROM vocabulary.drug_strength UNION SELECT numerator_unit_concept_id "
    "FROM vocabulary.drug_strength UNION SELECT denominator_unit_concept_id FROM vocabulary.drug_strength)"
)
_FORMS = "SELECT concept_id, concept_name FROM vocabulary.concept WHERE concept_class_id = 'Dose Form'"


def write_codes(engine: Engine, rule: str, wanted: str, codes: str, folder: Path, to: Path) -> int:
    """Write the table; how many rows. HarmonisationError where a rule has more distinct names than can be names."""
    count = engine.write(wanted, folder / _WANTED)
    if count > MOST_NAMES:
        raise HarmonisationError(
            f"Rule `{rule}` has {count:,} distinct names of medicines; {MOST_NAMES:,} are the most.",
            remedy="Such a column is free text or numbers: take another one, or take its rows apart with `where`.",
        )
    _read(engine, folder / _WANTED, folder / NAMES)
    units = [(str(row[0]), *known) for row in engine.rows(_UNITS) if (known := base(str(row[1])))]
    engine.keep("medicine_units", UNIT_COLUMNS, units)
    forms = [(str(row[0]), str(row[1]).lower(), form_named(str(row[1]))) for row in engine.rows(_FORMS)]
    engine.keep("medicine_forms", FORM_COLUMNS, forms)
    engine.show("names_all", (folder / NAMES,), numbered=True)
    made = []
    for start in range(0, max(count, 1), _AT_ONCE):
        within = f"_record >= {start} AND _record < {start + _AT_ONCE}"
        engine.connection.execute(
            f"CREATE OR REPLACE TEMP VIEW {quote(f'names_{rule}')} AS SELECT * FROM names_all WHERE {within}"
        )
        made.append(folder / f"{start}.parquet")
        engine.write(codes, made[-1])
    listed = ", ".join(literal(str(path)) for path in made)
    rows = engine.write(f"SELECT * FROM read_parquet([{listed}])", to)
    for path in (*made, folder / _WANTED):
        path.unlink()
    return rows


def _read(engine: Engine, wanted: Path, to: Path) -> None:
    """Every text beside what is read of it: the database calls back, a few thousand rows at a time."""
    connection: Any = engine.connection
    texts = ["VARCHAR"] * 3
    connection.create_function(_FUNCTION, Reader(names(connection)), texts, STRUCT, null_handling="special")
    try:
        engine.write(
            f"SELECT name, strength, form AS form_text, code, rows, read.parts AS parts, read.form AS form, "
            f"read.reason AS reason FROM (SELECT *, {_FUNCTION}(name, strength, form) AS read "
            f"FROM read_parquet({literal(str(wanted))}))",
            to,
            ordered=True,
        )
    finally:
        connection.remove_function(_FUNCTION)
