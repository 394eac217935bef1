"""What it costs to load a vocabulary download: seconds, memory and disk, of a zip in Athena's form.

A whole download has some 9 million concepts, 50 million relationships and 70 million ancestors; `--part 0.1` makes a
tenth of each. Names, codes and links are by fixed arithmetic; each second concept is a code that `Maps to` the
standard one before it. The warehouse then holds it beside a second version, which is the first and a tenth more.

Run: .venv/bin/python benchmarks/vocabulary.py [--part PART] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import duckdb
from machine import keep, resident

from sojourn.node.harmonise import vocabulary_loading
from sojourn.node.harmonise.vocabulary_tables import TABLES, columns_of

WHOLE = {"concept": 9_000_000, "concept_relationship": 50_000_000, "concept_ancestor": 70_000_000, "synonym": 9_000_000}
EVER = "'19700101', '20991231', ''"
SMALL = {
    "vocabulary": "None\tOMOP\t\tv5.0 {version}\t0\nSNOMED\tSNOMED\t\t1\t0\nICD10CM\tICD10CM\t\t1\t0\n",
    "domain": "Condition\tCondition\t19\n",
    "concept_class": "Disorder\tDisorder\t40\n",
    "relationship": "Maps to\tMaps to\t0\t0\tMapped from\t44818977\nIs a\tIs a\t1\t1\tSubsumes\t44821723\n",
}


def queries(part: float) -> dict[str, str]:
    """The rows of each large table, in the order of the CDM's columns."""
    many = {name: int(count * part) for name, count in WHOLE.items()}
    concepts = many["concept"]
    return {
        "concept": "SELECT i, 'Disorder of the ' || md5(CAST(i AS VARCHAR)) || ' region', 'Condition', "
        "CASE WHEN i % 2 = 0 THEN 'SNOMED' ELSE 'ICD10CM' END, 'Disorder', CASE WHEN i % 2 = 0 THEN 'S' ELSE '' END, "
        f"'K' || (i * 7 + 100000), {EVER} FROM range({concepts}) AS t(i)",
        # every concept's map first, then links between standard ones
        "concept_relationship": f"SELECT CASE WHEN i < {concepts} THEN i ELSE i * 7919 % {concepts} END, "
        f"CASE WHEN i < {concepts} THEN i - i % 2 ELSE i * 104729 % {concepts} END, "
        f"CASE WHEN i < {concepts} THEN 'Maps to' ELSE 'Is a' END, {EVER} FROM range({many['concept_relationship']}) "
        "AS t(i)",
        "concept_ancestor": f"SELECT i * 7919 % {concepts}, i % {concepts}, i % 9, i % 9 + i % 3 "
        f"FROM range({many['concept_ancestor']}) AS t(i)",
        "concept_synonym": f"SELECT i % {concepts}, 'Known as ' || md5(CAST(i AS VARCHAR)), 4180186 "
        f"FROM range({many['synonym']}) AS t(i)",
    }


def download(folder: Path, part: float, version: str) -> Path:
    """The zip, as Athena writes it: tab-separated, nothing quoted."""
    path = folder / f"download-{version}.zip"
    made = queries(part)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, duckdb.connect() as connection:
        for table in TABLES:
            passing = folder / f"{table}.csv"
            if table in made:
                names = ", ".join(columns_of(table))
                connection.execute(
                    f"COPY (SELECT * FROM ({made[table]}) AS made({names})) TO '{passing}' "
                    "(HEADER, DELIMITER '\t', QUOTE '')"
                )
            else:
                rows = SMALL.get(table, "").format(version=version)
                passing.write_text("\t".join(columns_of(table)) + "\n" + rows, encoding="utf-8")
            archive.write(passing, f"{table.upper()}.csv")
            passing.unlink()
    return path


def timed(path: Path, warehouse: Path) -> None:
    """One load; prints its figures."""
    started, cpu = time.perf_counter(), time.process_time()
    done = vocabulary_loading.load(path, warehouse)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    assert done.current
    figures = {"seconds": seconds, "processor_s": used, "memory_MiB": resident(os.getpid(), most=True)}
    print(json.dumps({**figures, "warehouse_MiB": warehouse.stat().st_size / 2**20, "rows": sum(done.counts.values())}))


def main(part: float, folder: Path) -> None:
    """Make two downloads and load one after the other."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-", dir=folder) as name:
        place = Path(name).resolve()
        for word, version, size in (("first", "01-JAN-26", part), ("second", "01-FEB-26", 1.1 * part)):
            path = download(place, size, version)
            command = [sys.executable, __file__, "--timed", str(path), str(place / "warehouse.duckdb")]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures = json.loads(done.stdout.splitlines()[-1])
            zipped = round(path.stat().st_size / 2**20)
            found[word] = {"zip_MiB": zipped, **{word: round(value, 1) for word, value in figures.items()}}
            path.unlink()
    keep("vocabulary", {"part": part, **found})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--part", type=float, default=0.1)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--timed", type=Path, nargs=2)
    asked = parser.parse_args()
    if asked.timed:
        timed(*asked.timed)
    else:
        main(asked.part, asked.folder)
