"""Stand-ins come from the dictionary alone, and rehearsals come from stand-ins alone."""

from __future__ import annotations

import csv
import inspect
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import DatasetError
from sojourn.node import stand_in
from sojourn.node.dataset import import_dataset
from sojourn.node.dictionary import Dictionary
from sojourn.node.stand_in import size_of, write

BOUND = st.none() | st.floats(-1e6, 1e6).map(float)
NUMBERS = st.tuples(BOUND, BOUND).map(
    lambda ends: (
        Variable(Kind.NUMBER, low=min(ends), high=max(ends))
        if None not in ends
        else Variable(Kind.NUMBER, low=ends[0], high=ends[1])
    )
)
CATEGORIES = st.integers(1, 30).map(lambda n: Variable(Kind.CATEGORY, levels=tuple(f"level {i}" for i in range(n))))
COLUMNS = st.dictionaries(
    st.sampled_from(["age", "bmi", "ward", "ill", "sex"]),
    st.one_of(NUMBERS, CATEGORIES, st.just(Variable(Kind.BOOLEAN))),
    min_size=1,
)


def dictionary(columns: dict[str, Variable], persons: int | None = 60) -> Dictionary:
    return Dictionary("patients", "number", False, columns, persons=persons)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None)
@given(COLUMNS)
def test_it_is_what_the_dictionary_declares(tmp_path: Path, columns: dict[str, Variable]) -> None:
    path = tmp_path / "stand-in.csv"
    approved = dictionary(columns)
    write(path, approved, "x")
    public = Dictionary("patients", None, True, columns)
    assert import_dataset(tmp_path / "home", "patients", path, public, another=True).persons == 60


def test_the_same_dictionary_and_site_give_the_same_bytes_and_others_do_not(tmp_path: Path) -> None:
    columns = {"age": Variable(Kind.NUMBER, low=0, high=99), "ward": Variable(Kind.CATEGORY, levels=("a", "b", "c"))}

    def made(name: str, columns: dict[str, Variable], site: str) -> bytes:
        write(tmp_path / name, dictionary(columns), site)
        return (tmp_path / name).read_bytes()

    first = made("1", columns, "x")
    assert made("2", columns, "x") == first
    assert made("3", columns, "y") != first
    assert made("4", {**columns, "age": replace(columns["age"], high=98)}, "x") != first


def test_no_data_are_among_what_it_is_made_from() -> None:
    assert list(inspect.signature(write).parameters) == ["path", "dictionary", "site"]
    assert "duckdb" not in inspect.getsource(stand_in)


def test_its_size_is_declared_or_a_thousand(tmp_path: Path) -> None:
    ill = {"ill": Variable(Kind.BOOLEAN)}
    assert size_of(dictionary(ill, None)) == 1000
    write(tmp_path / "f", dictionary(ill, 25), "x")
    assert len(list(csv.reader((tmp_path / "f").open()))) == 26


@pytest.mark.parametrize("persons", [0, -1, 100_001, 1.5, True, "60"])
def test_a_size_that_is_none_is_refused(persons: object) -> None:
    with pytest.raises(DatasetError, match="persons"):
        Dictionary.from_dict({"table": "patients", "person": "number", "columns": {}, "persons": persons})


def test_a_dictionary_without_a_size_is_the_document_that_it_was(tmp_path: Path) -> None:
    without, sized = dictionary({}, None), dictionary({}, 60)
    assert "persons" not in without.to_dict()
    assert without.digest() != sized.digest()
    sized.save(tmp_path / "d.yaml")
    assert Dictionary.load(tmp_path / "d.yaml") == sized
    assert sized.public() == without.public()


def test_a_dictionary_merges_no_levels() -> None:
    ward = {"kind": "category", "levels": ["a", "b"], "merge": {"x": ["a", "b"]}}
    with pytest.raises(DatasetError, match="merges no levels"):
        Dictionary.from_dict({"table": "patients", "person": "number", "columns": {"ward": ward}})
