"""Two more tables of a snapshot: rows kept aside, with file, place and reason, and codes without a concept."""

from __future__ import annotations

from collections.abc import Sequence

from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.making import ASIDE, CODES, ROWS, Made
from sojourn.node.harmonise.staging import ASIDE as UNREADABLE
from sojourn.node.harmonise.steps import Step, Steps
from sojourn.omop.identifiers import file_place, literal, record_place

QUARANTINE_TABLE, UNMAPPED_TABLE = "quarantine", "unmapped"


def kept_aside(made: Made, engine: Engine, steps: Steps) -> Step:
    """file, path (which of its files), rule, table, record (place among that file's sound rows, from 1) or line (of
    the file), reason, columns.
    """
    selects, follows = [], []
    for name, pieces in made.files.items():
        for each in pieces:
            selects.append(_unreadable(name, each.said, str(each.step.folder / UNREADABLE)))
            follows.append([name, each.said, each.step.key])
    for part, step in made.aside:
        if step.facts["aside"]:
            said = [each.said for each in made.files[part.file]]
            selects.append(_aside(part.file, said, part.rule, part.table, str(step.folder / ASIDE)))
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


def _unreadable(file: str, said: str, path: str) -> str:
    return (
        f"SELECT {literal(file)} AS file, {literal(said)} AS path, '' AS rule, '' AS \"table\", record, line, reason, "
        f"columns FROM read_parquet({literal(path)})"
    )


def _aside(file: str, said: Sequence[str], rule: str, table: str, path: str) -> str:
    listed = ", ".join(map(literal, said))
    return (
        f"SELECT {literal(file)} AS file, [{listed}][{file_place('record')} + 1] AS path, {literal(rule)} AS rule, "
        f'{literal(table)} AS "table", {record_place("record")} + 1 AS record, NULL::UBIGINT AS line, reason, columns '
        f"FROM read_parquet({literal(path)})"
    )
