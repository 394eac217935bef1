"""A vocabulary download is loaded whole or not at all; versions stay beside each other; changes are told."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import duckdb
import pytest

from harmonise import athena
from sojourn.cli import main
from sojourn.errors import DatasetError
from sojourn.node.harmonise import vocabulary_files
from sojourn.node.harmonise.vocabulary_deltas import impact
from sojourn.node.harmonise.vocabulary_drugs import names
from sojourn.node.harmonise.vocabulary_loading import connected, load, use, versions
from sojourn.node.harmonise.vocabulary_tables import TABLES, columns_of
from sojourn.omop.drugs import SEVERAL, parse

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests" / "data" / "synthea_etl" / "vocabulary"


def ask(warehouse: Path, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return tmp_path / "warehouse.duckdb"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse with one version."""
    folder = tmp_path_factory.mktemp("first")
    load(athena.write_zip(folder / "first.zip"), folder / "warehouse.duckdb")
    return folder / "warehouse.duckdb"


@pytest.fixture
def loaded(first: Path, warehouse: Path) -> Path:
    return shutil.copy(first, warehouse)


def test_a_download_is_shown_with_the_names_and_types_of_the_cdm(loaded: Path) -> None:
    for table in TABLES:
        described = ask(loaded, f"DESCRIBE vocabulary.{table}")
        assert {row[0]: row[1] for row in described} == columns_of(table)
    assert ask(loaded, "SELECT count(*) FROM vocabulary.concept") == [(5,)]
    assert ask(loaded, "SELECT concept_name FROM vocabulary.concept WHERE concept_id = 2") == [('Fracture "closed"',)]
    assert ask(loaded, "SELECT valid_start_date::VARCHAR FROM vocabulary.concept LIMIT 1") == [("1970-01-01",)]
    mapped = "SELECT target_concept_id, target_domain_id FROM vocabulary.source_to_standard WHERE source_code = 'J18'"
    assert ask(loaded, mapped) == [(3, "Condition")]


def test_the_small_public_vocabulary_loads_and_maps(warehouse: Path) -> None:
    done = load(SMALL, warehouse)
    assert (done.version, done.counts["concept"], done.notes) == ("v5.0 30-AUG-24", 7327, ())
    assert ask(warehouse, "SELECT count(*) FROM vocabulary.source_to_standard") == [(7392,)]
    assert ask(
        warehouse,
        "SELECT target_concept_id FROM vocabulary.source_to_standard WHERE source_vocabulary_id = 'UCUM' AND "
        "source_code = '%'",
    ) == [(8554,)]


def broken(tmp_path: Path, how: str) -> Path:
    path = tmp_path / "broken.zip"
    whole = athena.text("concept", athena.tables()["concept"])
    if how == "cut":
        data = athena.write_zip(path).read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        athena.write_zip(path)
        with zipfile.ZipFile(path) as archive:
            start = archive.getinfo("CONCEPT.csv").header_offset + 60
        data = bytearray(path.read_bytes())
        data[start] ^= 0xFF
        path.write_bytes(bytes(data))
    elif how == "encrypted":
        data = bytearray(athena.write_zip(path).read_bytes())
        data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the directory's first entry
        path.write_bytes(bytes(data))
    elif how == "no zip":
        path.write_text("concept_id\tconcept_name\n")
    elif how == "other zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("letters.csv", "a,b\n1,2\n")
    elif how == "lacks a file":
        athena.write_zip(path, concept_ancestor="")
    elif how == "commas":
        athena.write_zip(path, concept=whole.replace("\t", ","))
    elif how == "half a file":
        athena.write_zip(path, concept=whole[: len(whole) - 30])
    elif how == "no concepts":
        athena.write_zip(path, concept=athena.text("concept", []))
    elif how == "no version":
        athena.write_zip(path, vocabulary=athena.text("vocabulary", [("SNOMED", "SNOMED", "", "2024", 1)]))
    elif how == "twice":
        athena.write_zip(path, concept=whole + whole.split("\n", 1)[1])
    elif how == "of two downloads":
        rows = [(a + 100, b + 100, "Maps to", *athena.EVER, "") for a, b in athena.MAPS]
        athena.write_zip(path, concept_relationship=athena.text("concept_relationship", rows))
    elif how == "no text":
        with zipfile.ZipFile(athena.write_zip(path, concept=""), "a") as archive:
            archive.writestr("CONCEPT.csv", whole.replace("Smoker", "Smöker").encode("latin-1"))
    return path


