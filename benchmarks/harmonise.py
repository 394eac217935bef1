"""From CSV files to tables of the common data model: rows a second with mapping, lineage and quarantine, and memory.

A hundred thousand patients with diagnoses (dd/mm/yyyy, 50,000 local codes that map to conditions and observations) and
laboratory results ("<0.5", texts, two units, one of ten converted from mg/dL to mmol/L); one row in two hundred is at
fault. Vocabulary, pilot and signature stand before the clock starts; the run then reads, checks, maps, converts,
numbers, digests and publishes everything, eras included.

Beside it pyomop's CSV loader, in one run on the same smaller export (`harmonise_pyomop.py`): the same columns to the
same tables, codes looked up. It takes the day of dd/mm/yyyy for the month where it can, and loads nothing where one
date cannot be read, so that this export has neither. It converts no units, follows no `Maps to`, keeps no lineage and
no quarantine, derives no eras and publishes no snapshot; ours does all of that here too.

Run: .venv/bin/python benchmarks/harmonise.py [ROWS] [--peer PYTHON_WITH_PYOMOP]
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
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
from machine import keep, resident

from sojourn.node.harmonise import running, vocabulary_loading
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.signing import sign
from sojourn.omop.plan import Plan

ROWS = 5_000_000
PATIENTS = 100_000
CODES = 50_000
PEER_ROWS, PEER_PATIENTS = 100_000, 2_000
PYOMOP = "6.4.0"
PEER = Path(__file__).with_name("harmonise_pyomop.py")
SOUND = "sound"  # marks an export without rows at fault
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


def export(folder: Path, rows: int, patients: int = PATIENTS, sound: bool = False) -> None:
    """The files, by fixed arithmetic: the same each time. sound: with days as YYYY-MM-DD, and no row at fault."""
    folder.mkdir()
    half, codes, day = rows // 2, codes_of(patients), "%Y-%m-%d" if sound else "%d/%m/%Y"
    late, never = ("FALSE", "FALSE") if sound else ("i % 200 = 7", "i % 200 = 9")
    queries = {
        "patients": f"SELECT 'M' || i AS mrn, CASE WHEN i % 2 = 0 THEN 'F' ELSE 'M' END AS sex, "
        f"strftime(DATE '1930-01-01' + CAST(i % 25000 AS INTEGER), '{day}') AS born FROM range({patients}) AS t(i)",
        "diagnoses": f"SELECT 'M' || (i * 7919 % {patients}) AS mrn, 'C' || (i * 104729 % {codes}) AS code, "
        f"CASE WHEN {late} THEN '31/02/2020' ELSE strftime(DATE '2005-01-01' + CAST(i * 31 % 7000 AS INTEGER), "
        f"'{day}') END AS day FROM range({half}) AS t(i)",
        "labs": f"SELECT 'M' || (i * 6101 % {patients}) AS mrn, "
        "CASE WHEN i % 10 = 0 THEN '2345-7' ELSE 'L' || (i * 48611 % 2000) END AS test, "
        "CASE WHEN i % 50 = 3 THEN '<0.5' WHEN i % 50 = 4 THEN 'hemolysed' ELSE CAST((i % 9973) / 10.0 AS VARCHAR) END "
        "AS result, CASE WHEN i % 3 = 0 THEN 'mg/dL' ELSE 'mmol/L' END AS unit, "
        f"CASE WHEN {never} THEN 'n/a' ELSE strftime(TIMESTAMP '2005-01-01' + to_minutes(i * 17 % 9000000), "
        f"'%Y-%m-%d %H:%M:%S') END AS taken FROM range({half}) AS t(i)",
    }
    with duckdb.connect() as connection:
        for name, sql in queries.items():
            connection.execute(f"COPY ({sql}) TO '{folder / name}.csv' (HEADER)")


def codes_of(patients: int) -> int:
    """How many codes their diagnoses have: each stands in fifty rows."""
    return CODES * patients // PATIENTS


def vocabulary(folder: Path, patients: int = PATIENTS) -> Path:
    """A download in Athena's form: local codes, each with a standard concept; every tenth is an observation."""
    codes = [("ICD10CM", f"C{i}", "Condition" if i % 10 else "Observation") for i in range(codes_of(patients))]
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
    work = running.Work(folder / "node", folder / "warehouse.duckdb", plan_of(folder), folder / "export")
    started, cpu = time.perf_counter(), time.process_time()
    done = running.run(work, lambda kind, facts: None)
    seconds, used = time.perf_counter() - started, time.process_time() - cpu
    aside = sum(each["rows"] for each in done.report["aside"])
    made = sum(table["rows"] for table in done.report["tables"].values())
    figures = {"seconds": seconds, "processor_s": used, "aside": aside, "made": made}
    print(json.dumps({**figures, "memory_MiB": resident(os.getpid(), most=True)}))


