"""Several files that are one table: found by a pattern or listed, alike, and each made once."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb
import pytest

from harmonise.clinic import FILES, PLAN, Clinic, vocabulary
from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import running
from sojourn.node.harmonise.explaining import explain, words
from sojourn.node.harmonise.publishing import manifest_of
from sojourn.omop.plan import Plan

HEAD = "mrn,stay,code,day\n"
PARTS = {
    "diagnoses_2019": HEAD + "1,a,S82.0,02/02/2019\n1,,J18,10/02/2019\n1,,J18,32/02/2019\n",
    "diagnoses_2020": HEAD + "2,a,J18,31/05/2020\n",
}
SEVERAL = PLAN.replace("path: diagnoses.csv", "path: diagnoses_*.csv")
EVENT = "condition_occurrence_id, condition_source_value, condition_start_date"


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vocabulary(tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture
def clinic(tmp_path: Path, warehouse: Path) -> Clinic:
    made = Clinic(tmp_path, warehouse, SEVERAL)
    made.write({**{name: FILES[name] for name in ("patients", "stays")}, **PARTS})
    return made


def test_rows_of_all_files_are_made_and_those_kept_aside_are_found_by_file_and_record(clinic: Clinic) -> None:
    clinic.write({"diagnoses_2020": HEAD + "2,a,J18,31/05/2020\n2,a,J18\n2,a,J18,01/06/2020\n2,,J18,99/99/2020\n"})
    clinic.made()
    assert len(clinic.rows("condition_occurrence")) == 4
    found = clinic.rows("quarantine", "file, path, record, line, reason")
    assert found == [
        ("diagnoses", "diagnoses_2019.csv", 3, None, "unreadable date"),
        ("diagnoses", "diagnoses_2020.csv", 3, None, "unreadable date"),
        ("diagnoses", "diagnoses_2020.csv", None, 3, "ragged row"),
    ]
    file = manifest_of(clinic.places)["files"]["diagnoses"]
    assert (file["path"], file["records"], file["unreadable"]) == ("diagnoses_*.csv", 6, 1)
    assert [(part["path"], part["records"]) for part in file["parts"]] == [
        ("diagnoses_2019.csv", 3),
        ("diagnoses_2020.csv", 3),
    ]
    said = words(explain(clinic.places, clinic.warehouse, "condition_occurrence.condition_occurrence_id", None))
    assert any("the file's name and the row's place" in line for line in said)


def test_a_new_file_makes_what_depends_on_it_and_no_row_gets_another_number(clinic: Clinic) -> None:
    first = clinic.made()
    before, old = clinic.everything(), _stages(clinic)
    assert clinic.run().made == 0
    clinic.write({"diagnoses_2018": HEAD + "1,,J18,01/02/2018\n"})  # before the others
    second = clinic.run()
    after = clinic.everything()
    assert second.published and second.snapshot != first.snapshot
    assert {name for name in after if after[name] != before[name]} == {
        "condition_occurrence",
        "condition_era",
        "observation_period",
    }
    assert set(before["condition_occurrence"]) < set(after["condition_occurrence"])
    assert old < _stages(clinic) and len(_stages(clinic)) == 5  # patients, stays, three of diagnoses
    (clinic.export / "diagnoses_2018.csv").unlink()
    third = clinic.run()
    assert third.snapshot == first.snapshot and clinic.everything() == before


def _stages(clinic: Clinic) -> set[str]:
    """The names of the steps that files were read into."""
    return {path.name for path in clinic.places.steps.iterdir() if "unreadable" in (path / "step.json").read_text()}


def test_one_changed_file_is_the_only_one_that_is_read_into_the_store_again(clinic: Clinic) -> None:
    clinic.made()
    old = _stages(clinic)
    clinic.write({"diagnoses_2020": PARTS["diagnoses_2020"] + "2,a,S82.0,01/06/2020\n"})
    clinic.run()
    assert len(_stages(clinic) - old) == 1


def test_a_list_of_files_of_two_kinds(clinic: Clinic) -> None:
    clinic.made()
    by_pattern = clinic.everything()
    (clinic.export / "diagnoses_2019.csv.gz").write_bytes(gzip.compress(PARTS["diagnoses_2019"].encode()))
    (clinic.export / "diagnoses_2019.csv").unlink()
    with duckdb.connect() as connection:
        place = clinic.export / "diagnoses_2020"
        connection.execute(
            f"COPY (SELECT * FROM read_csv('{place}.csv', all_varchar=true)) TO '{place}.parquet' (FORMAT parquet)"
        )
    clinic.plan = PLAN.replace("path: diagnoses.csv", "path: [diagnoses_2020.parquet, diagnoses_2019.csv]")
    clinic.made()
    keep = "condition_concept_id, condition_source_value, condition_start_date, visit_occurrence_id"
    assert len(clinic.rows("condition_occurrence", keep)) == len(by_pattern["condition_occurrence"]) == 3


def test_an_earlier_row_of_another_file_has_the_key(clinic: Clinic) -> None:
    clinic.plan = SEVERAL.replace("path: diagnoses_*.csv,", "path: diagnoses_*.csv, key: [mrn, day],")
    clinic.write({"diagnoses_2020": PARTS["diagnoses_2020"] + "1,,J18,10/02/2019\n"})
    clinic.made()
    assert ("diagnoses_2020.csv", 2, "duplicate key") in clinic.rows("quarantine", "path, record, reason")
    assert len(clinic.rows("condition_occurrence")) == 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mrn,stay,day\n1,a,02/02/2019\n", "it lacks `code`"),
        ("mrn,stay,code,day,more\n1,a,J18,02/02/2019,\n", "it has more columns, or another order"),
        ("mrn,code,stay,day\n1,J18,a,02/02/2019\n", "it has more columns, or another order"),
        ("917,secret,J18,02/02/2019\n918,a,J18,02/02/2019\n", "it lacks `mrn`, `stay`, `code`, `day`"),
    ],
)
def test_a_file_with_another_first_line_is_named(clinic: Clinic, text: str, words: str) -> None:
    clinic.write({"diagnoses_2021": text})
    with pytest.raises(HarmonisationError, match=r"`diagnoses_2021\.csv` of `diagnoses`") as caught:
        running.pilot(clinic.work, 1.0)
    assert words in str(caught.value) and "like the others" in caught.value.remedy
    assert "secret" not in str(caught.value) and "917" not in str(caught.value)


def test_no_file_or_one_twice_or_outside(clinic: Clinic) -> None:
    clinic.plan = SEVERAL.replace("diagnoses_*", "diagnosis_*")
    with pytest.raises(HarmonisationError, match=r"no file like `diagnosis_\*\.csv`"):
        running.pilot(clinic.work, 1.0)
    clinic.plan = SEVERAL
    twice = clinic.export / "diagnoses_2019.csv.gz"
    twice.write_bytes(gzip.compress(PARTS["diagnoses_2019"].encode()))
    with pytest.raises(HarmonisationError, match=r"`diagnoses_2019\.csv` of `diagnoses` is there twice"):
        running.pilot(clinic.work, 1.0)
    twice.unlink()
    (clinic.folder / "other.csv").write_text(PARTS["diagnoses_2019"])
    (clinic.export / "diagnoses_2021.csv").symlink_to(clinic.folder / "other.csv")
    with pytest.raises(HarmonisationError, match="lies outside"):
        running.pilot(clinic.work, 1.0)


def test_a_plan_of_one_file_keeps_its_digest() -> None:
    assert Plan.from_yaml(PLAN).digest() == "baac14078313c8b22795ee939fe541c0a5bc10aeb18b3d69d19e10eb3d31b809"
    assert Plan.from_yaml(PLAN).digest() != Plan.from_yaml(SEVERAL).digest()
    one = PLAN.replace("path: diagnoses.csv", "path: [diagnoses.csv]")
    assert Plan.from_yaml(one).digest() == Plan.from_yaml(PLAN).digest()
