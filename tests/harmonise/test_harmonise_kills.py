"""A run killed at any point: readers keep what they had, and the next run ends with the same tables, hash for hash."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harmonise.clinic import FILES, Clinic, vocabulary
from harmonise.synthea import synthea
from sojourn.node.harmonise.hashing import table_hashes
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.publishing import history, manifest_of

SCRIPT = Path(__file__).with_name("mortal_run.py")


def lives(clinic: Clinic, at: list[tuple[Path, int]]) -> list[dict[str, Any]]:
    """One child a home, killed at that number, or (0) left to come to its end."""
    work = {"warehouse": str(clinic.warehouse), "export": str(clinic.export), "plan_text": clinic.plan}
    order = json.dumps({"work": work, "at": [[str(home), number] for home, number in at]})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), order], capture_output=True, text=True, env=environment, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def copied(clinic: Clinic, name: str) -> Path:
    return Path(shutil.copytree(clinic.home, clinic.folder / name))


def tables_of(clinic: Clinic, home: Path) -> dict[str, tuple[int, str, str]]:
    """Rows, the run's digest and SHA-256 of each table that readers of a home take."""
    places = replace_home(clinic, home)
    tables, hashes = manifest_of(places)["tables"], table_hashes(places)
    return {name: (table["rows"], table["digest"], hashes[name]) for name, table in tables.items()}


def replace_home(clinic: Clinic, home: Path) -> Places:
    return replace(clinic.places, home=home)


def survives(clinic: Clinic, kills: int, seed: int) -> None:
    """Kill a run at that many points, each in a copy of the home, and let the next run come to its end."""
    old = history(clinic.places).current
    whole = copied(clinic, "whole")
    (ended,) = lives(clinic, [(whole, 0)])
    assert ended["signal"] == 0 and ended["count"] > 40
    expected, everything = tables_of(clinic, whole), Clinic(clinic.folder, clinic.warehouse, clinic.plan)
    new = history(replace_home(clinic, whole)).current
    assert new != old
    points = sorted(random.Random(seed).sample(range(1, ended["count"] + 1), kills))
    homes = [copied(clinic, f"killed-{point}") for point in points]
    died = lives(clinic, list(zip(homes, points, strict=True)))
    assert [each["signal"] for each in died] == [signal.SIGKILL] * kills
    for home, point in zip(homes, points, strict=True):
        now = history(replace_home(clinic, home)).current
        assert now in (old, new), point
        manifest_of(replace_home(clinic, home))  # whole, whichever it is
    resumed = lives(clinic, [(home, 0) for home in homes])
    assert [each["signal"] for each in resumed] == [0] * kills
    for home, point in zip(homes, points, strict=True):
        assert history(replace_home(clinic, home)).current == new, point
        assert tables_of(clinic, home) == expected, point
        assert not any((replace_home(clinic, home).work).iterdir()), point
    assert everything.plan == clinic.plan


@pytest.mark.long
def test_a_small_run_killed_at_three_points(tmp_path: Path) -> None:
    clinic = Clinic(tmp_path, vocabulary(tmp_path))
    clinic.write()
    clinic.made()
    clinic.write(
        {
            "diagnoses": FILES["diagnoses"] + "2,a,TWO,01/06/2020\n",
            "stays": FILES["stays"] + "3,a,ward,01/01/2024,02/01/2024\n",
        }
    )
    survives(clinic, 3, 5)


@pytest.mark.nightly
def test_the_synthetic_hospital_killed_at_ten_random_points(tmp_path: Path) -> None:
    clinic = synthea(tmp_path)
    conditions = (clinic.export / "conditions.csv.gz").read_bytes()
    half = FIRST_CONDITIONS.encode()
    (clinic.export / "conditions.csv.gz").unlink()
    (clinic.export / "conditions.csv").write_bytes(half)
    clinic.made()
    (clinic.export / "conditions.csv").unlink()
    (clinic.export / "conditions.csv.gz").write_bytes(conditions)
    survives(clinic, 10, 11)


FIRST_CONDITIONS = (
    "START,STOP,PATIENT,ENCOUNTER,SYSTEM,CODE,DESCRIPTION\n"
    "2001-05-28,2007-07-09,07cb2889-a47c-bede-f317-57a3822ec014,57d6cc36-4f34-b14f-405d-83635d410871,SNOMED-CT,80967001,Dental caries\n"  # noqa: E501
)