def plan_of(folder: Path) -> str:
    """The plan of an export, whose days are of one of two forms."""
    return PLAN.replace("%d/%m/%Y", "%Y-%m-%d") if (folder / SOUND).exists() else PLAN


def measured(folder: Path, rows: int, patients: int) -> dict[str, float]:
    """Pilot and sign, then one run of ours over the export in a folder."""
    text = plan_of(folder)
    work = running.Work(folder / "node", folder / "warehouse.duckdb", text, folder / "export")
    running.pilot(work, 0.01 if patients == PATIENTS else 1.0)
    plan = Plan.from_yaml(text)
    sign(Places(work.home, plan.source).pilot(plan.digest()), plan, "Nobody", date(2026, 2, 1))
    done = subprocess.run(
        [sys.executable, __file__, "--timed", str(folder)], check=True, capture_output=True, text=True
    )
    return rated(rows + patients, json.loads(done.stdout.splitlines()[-1]))


def rated(read: int, figures: dict[str, float]) -> dict[str, float]:
    """Figures with their rates."""
    return {
        "rows": read,
        **{word: round(value, 2) for word, value in figures.items()},
        "rows_per_second": round(read / figures["seconds"]),
        "rows_per_processor_second": round(read / figures["processor_s"]),
    }


def compared(folder: Path, python: str) -> dict[str, Any]:
    """pyomop and ours, one after the other, on one export that both can read."""
    export(folder / "export", PEER_ROWS, PEER_PATIENTS, sound=True)
    (folder / SOUND).touch()
    vocabulary(folder, PEER_PATIENTS)
    with zipfile.ZipFile(folder / "download.zip") as archive:
        archive.extractall(folder / "vocabulary")
    (folder / "peer").mkdir()
    words = [python, str(PEER), *(str(folder / name) for name in ("export", "vocabulary", "peer"))]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    versions, mapped = said.pop("versions"), said.pop("mapped")
    theirs = rated(PEER_ROWS + PEER_PATIENTS, said)
    ours = measured(folder, PEER_ROWS, PEER_PATIENTS)
    times = {word: round(ours[word] / theirs[word]) for word in ("rows_per_second", "rows_per_processor_second")}
    return {"versions": versions, "pyomop": {**theirs, "mapped": mapped}, "sojourn": ours, "times": times}


def environment(folder: Path) -> str:
    """The Python of a new environment that holds the peer: it is no dependency, see decision 55."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = str(folder / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"pyomop=={PYOMOP}"], check=True)
    return python


def main(rows: int = ROWS, python: str = "") -> None:
    """Make the input, pilot and sign, and measure one run; then the peer. python: of an environment with pyomop."""
    with tempfile.TemporaryDirectory(prefix="sojourn-bench-", dir=".") as name:
        whole, peer = Path(name).resolve() / "whole", Path(name).resolve() / "peer"
        whole.mkdir()
        peer.mkdir()
        export(whole / "export", rows)
        vocabulary(whole)
        ours = measured(whole, rows, PATIENTS)
        keep("harmonise", {**ours, "beside_pyomop": compared(peer, python or environment(peer / "environment"))})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--timed"]:
        timed(Path(sys.argv[2]))
    else:
        asked = argparse.ArgumentParser(description="Rows a second, ours and pyomop's.")
        asked.add_argument("rows", nargs="?", type=int, default=ROWS)
        asked.add_argument("--peer", default="", metavar="PYTHON", help="of an environment that holds pyomop")
        main(asked.parse_args().rows, asked.parse_args().peer)
