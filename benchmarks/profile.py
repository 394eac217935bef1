"""What a profile costs: rows a second and memory, of one CSV file of four narrow columns.

The columns are a patient's number (one of 50 rows), one of 50,000 codes, a day (dd/mm/yyyy) and a measured value; all
by fixed arithmetic. A process of its own profiles the file as `sojourn harmonise profile` does, drafts included.

Run: .venv/bin/python benchmarks/profile.py [--rows ROWS] [--folder FOLDER]   (30 MB of disk a million rows)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb
from machine import keep, resident

from sojourn.node.harmonise import profiling, profiling_files

ROWS = 100_000_000


def export(path: Path, rows: int) -> None:
    """The file: the same bytes each time."""
    query = (
        f"SELECT i * 7919 % {max(1, rows // 50)} AS patient, 'C' || (i * 104729 % 50000) AS code, "
        "strftime(DATE '2005-01-01' + CAST(i * 31 % 7000 AS INTEGER), '%d/%m/%Y') AS day, "
        f"CAST((i % 9973) / 10.0 AS VARCHAR) AS result FROM range({rows}) AS t(i)"
    )
    with duckdb.connect(config={"threads": "1"}) as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (HEADER)")


def timed(path: Path) -> None:
    """The profile itself; prints its figures."""
    started, cpu = time.perf_counter(), time.process_time()
    made = profiling.profile(path)
    profiling_files.write(made, path.parent / "profile")
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    (table,) = made.document["tables"]
    figures = {"seconds": seconds, "processor_s": used, "memory_MiB": resident(os.getpid(), most=True)}
    print(json.dumps({"profiled": table["rows"], "columns": len(table["columns"]), **figures}))


def main(rows: int, folder: Path) -> None:
    """Make the file, measure one profile of it, and remove it."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-", dir=folder) as name:
        path = Path(name).resolve() / "results.csv"
        export(path, rows)
        size = path.stat().st_size
        command = [sys.executable, __file__, "--timed", str(path)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures = json.loads(done.stdout.splitlines()[-1])
    assert figures.pop("profiled") == rows
    keep(
        "profile",
        {
            "rows": rows,
            "file_MiB": round(size / 2**20),
            **{word: round(value, 2) for word, value in figures.items()},
            "rows_per_second": round(rows / figures["seconds"]),
        },
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--timed", type=Path)
    asked = parser.parse_args()
    if asked.timed:
        timed(asked.timed)
    else:
        main(asked.rows, asked.folder)
