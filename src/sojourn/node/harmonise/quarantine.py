"""Two more tables of a snapshot: rows kept aside, with file, place and reason, and codes without a concept."""

from __future__ import annotations

from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.making import ASIDE, CODES, ROWS, Made
from sojourn.node.harmonise.staging import ASIDE as UNREADABLE
from sojourn.node.harmonise.steps import Step, Steps
from sojourn.omop.identifiers import literal

QUARANTINE_TABLE, UNMAPPED_TABLE = "quarantine", "unmapped"


def kept_aside(made: Made, engine: Engine, steps: Steps) -> Step:
    """file, rule, table, record (place among the file's sound rows, from 1) or line (of the file), reason, columns."""
    selects, follows = [], []
    for name, step in made.files.items():
        selects.append(_aside(name, "", "", str(step.folder / UNREADABLE), "line"))
        follows.append([name, step.key])
    for part, step in made.aside:
        if step.facts["aside"]:
            selects.append(_aside(part.file, part.rule, part.table, str(step.folder / ASIDE), "NULL::UBIGINT"))
            follows.append([part.rule, part.table, step.key])
    sql = " UNION ALL ".join(selects)
    return steps.make("quarantine", follows, lambda folder: {"rows": engine.write(sql, folder / ROWS)})


def without_concept(made: Made, engine: Engine, steps: Steps) -> Step:
    """rule (and field), vocabulary, code, rows, reason."""
    selects = [
        f"SELECT {literal(name.removeprefix('codes_'))} AS rule, vocabulary, code, rows, unmapped AS reason "
        f"FROM read_parquet({literal(str(step.folder / CODES))}) WHERE unmapped IS NOT NULL"
        for name, step in made.codes.items()
    ] or ["SELECT '' AS rule, '' AS vocabulary, '' AS code, 0 AS rows, '' AS reason WHERE FALSE"]
    follows = [[name, step.key] for name, step in made.codes.items()]
    sql = " UNION ALL ".join(selects)
    return steps.make("unmapped", follows, lambda folder: {"rows": engine.write(sql, folder / ROWS)})


def _aside(file: str, rule: str, table: str, path: str, line: str) -> str:
    return (
        f'SELECT {literal(file)} AS file, {literal(rule)} AS rule, {literal(table)} AS "table", '
        f"record + 1 AS record, {line} AS line, reason, columns FROM read_parquet({literal(path)})"
    )
