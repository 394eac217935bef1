"""From CSV files to tables of the common data model: rows a second with mapping, lineage and quarantine, and memory.

A hundred thousand patients with diagnoses (dd/mm/yyyy, 50,000 local codes that map to conditions and observations) and
laboratory results ("<0.5", texts, two units, one of ten converted from mg/dL to mmol/L); one row in two hundred is at
fault. Vocabulary, pilot and signature stand before the clock starts; the run then reads, checks, maps, converts,
numbers, digests and publishes everything, eras included.

Run: .venv/bin/python benchmarks/harmonise.py [ROWS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import date
from pathlib import Path

import duckdb
from machine import keep, resident

from sojourn.node.harmonise import running, vocabulary_loading
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.signing import sign
from sojourn.omop.plan import Plan

ROWS = 5_000_000
PATIENTS = 100_000
CODES = 50_000
PLAN = """
source: clinic
about: {name: A made-up clinic, abbreviation: CLINIC, holder: Nobody, released: 2026-01-31}
time_zone: Europe/Rome
span: {earliest: 1900-01-01, latest: 2026-01-31}
dates:
  day: {form: "%d/%m/%Y", answered: "the benchmark"}
  moment: {form: "%Y-%m-%d %H:%M:%S", zone: Europe/Rome, answered: "the benchmark"}
files:
  patients: {path: patients.csv, key: mrn, person: mrn}
  diagnoses: {path: diagnoses.csv, person: mrn}
  labs: {path: labs.csv, person: mrn}
rules:
  person:
    file: patients
    to: person
    decided: {by: Nobody, day: 2026-02-01}
    fields:
      gender_concept_id: {values: {M: 8507, F: 8532}, of: sex}
      year_of_birth: {year: born, form: day}
      birth_datetime: {date: born, form: day}
      person_source_value: {pseudonym: mrn}
  diagnoses:
    file: diagnoses
    to: by domain
    otherwise: condition_occurrence
    tables: [condition_occurrence, observation]
    decided: {by: Nobody, day: 2026-02-01}
    concept: {code: code, vocabulary: ICD10CM}
    fields: {start: {date: day, form: day}, type: 32817}
  labs:
    file: labs
    to: measurement
    decided: {by: Nobody, day: 2026-02-01}
    concept: {code: test, vocabulary: LOINC}
    result: {value: result, unit: unit, decimal: ".", units: {2345-7: mmol/L}}
    fields:
      start: {date: taken, form: moment}
      type: 32856
observation_period:
  tables: [condition_occurrence, measurement]
  type: 32880
  decided: {by: Nobody, day: 2026-02-01}