REFUSED = {
    "cut": "first part",
    "flipped": "damaged",
    "encrypted": "encrypted",
    "no zip": "no zip",
    "other zip": "none of Athena's files",
    "lacks a file": r"lacks CONCEPT_ANCESTOR\.csv",
    "commas": r"CONCEPT\.csv lacks the columns concept_class_id",
    "half a file": r"CONCEPT\.csv is not sound",
    "no concepts": r"CONCEPT\.csv has no rows",
    "no version": "which version",
    "twice": "5 concepts twice",
    "of two downloads": "two downloads",
    "no text": r"CONCEPT\.csv is not sound",
}


@pytest.mark.parametrize("how", REFUSED)
def test_a_wrong_or_half_download_is_refused_and_changes_nothing(tmp_path: Path, loaded: Path, how: str) -> None:
    before = loaded.read_bytes()
    with pytest.raises(DatasetError, match=REFUSED[how]) as refused:
        load(broken(tmp_path, how), loaded)
    assert refused.value.remedy
    assert ask(loaded, "SELECT number, current FROM vocabulary_store.version") == [(1, True)]
    assert ask(loaded, "SELECT count(*) FROM vocabulary.concept") == [(5,)]
    schemas = ask(loaded, "SELECT DISTINCT schema_name FROM information_schema.schemata WHERE schema_name LIKE '%_2'")
    assert schemas == []
    if how in ("cut", "flipped", "encrypted", "no zip", "other zip", "lacks a file", "commas"):
        assert loaded.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.zip", "warehouse.duckdb"]


def test_a_disk_without_room_is_told_before_anything_is_written(
    tmp_path: Path, loaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary_files, "_ROOM", 1e15)
    with pytest.raises(DatasetError, match="not enough room beside the warehouse"):
        load(athena.write_zip(tmp_path / "second.zip", athena.tables("v5.0 02-FEB-26")), loaded)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["second.zip", "warehouse.duckdb"]


def test_another_program_with_the_warehouse_open_is_told(tmp_path: Path, loaded: Path) -> None:
    """DuckDB's lock is between processes."""
    hold = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(loaded)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        with pytest.raises(DatasetError, match="Another program has the warehouse file open"):
            use(loaded, 1)
        other.communicate()
    assert use(loaded, 1).current


def test_a_refused_first_download_leaves_no_file(tmp_path: Path, warehouse: Path) -> None:
    with pytest.raises(DatasetError):
        load(broken(tmp_path, "half a file"), warehouse)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.zip"]


def test_the_same_download_is_not_loaded_twice(tmp_path: Path, loaded: Path) -> None:
    with pytest.raises(DatasetError, match="loaded already, as version 1"):
        load(athena.write_zip(tmp_path / "again.zip"), loaded)


