"""What persons are found by at other sites: alike however it is written, sealed, and of nobody who is not asked for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.errors import DatasetError
from sojourn.node.dataset import import_dataset
from sojourn.node.dictionary import Dictionary
from sojourn.node.linkage import LINKAGE, linked, normalised, write_linkage

DICTIONARY = Dictionary("patients", "nr", False, {}, linkage="national_id")


@given(st.text())
def test_writing_alike_is_done_once(identifier: str) -> None:
    assert normalised(normalised(identifier)) == normalised(identifier)
    assert normalised(f" {identifier}-") == normalised(identifier)


def test_spellings_of_one_identifier_are_one() -> None:
    assert {normalised(one) for one in ("NL-12.34", "nl 1234", "ＮＬ1234", "NL/12 34")} == {"nl1234"}
    assert normalised("0123") != normalised("123")


def test_two_sites_find_the_same_persons_and_keep_no_identifier(tmp_path: Path) -> None:
    found = []
    for site, names in (("a", ["NL-1", "NL-2"]), ("b", ["nl 2", "nl 3"])):
        home, source = tmp_path / site, tmp_path / f"{site}.csv"
        source.write_text("nr\n" + "\n".join(names) + "\n")
        snapshot = import_dataset(home, "patients", source, DICTIONARY)
        path = snapshot.path.with_suffix(LINKAGE)
        found.append(linked(path, home, BitMap([0, 1])))
        assert path.stat().st_mode & 0o077 == 0
        kept = path.read_bytes()
        for one in found[-1]:
            assert one not in kept
        assert b"nl2" not in kept and hashlib.sha256(b"nl2").digest() not in kept
        path.unlink()
        import_dataset(home, "patients", source, DICTIONARY)  # comes again from the same file
        assert linked(path, home, BitMap([0, 1])) == found[-1]
    assert len(found[0] & found[1]) == 1


@pytest.mark.parametrize("names", [["NL-1", "nl1"], ["-", "NL-1"]])
def test_identifiers_that_would_not_be_counted_alike_are_refused_without_being_named(
    tmp_path: Path, names: list[str]
) -> None:
    source = tmp_path / "rows.csv"
    source.write_text("nr\n" + "\n".join(names) + "\n")
    with pytest.raises(DatasetError) as caught:
        import_dataset(tmp_path / "home", "patients", source, DICTIONARY)
    assert "nr" in str(caught.value) and names[0] not in str(caught.value)
    assert not list((tmp_path / "home").rglob("*.duckdb"))


def test_a_missing_or_strange_file_gives_nobody(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    path = tmp_path / f"x{LINKAGE}"
    write_linkage(path, tmp_path, DICTIONARY, {"NL-1": 5})
    assert len(linked(path, tmp_path, BitMap([5]))) == 1
    with pytest.raises(DatasetError, match="linkage"):
        linked(path, tmp_path, BitMap([5, 6]))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match="linkage"):
        linked(path, tmp_path, BitMap([5]))
    with pytest.raises(DatasetError, match="linkage"):
        linked(tmp_path / "none", tmp_path, BitMap([5]))


def test_linkage_is_a_word_of_a_person_column(tmp_path: Path) -> None:
    path = tmp_path / "dictionary.yaml"
    DICTIONARY.save(path)
    assert Dictionary.load(path) == DICTIONARY
    assert DICTIONARY.public()["linkage"] == "national_id"
    assert "linkage" not in replace(DICTIONARY, linkage="").public()
    for wrong in ({"linkage": "National ID"}, {"person": None, "row_is_person": True}):
        with pytest.raises(DatasetError):
            replace(DICTIONARY, **wrong)  # type: ignore[arg-type]