"""


def export(folder: Path, rows: int) -> None:
    """The files, by fixed arithmetic: the same each time."""
    folder.mkdir()
    half = rows // 2
    queries = {
        "patients": f"SELECT 'M' || i AS mrn, CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END AS sex, "
        f"strftime(DATE '1930-01-01' + CAST(i % 25000 AS INTEGER), '%d/%m/%Y') AS born FROM range({PATIENTS}) AS t(i)",
        "diagnoses": f"SELECT 'M' || (i * 7919 % {PATIENTS}) AS mrn, 'C' || (i * 104729 % {CODES}) AS code, "
        "CASE WHEN i % 200 = 7 THEN '31/02/2020' ELSE strftime(DATE '2005-01-01' + CAST(i * 31 % 7000 AS INTEGER), "
        f"'%d/%m/%Y') END AS day FROM range({half}) AS t(i)",
        "labs": f"SELECT 'M' || (i * 6101 % {PATIENTS}) AS mrn, "
        "CASE WHEN i % 10 = 0 THEN '2345-7' ELSE 'L' || (i * 48611 % 2000) END AS test, "
        "CASE WHEN i % 50 = 3 THEN '<0.5' WHEN i % 50 = 4 THEN 'hemolysed' ELSE CAST((i % 9973) / 10.0 AS VARCHAR) END "
        "AS result, CASE WHEN i % 3 = 0 THEN 'mg/dL' ELSE 'mmol/L' END AS unit, "
        "CASE WHEN i % 200 = 9 THEN 'n/a' ELSE strftime(TIMESTAMP '2005-01-01' + to_minutes(i * 17 % 9000000), "
        f"'%Y-%m-%d %H:%M:%S') END AS taken FROM range({half}) AS t(i)",
    }
    with duckdb.connect() as connection:
        for name, sql in queries.items():
            connection.execute(f"COPY ({sql}) TO '{folder / name}.csv' (HEADER)")


def vocabulary(folder: Path) -> Path:
    """A download in Athena's form: local codes, each with a standard concept; every tenth is an observation."""
    codes = [("ICD10CM", f"C{i}", "Condition" if i % 10 else "Observation") for i in range(CODES)]
    codes += [("LOINC", code, "Measurement") for code in ("2345-7", *(f"L{i}" for i in range(2000)))]
    ever = "19700101\t20991231\t"
    concepts, links = [], []
    for place, (name, code, domain) in enumerate(codes):
        local, standard = 2 * place + 1, 2 * place + 2
        concepts.append(f"{local}\t{code}\t{domain}\t{name}\tcode\t\t{code}\t{ever}")
        concepts.append(f"{standard}\tThing {place}\t{domain}\tSNOMED\tDisorder\tS\tS{place}\t{ever}")
        links.append(f"{local}\t{standard}\tMaps to\t{ever}")
    tables = vocabulary_loading.TABLES
    said = {name: "\t".join(vocabulary_loading.columns_of(name)) + "\n" for name in tables}
    said["concept"] += "\n".join(concepts) + "\n"
    said["concept_relationship"] += "\n".join(links) + "\n"
    named = ("None", "ICD10CM", "LOINC", "SNOMED")
    said["vocabulary"] += "".join(
        f"{name}\t{name}\t\t{'v5.0 01-JAN-26' if name == 'None' else '1'}\t0\n" for name in named
    )
    said["domain"] += "Condition\tCondition\t19\n"
    said["concept_class"] += "Disorder\tDisorder\t40\n"
    said["relationship"] += "Maps to\tMaps to\t0\t0\tMapped from\t44818977\n"
    download, warehouse = folder / "download.zip", folder / "warehouse.duckdb"
    with zipfile.ZipFile(download, "w") as archive:
        for name, text in said.items():
            archive.writestr(f"{name.upper()}.csv", text)
    vocabulary_loading.load(download, warehouse)
    return warehouse


def timed(folder: Path) -> None:
    """The run itself, in a process of its own; prints its figures."""
    work = running.Work(folder / "node", folder / "warehouse.duckdb", PLAN, folder / "export")
    started, cpu = time.perf_counter(), time.process_time()
    done = running.run(work, lambda kind, facts: None)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    aside = sum(each["rows"] for each in done.report["aside"])
    made = sum(table["rows"] for table in done.report["tables"].values())
    print(
        json.dumps(
            {
                "seconds": seconds,
                "processor_s": used,
                "aside": aside,
                "made": made,
                "memory_MiB": resident(os.getpid(), most=True),
            }
        )
    )


def main(rows: int = ROWS) -> None:
    """Make the input, pilot and sign, then measure one run."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-", dir=".") as name:
        folder = Path(name).resolve()
        export(folder / "export", rows)
        warehouse = vocabulary(folder)
        work = running.Work(folder / "node", warehouse, PLAN, folder / "export")
        running.pilot(work, 0.01)
        plan = Plan.from_yaml(PLAN)
        sign(Places(work.home, plan.source).pilot(plan.digest()), plan, "Nobody", date(2026, 2, 1))
        command = [sys.executable, __file__, "--timed", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        figures = json.loads(done.stdout.splitlines()[-1])
    read = rows + PATIENTS
    keep(
        "harmonise",
        {
            "rows": read,
            **{word: round(value, 2) for word, value in figures.items()},
            "rows_per_second": round(read / figures["seconds"]),
            "rows_per_processor_second": round(read / figures["processor_s"]),
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        timed(Path(sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
