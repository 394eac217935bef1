"""`sojourn dataset add NAME --harmonised SOURCE`: a dataset out of published tables."""

from __future__ import annotations

from pathlib import Path

from sojourn.errors import DatasetError
from sojourn.node import program
from sojourn.node.config import NodeHome
from sojourn.node.draft import draft_dictionary
from sojourn.report.printing import answer


def add_harmonised(name: str, source: str, table: str, dictionary: Path | None, home: Path, as_json: bool) -> None:
    """Draft a dictionary of the table into NAME.dictionary.yaml, or import the table under an approved one."""
    if dictionary is not None:
        words = {"source": source, "table": table, "dictionary": str(dictionary.resolve()), "name": name}
        done = program.ask(home, "add_harmonised", **words)
        counts = f"{done['rows']} rows, {done['persons']} persons"
        line = f"Table {name} is there: {counts}, snapshot {done['snapshot']}, of {source} {done['harmonised']}."
        answer(done, as_json, [line])
        return
    from sojourn.node.harmonise.handing import handed
    from sojourn.omop.person_tables import PERSON, concept_columns

    path = Path(f"{name}.dictionary.yaml")
    if "/" in name or path.exists():
        raise DatasetError(
            "There is a draft already, or the name is no name.", remedy=f"Review {path.name}, or remove it."
        )
    with handed(NodeHome.load(home).folder, source, table) as made:
        draft_dictionary(made.path, PERSON, False, table=name, codes=concept_columns(table)).save(path)
    again = f"sojourn dataset add {name} --harmonised {source} --table {table} --dictionary {path} --home {home}"
    lines = [
        f"Drafted {path}. Nothing was imported.",
        "Review every line: only what it approves can ever be analysed.",
        f"Then, and after each new run, undo or redo: {again}",
    ]
    answer({"draft": str(path)}, as_json, lines)
