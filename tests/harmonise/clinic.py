"""A small made-up clinic: its export as CSV, a plan, a vocabulary, and runs of it, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from harmonise import athena
from sojourn.node.harmonise import running, vocabulary_loading
from sojourn.node.harmonise.databases import Database
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.publishing import history
from sojourn.node.harmonise.signing import sign
from sojourn.omop.plan import Plan
from sojourn.omop.tables import TABLES

PLAN = """
source: clinic
about: {name: A made-up clinic, abbreviation: CLINIC, holder: Nobody, released: 2026-01-31}
time_zone: Europe/Rome
span: {earliest: 1900-01-01, latest: 2026-01-31}
quarantine_at_most: 1
dates:
  day: {form: "%d/%m/%Y", answered: "Dr Rossi, 2026-01-12"}
files:
  patients: {path: patients.csv, key: mrn, person: mrn}
  stays: {path: stays.csv, key: [mrn, stay], person: mrn}
  diagnoses: {path: diagnoses.csv, person: mrn}
rules:
  person:
    file: patients
    to: person
    decided: {by: Ada Example, day: 2026-02-01}
    fields:
      gender_concept_id: {values: {M: 8507, F: 8532}, of: sex}
      year_of_birth: {year: born, form: day}
      birth_datetime: {date: born, form: day}
      person_source_value: {pseudonym: mrn}
  death:
    file: patients
    to: death
    where: died IS NOT NULL
    decided: {by: Ada Example, day: 2026-02-01}
    fields: {start: {date: died, form: day}, type: 32817}
  stays:
    file: stays
    to: visit_occurrence
    decided: {by: Ada Example, day: 2026-02-01}
    fields:
      visit_concept_id: {values: {ward: 9201}, of: kind, otherwise: quarantine}
      start: {date: from, form: day}
      end: {date: [until, from], form: day}
      type: 32817
  diagnoses:
    file: diagnoses
    to: by domain
    otherwise: condition_occurrence
    tables: [condition_occurrence, observation]
    decided: {by: Ada Example, day: 2026-02-01, why: "Discharge diagnoses."}
    concept: {code: code, vocabulary: ICD10CM}
    fields:
      start: {date: day, form: day}
      visit: {id: visit_occurrence, of: [mrn, stay]}
      type: 32817
observation_period: {tables: [visit_occurrence, condition_occurrence], type: 32880, decided: {by: Ada, day: 2026-02-01}}
"""
FILES = {
    "patients": "mrn,sex,born,died\n1,F,29/02/1960,\n2,M,03/04/1971,05/06/2020\n3,F,11/11/1999,\n",
    "stays": "mrn,stay,kind,from,until\n1,a,ward,01/02/2019,09/02/2019\n2,a,ward,30/05/2020,05/06/2020\n",
    "diagnoses": "mrn,stay,code,day\n1,a,S82.0,02/02/2019\n1,,J18,10/02/2019\n2,a,J18,31/05/2020\n3,,Q99,01/01/2024\n",
}
# Beside those of `athena`: one code of two things, one of a thing with a value, a circle, one that leads nowhere.
CONCEPTS: list[tuple[Any, ...]] = [
    *athena.CONCEPTS,
    (10, "Fracture and pneumonia", "Condition", "ICD10CM", "code", "", "TWO"),
    (11, "Blood group A", "Observation", "ICD10CM", "code", "", "VAL"),
    (12, "Blood group", "Observation", "SNOMED", "Observable Entity", "S", "365637002"),
    (13, "Group A", "Meas Value", "SNOMED", "Qualifier Value", "S", "112144000"),
    (14, "Chicken", "Condition", "ICD10CM", "code", "", "HEN"),
    (15, "Egg", "Condition", "ICD10CM", "code", "", "EGG"),
    (16, "Old", "Condition", "ICD10CM", "code", "", "OLD"),
    (17, "Older", "Condition", "ICD10CM", "code", "", "OLDER"),
    (18, "Left", "Spec Anatomic Site", "ICD10CM", "code", "", "SITE"),
    (19, "Left side", "Spec Anatomic Site", "SNOMED", "Body Structure", "S", "7771000"),
    (20, "Replaced", "Condition", "ICD10CM", "code", "", "FAR"),
]
MAPS = [*athena.MAPS, (10, 1), (10, 3), (11, 12), (14, 15), (15, 14), (16, 17), (18, 19), (20, 4)]
VALUES = [(11, 13)]


def vocabulary(folder: Path, version: str = "v5.0 01-JAN-26", **changes: Any) -> Path:
    """A warehouse with one loaded version."""
    rows = athena.tables(version, changes.get("concepts", CONCEPTS), changes.get("maps", MAPS))
    rows["concept_relationship"] += [(a, b, "Maps to value", *athena.EVER, "") for a, b in VALUES]
    rows["concept_ancestor"] += changes.get("ancestors", [])
    rows["vocabulary"] += [(name, name, "", "2026", 0) for name in ("ICD10CM", "SNOMED", "RxNorm")]
    warehouse = folder / "warehouse.duckdb"
    vocabulary_loading.load(athena.write_zip(folder / f"download-{version[-6:]}.zip", rows), warehouse)
    return warehouse


@dataclass
class Clinic:
    """A node's home with an export beside it."""

    folder: Path
    warehouse: Path
    plan: str = PLAN
    log: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    databases: Mapping[str, Database] = field(default_factory=dict)

    def write(self, files: Mapping[str, str | bytes] = FILES) -> None:
        """Write files of the export."""
        self.export.mkdir(exist_ok=True)
        for name, text in files.items():
            (self.export / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())

    @property
    def export(self) -> Path:
        return self.folder / "export"

    @property
    def home(self) -> Path:
        return self.folder / "node"

    @property
    def places(self) -> Places:
        return Places(self.home, Plan.from_yaml(self.plan).source)

    @property
    def work(self) -> running.Work:
        return running.Work(self.home, self.warehouse, self.plan, self.export, databases=self.databases)

    def audit(self, kind: str, facts: dict[str, Any]) -> None:
        self.log.append((kind, facts))

    def signed(self) -> None:
        """Pilot the plan and sign it."""
        running.pilot(self.work, 1.0)
        plan = Plan.from_yaml(self.plan)
        sign(self.places.pilot(plan.digest()), plan, "Ada Example", date(2026, 2, 2))

    def run(self) -> running.Run:
        """Run it, signed."""
        return running.run(self.work, self.audit)

    def made(self) -> running.Run:
        """Pilot, sign and run."""
        self.signed()
        return self.run()

    def rows(self, table: str, columns: str = "*", snapshot: str = "") -> list[tuple[Any, ...]]:
        """Sorted rows of the snapshot that readers take."""
        folder = self.places.snapshots / (snapshot or history(self.places).current) / table
        with duckdb.connect() as connection:
            return connection.execute(
                f"SELECT {columns} FROM read_parquet('{folder}/*.parquet') ORDER BY ALL"
            ).fetchall()

    def everything(self, snapshot: str = "") -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables of a snapshot."""
        folder = self.places.snapshots / (snapshot or history(self.places).current)
        return {
            path.name: self.rows(path.name, _columns(path.name), snapshot)
            for path in sorted(folder.iterdir())
            if path.is_dir()
        }


def _columns(table: str) -> str:
    return ", ".join(f'"{column.name}"' for column in TABLES[table].columns) if table in TABLES else "*"
