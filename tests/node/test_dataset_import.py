"""What a custodian's file must be, what of it is kept, and that no error says a value."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import DatasetError
from sojourn.node.dataset import current_snapshot, dataset_names, import_dataset, load_snapshot
from sojourn.node.dictionary import Dictionary
from sojourn.node.persons import person_numbers

CANARY = "Zebedee-7731"
COLUMNS = {
    "age": Variable(Kind.NUMBER, low=0, high=120),
    "smoker": Variable(Kind.BOOLEAN),
    "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
}
BY_PERSON = Dictionary("patients", "pid", False, COLUMNS)
BY_ROW = Dictionary("patients", None, True, COLUMNS)
GOOD = "pid,age,smoker,sex,note\na,40,true,F,x\nb,NA,0,M,y\na,41.5,,F,z\nc,39,yes,NA,\n"


def write(folder: Path, content: str | bytes, name: str = "file.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows_of(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute("SELECT * FROM records").fetchall()


def test_only_declared_columns_are_kept_in_declared_types(tmp_path: Path) -> None:
    snapshot = import_dataset(tmp_path, "patients", write(tmp_path, GOOD), BY_PERSON)
    with duckdb.connect(str(snapshot.path), read_only=True) as connection:
        types = {row[0]: row[1] for row in connection.execute("DESCRIBE records").fetchall()}
    assert types == {"age": "DOUBLE", "smoker": "BOOLEAN", "sex": "VARCHAR", "_person": "UINTEGER"}
    rows = rows_of(snapshot.path)
    assert [row[:3] for row in rows] == [
        (40.0, True, "F"), (None, False, "M"), (41.5, None, "F"), (39.0, True, None)
    ]  # fmt: skip
    assert rows[0][3] == rows[2][3] and len({row[3] for row in rows}) == 3
    assert (snapshot.rows, snapshot.persons) == (4, 3)
    raw = snapshot.path.read_bytes()
    assert b"note" not in raw and b"pid" not in raw


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    import_dataset(tmp_path, "patients", write(tmp_path, GOOD), BY_PERSON)
    files = [path for path in (tmp_path / "datasets").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} >= {".duckdb", ".json", ".key", ".sqlite"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)


def test_a_snapshot_is_named_by_its_content_and_loads_again(tmp_path: Path) -> None:
    source = write(tmp_path, GOOD)
    first = import_dataset(tmp_path, "patients", source, BY_PERSON)
    assert import_dataset(tmp_path, "patients", source, BY_PERSON) == first
    assert load_snapshot(tmp_path, "patients", first.id) == first == current_snapshot(tmp_path, "patients")
    second = import_dataset(tmp_path, "patients", write(tmp_path, GOOD + "d,20,no,M,\n"), BY_PERSON)
    assert second.id != first.id and current_snapshot(tmp_path, "patients") == second
    assert rows_of(first.path) == rows_of(second.path)[:4]
    assert dataset_names(tmp_path) == ("patients",)


def test_person_numbers_stay_over_imports_and_datasets(tmp_path: Path) -> None:
    def numbers(name: str, people: list[str]) -> dict[str, int]:
        source = write(tmp_path, "pid,age,smoker,sex\n" + "".join(f"{who},1,1,F\n" for who in people))
        snapshot = import_dataset(tmp_path, name, source, BY_PERSON)
        return dict(zip(people, (int(str(row[3])) for row in rows_of(snapshot.path)), strict=True))

    first = numbers("patients", ["x", "y", "z"])
    second = numbers("patients", ["w", "z", "a", "x"])
    other = numbers("visits", ["y"])
    assert sorted(first.values()) == [0, 1, 2]
    assert (second["x"], second["z"], other["y"]) == (first["x"], first["z"], first["y"])
    assert len({*first.values(), *second.values()}) == 5
    register = (tmp_path / "datasets" / "persons.sqlite").read_bytes()
    assert CANARY.encode() not in register


def test_no_identifier_is_kept(tmp_path: Path) -> None:
    source = write(tmp_path, f"pid,age,smoker,sex\n{CANARY},1,1,F\n")
    import_dataset(tmp_path, "patients", source, BY_PERSON)
    for path in (tmp_path / "datasets").rglob("*"):
        assert path.is_dir() or CANARY.encode() not in path.read_bytes()


def test_another_key_is_refused_rather_than_numbering_everyone_again(tmp_path: Path) -> None:
    import_dataset(tmp_path, "patients", write(tmp_path, GOOD), BY_PERSON)
    key = tmp_path / "datasets" / "person.key"
    kept = key.read_bytes()
    for content in (bytes(32), b"short"):
        key.write_bytes(content)
        with pytest.raises(DatasetError, match="dataset key"), person_numbers(key.parent):
            pass
    key.unlink()
    with pytest.raises(DatasetError, match="dataset key"), person_numbers(key.parent):
        pass
    key.write_bytes(kept)
    key.chmod(0o644)
    with pytest.raises(DatasetError, match="Others can read"), person_numbers(key.parent):
        pass


def test_where_rows_are_persons_the_file_is_frozen(tmp_path: Path) -> None:
    snapshot = import_dataset(tmp_path, "patients", write(tmp_path, GOOD), BY_ROW)
    assert [row[3] for row in rows_of(snapshot.path)] == [0, 1, 2, 3]
    wider = Dictionary("patients", None, True, {"age": COLUMNS["age"]})
    assert import_dataset(tmp_path, "patients", tmp_path / "file.csv", wider).persons == 4
    with pytest.raises(DatasetError, match="not the one that was imported before"):
        import_dataset(tmp_path, "patients", write(tmp_path, GOOD + "d,20,no,M,\n"), BY_ROW)


def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "pid": ["a", "b", "a", "c"],
            "age": [40.0, np.nan, 41.5, 39.0],
            "smoker": pd.array([True, False, None, True], dtype="boolean"),
            "sex": pd.Categorical(["F", "M", "F", None]),
        }
    )
    frame.to_parquet(tmp_path / "file.parquet")
    csv = import_dataset(tmp_path, "one", write(tmp_path, GOOD), BY_PERSON)
    parquet = import_dataset(tmp_path, "two", tmp_path / "file.parquet", BY_PERSON)
    assert rows_of(parquet.path) == rows_of(csv.path)


HEAD = "pid,age,smoker,sex\n"
BAD_FILES = {
    "empty": ("", "no name"),
    "no rows": (HEAD, "no rows"),
    "not text": (b"\x89PNG\r\n\x1a\n\0\0\0", "not a CSV file"),
    "latin-1": (HEAD.encode() + f"{CANARY}\xe9,1,1,F\n".encode("latin-1"), "not UTF-8"),
    "latin-1 header": ("pid,\xe9ge\na,1\n".encode("latin-1"), "not UTF-8"),
    "long row": (HEAD + f"a,1,1,F\nb,1,1,F,{CANARY}\n", r"more or fewer fields .*line 3"),
    "short row": (HEAD + f"a,1,1,F\n{CANARY}\n", r"more or fewer fields .*line 3"),
    "open quote": (HEAD + f'a,1,1,"{CANARY}\n', "not a sound CSV file"),
    "twice": ("pid,age,Age,smoker,sex\na,1,2,1,F\n", "same name"),
    "unnamed": ("pid,,smoker,sex\na,1,1,F\n", "no name"),
    "own name": ("pid,_person,smoker,sex\na,1,1,F\n", "begins with"),
    "cut parquet": (b"PAR1" + CANARY.encode() * 9, "not a sound Parquet file"),
    "no person column": ("age,smoker,sex\n1,1,F\n", "no column `pid`"),
    "no column": ("pid,age,sex\na,1,F\n", "no column `smoker`"),
    "no person": (HEAD + f",1,1,F\nNA,1,1,F\n{CANARY},1,1,F\n", "column `pid`: 2 rows name no person"),
    "undeclared": (HEAD + f"a,1,1,{CANARY}\nb,1,1,f\nc,1,1,M\n", "column `sex`: 2 rows hold an undeclared level"),
    "no number": (HEAD + f"a,{CANARY},1,F\nb,nan,1,F\nc,inf,1,F\n", "column `age`: 3 rows are no number"),
    "no boolean": (HEAD + f"a,1,{CANARY},F\nb,1,2,F\n", "column `smoker`: 2 rows are no yes or no"),
    "range": (HEAD + "a,-7731,1,F\nb,120,1,F\nc,7731,1,F\n", "1 rows are below the bound; .*1 rows are above"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_without_a_value_and_leaves_nothing(tmp_path: Path, case: str) -> None:
    content, message = BAD_FILES[case]
    source = write(tmp_path, content)
    with pytest.raises(DatasetError, match=message) as caught:
        import_dataset(tmp_path, "patients", source, BY_PERSON)
    assert caught.value.remedy
    error: BaseException | None = caught.value
    while error is not None:
        assert CANARY not in str(error) and "7731" not in str(error)
        error = error.__cause__ if error.__cause__ or error.__suppress_context__ else error.__context__
    assert list((tmp_path / "datasets" / "patients").iterdir()) == []
    assert dataset_names(tmp_path) == ()


def test_a_cut_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pd.DataFrame({"pid": ["a"] * 99, "age": 1.0, "smoker": True, "sex": "F"}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match="not a sound Parquet file"):
        import_dataset(tmp_path, "patients", path, BY_PERSON)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".x", "x" * 65, "ä"])
def test_names_that_are_no_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetError, match="name"):
        import_dataset(tmp_path, name, write(tmp_path, GOOD), BY_PERSON)


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    snapshot = import_dataset(tmp_path, "patients", write(tmp_path, GOOD), BY_PERSON)
    path = snapshot.path.with_suffix(".json")
    record = json.loads(path.read_text())
    record["dictionary"]["columns"]["age"]["high"] = 500
    for content in (json.dumps(record), "{}", "nonsense"):
        path.write_text(content)
        with pytest.raises(DatasetError, match="damaged"):
            current_snapshot(tmp_path, "patients")
    with pytest.raises(DatasetError, match="no such snapshot"):
        load_snapshot(tmp_path, "patients", "../../x")


def test_delimiters_quotes_and_marks_of_other_programs(tmp_path: Path) -> None:
    content = '\ufeffpid;age;smoker;sex\r\n"a;b";40;1;F\r\n"c""d";41;0;"M"\r\n'
    snapshot = import_dataset(tmp_path, "patients", write(tmp_path, content), BY_PERSON)
    assert [row[:3] for row in rows_of(snapshot.path)] == [(40.0, True, "F"), (41.0, False, "M")]
    assert os.listdir(snapshot.path.parent)