def test_a_kill_in_the_middle_leaves_the_version_that_was(tmp_path: Path, loaded: Path) -> None:
    """The process dies by SIGKILL after everything is written, before the transaction ends."""
    second = athena.write_zip(tmp_path / "second.zip", athena.tables("v5.0 02-FEB-26"))
    script = (
        "import os, signal, sys\nfrom pathlib import Path\n"
        "from sojourn.node.harmonise import vocabulary_loading as loading\n"
        "loading.point_to = lambda number: os.kill(os.getpid(), signal.SIGKILL)\n"
        "loading.load(Path(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", script, str(second), str(loaded)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    with connected(loaded, (), "100MB") as to:
        assert [each.version for each in versions(to)] == ["v5.0 01-JAN-26"]
    assert load(second, loaded).number == 2


SECOND = [
    (1, "Fracture of bone", "Observation", "SNOMED", "Disorder", "S", "125605004"),  # another domain
    (2, 'Fracture "closed"', "Condition", "ICD10CM", "4-char billing code", "", "S82.0"),
    (3, "Old pneumonia", "Condition", "SNOMED", "Disorder", "", "233604007"),  # no longer standard
    (4, "Pneumonia", "Condition", "ICD10CM", "3-char billing code", "", "J18"),  # maps to 6 now
    (6, "Pneumonia (disorder)", "Condition", "SNOMED", "Disorder", "S", "60363000"),  # new; 5 is gone
]


@pytest.fixture(scope="module")
def with_two(first: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("second")
    rows = athena.tables("v5.0 02-FEB-26", SECOND, [(2, 1), (4, 6), (1, 1), (3, 6), (6, 6)])
    load(athena.write_zip(folder / "second.zip", rows), shutil.copy(first, folder / "warehouse.duckdb"))
    return folder / "warehouse.duckdb"


@pytest.fixture
def two(with_two: Path, warehouse: Path) -> Path:
    return shutil.copy(with_two, warehouse)


def test_two_versions_stay_and_either_can_be_used(two: Path) -> None:
    query = "SELECT target_concept_id FROM vocabulary.source_to_standard WHERE source_code = 'J18'"
    assert ask(two, query) == [(6,)]
    assert use(two, 1).current
    assert ask(two, query) == [(3,)]
    assert ask(two, "SELECT count(*) FROM vocabulary_2.concept") == [(5,)]
    with pytest.raises(DatasetError, match="no such version"):
        use(two, 7)


def test_changes_are_counted_by_kind(two: Path) -> None:
    found = impact(two)
    assert found.changes == {"new": 1, "gone": 1, "invalid": 0, "standard": 1, "domain": 1, "maps to": 2}
    assert (found.before.number, found.after.number, found.concerned, found.places) == (1, 2, (), ())


def test_codes_in_use_that_changed_are_named(tmp_path: Path, two: Path) -> None:
    with duckdb.connect(str(two)) as to:
        to.execute("CREATE TABLE condition_occurrence (condition_concept_id INTEGER, condition_source_concept_id INT)")
        to.execute("INSERT INTO condition_occurrence VALUES (3, 4), (3, 4), (1, 2), (0, 0)")
        to.execute("CREATE TABLE source_to_concept_map (source_code VARCHAR, source_vocabulary_id VARCHAR)")
        to.execute("INSERT INTO source_to_concept_map VALUES ('J18', 'ICD10CM'), ('own', 'Local')")
    codes = tmp_path / "codes.csv"
    codes.write_text("vocabulary_id,concept_code,rows\nSNOMED,77176002,40\nSNOMED,000,3\n")
    found = impact(two, codes=codes)
    told = {(each.place, each.code, each.change, each.before, each.after, each.rows) for each in found.concerned}
    used = "main.condition_occurrence.condition_concept_id"
    assert told == {
        ("codes.csv", "77176002", "gone", "Observation", "", 40),
        (used, "233604007", "standard", "S", "none", 2),
        (used, "233604007", "maps to", "SNOMED 233604007", "SNOMED 60363000", 2),
        (used, "125605004", "domain", "Condition", "Observation", 1),
        ("main.condition_occurrence.condition_source_concept_id", "J18", "maps to", "SNOMED 233604007",
         "SNOMED 60363000", 2),
        ("main.source_to_concept_map.source_code", "J18", "maps to", "SNOMED 233604007", "SNOMED 60363000", 1),
    }  # fmt: skip
    assert found.concerned[0].rows == 40
    codes.write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError, match="lacks vocabulary_id"):
        impact(two, codes=codes)


def test_one_version_has_nothing_to_compare(loaded: Path) -> None:
    with pytest.raises(DatasetError, match="not two versions"):
        impact(loaded)


@pytest.mark.parametrize(
    ("maps", "codes"),
    [
        ([(2, 4), (4, 2), (1, 1)], ("ICD10CM J18", "ICD10CM S82.0")),
        ([(2, 4), (4, 3), (3, 2), (5, 2)], ("ICD10CM J18", "ICD10CM S82.0", "SNOMED 233604007")),
        ([(2, 4), (4, 3), (3, 3), (1, 1)], ()),
    ],
)
def test_a_circular_maps_to_is_found_and_told(
    tmp_path: Path, warehouse: Path, maps: list[tuple[int, int]], codes: tuple[str, ...]
) -> None:
    done = load(athena.write_zip(tmp_path / "first.zip", athena.tables(maps=maps)), warehouse)
    circular = [note for note in done.notes if note.kind == "circular"]
    assert [note.examples for note in circular] == ([codes] if codes else [])
    assert [note.count for note in circular] == ([len(codes)] if codes else [])


def test_the_commands_speak(tmp_path: Path, two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        with pytest.raises(SystemExit) as left:
            main(["harmonise", "vocabulary", *words, "--warehouse", str(two)])
        assert left.value.code == 0
        return capsys.readouterr().out

    third = athena.write_zip(tmp_path / "third.zip", athena.tables("v5.0 03-MAR-26", maps=[(2, 4), (4, 2), (1, 1)]))
    assert "Version 3 is loaded and in use: v5.0 03-MAR-26" in said("load", str(third))
    listed = json.loads(said("list", "--json"))
    assert [(each["number"], each["current"]) for each in listed] == [(1, False), (2, False), (3, True)]
    assert "circle" in said("list")
    assert "changed its domain" in said("impact", "--from", "1", "--to", "2")
    assert json.loads(said("impact", "--json"))["after"]["number"] == 3
    assert "Version 1 is in use" in said("use", "1")


def test_without_a_warehouse_the_commands_say_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["harmonise", "vocabulary", "list", "--warehouse", str(tmp_path / "none.duckdb")])
    assert left.value.code == 1
    assert "vocabulary load ZIP" in capsys.readouterr().err
    assert not (tmp_path / "none.duckdb").exists()


def test_memory_is_an_amount_and_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    download, store = str(athena.write_zip(tmp_path / "download.zip")), tmp_path / "warehouse.duckdb"
    with pytest.raises(SystemExit) as left:
        main(["harmonise", "vocabulary", "load", download, "--warehouse", str(store), "--memory", "lots"])
    assert left.value.code == 1 and "no amount of memory" in capsys.readouterr().err and not store.exists()
    with pytest.raises(SystemExit) as left:
        main(["harmonise", "vocabulary", "load", download, "--warehouse", str(store), "--memory", "100MB"])
    assert left.value.code == 0
    assert "Version 1 is loaded" in capsys.readouterr().out


def test_no_vocabulary_is_shipped() -> None:
    """Licences forbid it: neither the package nor the tests hold a file of a download."""
    names = {f"{table}.csv" for table in TABLES} - {"vocabulary.csv", "domain.csv", "relationship.csv"}
    files = (path for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc")
    shipped = [path for path in files if "concept" in path.name.lower()]
    assert [path for path in shipped if path.suffix != ".py" or path.name.lower().startswith("concept")] == []
    everywhere = [path for folder in ("src", "docs", "deploy") for path in (ROOT / folder).rglob("*.csv*")]
    assert [path for path in everywhere if path.name.lower().removesuffix(".gz") in names] == []


def test_names_of_medicines_come_from_the_vocabulary(tmp_path: Path, warehouse: Path) -> None:
    concepts = [
        (11, "acetaminophen", "Drug", "RxNorm", "Ingredient", "S", "161"),
        (12, "codeine", "Drug", "RxNorm", "Ingredient", "S", "2670"),
        (13, "Hausmarke", "Drug", "RxNorm", "Brand Name", "", "1"),
        (14, "Mischung", "Drug", "RxNorm", "Brand Name", "", "2"),
    ]
    brands = [(13, 11), (14, 11), (14, 12)]
    rows = athena.tables(concepts=concepts, maps=[])
    rows["concept_relationship"] = [(a, b, "Brand name of", *athena.EVER, "") for a, b in brands]
    rows["concept_synonym"] = [(11, "Paracétamol", 4180186)]
    load(athena.write_zip(tmp_path / "drugs.zip", rows), warehouse)
    with connected(warehouse, (), "100MB") as to:
        own = names(to)
    known = own.known
    assert known["hausmarke"] == ("acetaminophen", "brand") and known["paracetamol"] == ("acetaminophen", "generic")
    assert own.ids == {"acetaminophen": 11, "codeine": 12}
    assert known["mischung"][0] == SEVERAL and parse("Mischung 5 mg", known).ingredients[0].several
    assert parse("Hausmarke 500 mg", known).ingredients[0].name == "acetaminophen"
