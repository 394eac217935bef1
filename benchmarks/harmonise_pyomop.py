"""pyomop's own loader on an export of `harmonise.py`, as a process of its own; prints seconds and versions as JSON.

It runs under the Python of an environment that holds pyomop and nothing of ours: pyomop is under the GPL 3, is no part
of this product and is never imported by it. Tables and vocabulary stand before the clock starts. All files are one
CSV with a column that says the kind of a row, as its own FHIR route makes them, so that what it does once a load, it
does once.

Run: PYTHON_OF_PYOMOP benchmarks/harmonise_pyomop.py EXPORT VOCABULARY WORK
"""

from __future__ import annotations

import asyncio
import importlib
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

NOTHING = {"const": 0}
MAPPING: dict[str, Any] = {
    "csv_key": "mrn",
    "tables": [
        {
            "name": "person",
            "filters": [{"column": "kind", "equals": "patients"}],
            "columns": {
                "gender_concept_id": NOTHING,
                "gender_source_value": "sex",
                "year_of_birth": NOTHING,
                "birth_datetime": "born",
                "race_concept_id": NOTHING,
                "ethnicity_concept_id": NOTHING,
                "person_source_value": "mrn",
            },
        },
        {
            "name": "condition_occurrence",
            "filters": [{"column": "kind", "equals": "diagnoses"}],
            "columns": {
                "person_id": "mrn",
                "condition_concept_id": NOTHING,
                "condition_start_date": "day",
                "condition_type_concept_id": {"const": 32817},
                "condition_source_value": "code",
            },
        },
        {
            "name": "measurement",
            "filters": [{"column": "kind", "equals": "labs"}],
            "columns": {
                "person_id": "mrn",
                "measurement_concept_id": NOTHING,
                "measurement_date": "taken",
                "measurement_datetime": "taken",
                "measurement_type_concept_id": {"const": 32856},
                "value_as_number": "result",
                "measurement_source_value": "test",
                "unit_source_value": "unit",
                "value_source_value": "result",
            },
        },
    ],
    "concept": [
        {
            "table": "condition_occurrence",
            "mappings": [{"source": "condition_source_value", "target": "condition_concept_id"}],
        },
        {
            "table": "measurement",
            "mappings": [{"source": "measurement_source_value", "target": "measurement_concept_id"}],
        },
    ],
}
MAPPED = "SELECT count(*) FROM {} WHERE {} <> 0 AND person_id <> 0"
COUNTS = {
    "person": "SELECT count(*) FROM person WHERE gender_concept_id <> 0 AND year_of_birth <> 0",
    "condition_occurrence": MAPPED.format("condition_occurrence", "condition_concept_id"),
    "measurement": MAPPED.format("measurement", "measurement_concept_id"),
}


def joined(export: Path, to: Path) -> Path:
    """One CSV of all rows, and its mapping beside it."""
    pandas = importlib.import_module("pandas")
    frames = [
        pandas.read_csv(path, dtype=str).assign(kind=path.stem)
        for path in sorted(export.glob("*.csv"), key=lambda path: path.stem != "patients")
    ]
    made = to / "all.csv"
    pandas.concat(frames).to_csv(made, index=False)
    (to / "mapping.json").write_text(json.dumps(MAPPING), encoding="utf-8")
    return made


async def load(export: Path, vocabulary: Path, work: Path) -> dict[str, Any]:
    """Make its database, load the vocabulary, then time the loader."""
    pyomop, model, database = (importlib.import_module(name) for name in ("pyomop", "pyomop.cdm54", "sqlite3"))
    rows = joined(export, work)
    cdm = pyomop.CdmEngineFactory(db="sqlite", name=str(work / "cdm.sqlite"))
    assert cdm.engine is not None
    await cdm.init_models(model.Base.metadata)
    await pyomop.CdmVocabulary(cdm).create_vocab(str(vocabulary))
    started, cpu = time.perf_counter(), time.process_time()
    await pyomop.CdmCsvLoader(cdm).load(str(rows), str(work / "mapping.json"))
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    await cdm.dispose()
    with database.connect(work / "cdm.sqlite") as connection:
        mapped = {table: connection.execute(sql).fetchone()[0] for table, sql in COUNTS.items()}
    return {"seconds": seconds, "processor_s": used, "mapped": mapped}


def main() -> None:
    """Load and print."""
    figures = asyncio.run(load(*map(Path, sys.argv[1:4])))
    names = ("pyomop", "pandas", "sqlalchemy", "aiosqlite")
    figures["versions"] = {"python": platform.python_version(), **{name: version(name) for name in names}}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
