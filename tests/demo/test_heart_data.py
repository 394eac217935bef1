"""The demonstration's data: what the four files hold, where they come from, and that one dictionary fits them all."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from sojourn.analysis.variable import Kind, Variable
from sojourn.node.dictionary import Dictionary

ROOT = Path(__file__).parents[2]
HEART = ROOT / "src" / "sojourn" / "data" / "heart"
REFERENCE = ROOT / "tests" / "data" / "references" / "glm_heart_uci" / "sites"
ROWS = {"cleveland": 303, "budapest": 294, "zurich_basel": 123, "long_beach": 200}

Row = dict[str, str]


def read(site: str) -> list[Row]:
    with (HEART / f"{site}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fits(text: str, variable: Variable) -> bool:
    if text == "":
        return True
    if variable.kind is Kind.NUMBER:
        assert variable.low is not None
        assert variable.high is not None
        return variable.low <= float(text) <= variable.high
    return text in (variable.levels if variable.kind is Kind.CATEGORY else ("true", "false"))


def test_the_hospitals_have_the_rows_that_uci_counts() -> None:
    assert {site: len(read(site)) for site in ROWS} == ROWS
    assert sum(ROWS.values()) == 920


def test_no_patient_is_lost_or_doubled() -> None:
    ids = [int(row["id"]) for site in ROWS for row in read(site)]
    assert sorted(ids) == list(range(1, 921))


def test_the_mislabelled_row_is_back_in_budapest() -> None:
    cleveland, budapest = read("cleveland"), read("budapest")
    assert budapest[0]["id"] == "304"
    # what UCI documents of Cleveland once that row is out of it
    assert {name: sum(row[name] == "" for row in cleveland) for name in ("slope", "ca", "thal")} == {
        "slope": 0,
        "ca": 4,
        "thal": 2,
    }


@pytest.mark.parametrize("site", ROWS)
def test_disease_is_a_narrowed_vessel(site: str) -> None:
    assert all((row["disease"] == "true") == (int(row["num"]) > 0) for row in read(site))


def test_the_files_are_what_the_tool_makes_of_the_reference(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools" / "make_heart_data.py", REFERENCE, tmp_path], check=True, timeout=60)
    for site in ROWS:
        assert (tmp_path / f"{site}.csv").read_bytes() == (HEART / f"{site}.csv").read_bytes()


@pytest.mark.parametrize("site", ROWS)
def test_one_dictionary_fits_every_hospital(site: str) -> None:
    dictionary = Dictionary.load(HEART / "heart.dictionary.yaml")
    rows = read(site)
    assert dictionary.table == "patients"
    assert dictionary.row_is_person
    assert set(rows[0]) == {*dictionary.columns, *dictionary.excluded}
    wrong = {name for name, variable in dictionary.columns.items() for row in rows if not fits(row[name], variable)}
    assert wrong == set()
