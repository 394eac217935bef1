"""Fingerprints of a dataset: made of every column, kept at the node, found again by `sojourn airlock scan`."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from sojourn import cli
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.fingerprints import COMBINATION, IDENTIFIER, PART, RARE, WORD, scan
from sojourn.errors import DatasetError
from sojourn.node import program
from sojourn.node.backup import _files
from sojourn.node.dataset import Snapshot, import_dataset
from sojourn.node.dictionary import Dictionary
from sojourn.node.prints import load_prints, prints_key
from sojourn.node.scanning import fingerprints, scan_file

COLUMNS = {
    "sex": Variable(Kind.CATEGORY, levels=("F", "M", "Hermaphrodite")),
    "chol": Variable(Kind.NUMBER, low=0, high=1e6),
}
EXCLUDED = ("name", "born", "zip", "note")
DICTIONARY = Dictionary("patients", "nhs", False, COLUMNS, EXCLUDED)


def number(row: int) -> str:
    return f"{9_434_765_919 + row * 7_919_023}"


def table(rows: int = 60, name: str = "Wilhelmina") -> str:
    lines = ["nhs,name,born,zip,sex,chol,note"]
    for row in range(rows):
        sex = "Hermaphrodite" if row == 3 else "F" if row % 2 else "M"
        born = f"19{40 + row % 50}-0{1 + row % 9}-{10 + row % 19}"
        note = "seen by Dr Brzezinski" if row == 5 else "seen again today"
        lines.append(
            f"{number(row)},{name}{row % 3} Own{row:03d}name,{born},{2138 + row:05d},{sex},{200 + row}.25,{note}"
        )
    return "\n".join(lines) + "\n"


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    source = tmp_path / "file.csv"
    source.write_text(table())
    return import_dataset(tmp_path / "home", "patients", source, DICTIONARY)


def found(snapshot: Snapshot, text: str) -> set[tuple[str, str]]:
    home = snapshot.path.parents[2]
    prints = load_prints(snapshot.path.with_suffix(".prints"), prints_key(home))
    return {(match.kind, match.column) for match in scan(text, prints)}


def test_every_column_of_the_file_is_known_again(snapshot: Snapshot) -> None:
    assert (IDENTIFIER, "nhs") in found(snapshot, f"({number(7)})")
    assert (IDENTIFIER, "name") in found(snapshot, "own 017 NAME")
    assert (RARE, "born") in found(snapshot, "10/01/1940")
    assert (RARE, "chol") in found(snapshot, "max = 2.0725e2")
    assert (WORD, "note") in found(snapshot, "DR. BRZEZINSKI")


def test_what_many_share_or_is_published_is_no_finding(snapshot: Snapshot) -> None:
    assert found(snapshot, "Hermaphrodite, Wilhelmina1, seen again today") == set()


def test_a_rare_pair_is_found_where_it_stands_together(snapshot: Snapshot) -> None:
    prints = load_prints(snapshot.path.with_suffix(".prints"), prints_key(snapshot.path.parents[2]))
    assert {column for kind, column in prints.sources if kind == PART} == {"zip", "sex"}
    assert (COMBINATION, "zip + sex") in found(snapshot, "a woman (sex: F), zip 02139")
    assert (COMBINATION, "zip + sex") not in found(snapshot, "sex: M, zip 02139")


def test_quasi_identifiers_are_those_declared(tmp_path: Path) -> None:
    source = tmp_path / "file.csv"
    source.write_text(table())
    declared = Dictionary("patients", "nhs", False, COLUMNS, EXCLUDED, quasi_identifiers=("born", "sex"))
    assert Dictionary.from_dict(declared.to_dict()) == declared
    made = import_dataset(tmp_path / "home", "patients", source, declared)
    assert (COMBINATION, "born + sex") in found(made, "M, born on 1 Jan 1940 or 10 January 1940")
    with pytest.raises(DatasetError, match="quasi_identifiers"):
        Dictionary("patients", "nhs", False, COLUMNS, (), quasi_identifiers=("town",))


def test_without_clear_values_and_for_the_owner_alone(snapshot: Snapshot) -> None:
    home = snapshot.path.parents[2]
    path, key = snapshot.path.with_suffix(".prints"), home / "datasets" / "prints.key"
    assert [stat.S_IMODE(file.stat().st_mode) for file in (path, key)] == [0o600, 0o600]
    raw = path.read_bytes()
    for value in (number(7), "Own017", "1940", "Brzezinski", "02139"):
        assert value.encode() not in raw and value.lower().encode() not in raw


def test_two_nodes_have_no_fingerprint_in_common(tmp_path: Path) -> None:
    source = tmp_path / "file.csv"
    source.write_text(table())
    made = [import_dataset(tmp_path / home, "patients", source, DICTIONARY) for home in ("one", "two")]
    one, two = (set(load_prints(s.path.with_suffix(".prints"), b"k" * 32).hashes.tolist()) for s in made)
    assert one and not one & two


def test_a_dataset_of_an_earlier_version_says_what_to_do(snapshot: Snapshot, tmp_path: Path) -> None:
    path = snapshot.path.with_suffix(".prints")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DatasetError, match="damaged"):
        found(snapshot, "x")
    path.unlink()
    with pytest.raises(DatasetError, match="no fingerprints"):
        found(snapshot, "x")
    import_dataset(tmp_path / "home", "patients", tmp_path / "file.csv", DICTIONARY)
    assert path.read_bytes() == whole


def test_a_level_that_names_a_person_is_not_published(tmp_path: Path) -> None:
    source = tmp_path / "file.csv"
    source.write_text("nhs,referred\n" + "".join(f"{number(row)},{number(row // 20 * 20)}\n" for row in range(60)))
    levels = tuple(number(row) for row in (0, 20, 40))
    dictionary = Dictionary("patients", "nhs", False, {"referred": Variable(Kind.CATEGORY, levels=levels)})
    with pytest.raises(DatasetError, match="levels of column `referred`") as error:
        import_dataset(tmp_path / "home", "patients", source, dictionary)
    assert number(0) not in str(error.value)
    assert not list((tmp_path / "home").rglob("*.duckdb"))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    program.create(folder, "Cleveland", sandbox="none")
    source = tmp_path / "file.csv"
    source.write_text(table())
    DICTIONARY.save(tmp_path / "d.yaml")
    program.ask(folder, "add_dataset", source=str(source), dictionary=str(tmp_path / "d.yaml"))
    return folder


def test_a_backup_holds_the_key_always_and_the_fingerprints_with_the_rows(home: Path) -> None:
    node = program.NodeHome.load(home)
    with_rows, without = ({path.name for path in _files(node, data)} for data in (True, False))
    assert "prints.key" in with_rows & without
    assert any(name.endswith(".prints") for name in with_rows)
    assert not any(name.endswith(".prints") for name in without)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        cli.main(list(words))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_names_kind_and_column_and_no_value(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"{number(3)}.csv"
    file.write_text(f"estimate,label\n1.5,{number(7)}\n2.5,ada@example.org\n")
    code, out, err = run(capsys, "airlock", "scan", str(file), "--home", str(home), "--json")
    document = json.loads(out)
    assert code == 1 and not err
    assert {"kind": "identifier", "column": "patients.nhs", "reading": "plain"} in document["matches"]
    assert {seen["kind"] for seen in document["seen"]} >= {"e-mail address"}
    assert (document["tier"], document["kind"], document["clean"]) == ("high", "CSV table", False)
    code, out, err = run(capsys, "airlock", "scan", str(file), "--home", str(home))
    assert code == 1 and number(7) not in out + err and "patients.nhs" in out


def test_a_clean_file_is_high_risk_too_and_every_scan_is_in_the_log(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.csv"
    file.write_text("estimate,se\n1.5,0.25\n")
    code, out, _ = run(capsys, "airlock", "scan", str(file), "--home", str(home))
    assert code == 0 and "no permission" in out and "High risk" in out
    code, _, err = run(capsys, "airlock", "scan", str(tmp_path / "none"), "--home", str(home))
    assert code == 1 and "Remedy" in err
    assert program.ask(home, "verify")["ok"]
    raw = (home / "node.db").read_bytes()
    assert raw.count(b"artifact.scanned") >= 1 and b"table.csv" not in raw


def test_fingerprints_of_all_datasets_are_asked(home: Path, tmp_path: Path) -> None:
    node = program.NodeHome.load(home)
    assert [name for name, _, _ in fingerprints(node)] == ["patients"]
    (tmp_path / "log.txt").write_text(f"row {number(9)[::-1]}")
    judged = scan_file(node, tmp_path / "log.txt")
    assert [(match.column, match.reading) for match in judged.matches] == [("patients.nhs", "reversed")]
