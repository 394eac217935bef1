"""The analysis table: only what a plan names, only rows that it is about, only values that it declares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from sojourn.analysis.variable import SITE, Kind, Variable
from sojourn.errors import DatasetError, SiteRefused
from sojourn.node.dataset import Snapshot, import_dataset
from sojourn.node.dictionary import Dictionary
from sojourn.node.extract import Extracted, agree, extract
from sojourn.node.prepared import read_population, write_population
from sojourn.statistics.catalogue import make
from sojourn.study.plan import Plan

OWN = {
    "age": Variable(Kind.NUMBER, low=0, high=120, unit="years"),
    "bmi": Variable(Kind.NUMBER, low=10, high=80),
    "smoker": Variable(Kind.BOOLEAN),
    "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
    "ward": Variable(Kind.CATEGORY, levels=("North", "South")),
}
ASKED = {**OWN, "sex": Variable(Kind.CATEGORY, levels=("M", "X", "F")), "age": Variable(Kind.NUMBER, low=-1, high=130)}
ROWS = """pid,age,bmi,smoker,sex,ward
a,40,20,true,F,North
b,,21,false,M,South
a,42,NA,true,F,North
c,17,22,true,M,North
d,60,23,,F,South
e,61,24,false,M,South
"""


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    source = tmp_path / "file.csv"
    source.write_text(ROWS)
    return import_dataset(tmp_path, "hearts", source, Dictionary("patients", "pid", False, OWN))


def plan(where: str = "", by: tuple[str, ...] = ("sex", "smoker"), table: str = "patients", **more: Variable) -> Plan:
    variables = {**ASKED, **more}
    return Plan(table=table, where=where, variables=variables, analyses={"n": make("count", {"by": list(by)})})


def measured(asked: Plan) -> Plan:
    """The same plan with an analysis of a number."""
    return asked.replace(analyses={**asked.analyses, "bmi": make("describe", {"columns": ["bmi"]})})


def extracted(home: Path, snapshot: Snapshot, asked: Plan, **options: object) -> Extracted:
    return extract(home, "hearts", snapshot.id, asked, "uk", ("us", "uk"), **options)  # type: ignore[arg-type]


def test_studies_extract_from_one_snapshot_at_the_same_time(tmp_path: Path, snapshot: Snapshot) -> None:
    with ThreadPoolExecutor(8) as studies:
        found = list(studies.map(lambda _: extracted(tmp_path, snapshot, plan()).selected, range(40)))
    assert found == [6] * 40


def test_only_named_columns_and_complete_rows(tmp_path: Path, snapshot: Snapshot) -> None:
    found = extracted(tmp_path, snapshot, plan())
    population = found.population
    assert set(population.columns) == {"sex", "smoker"}
    assert population.columns["sex"].tolist() == [2, 0, 2, 0, 0]  # places in the plan's levels, not in the site's
    assert population.columns["smoker"].tolist() == [1, 0, 1, 1, 0]
    assert population.columns["sex"].dtype == np.int32
    assert population.columns["smoker"].dtype == np.int8
    assert population.persons.dtype == np.uint32
    assert population.persons[0] == population.persons[2]
    assert found.selected == 6
    assert population.variables[SITE].levels == ("uk", "us")
    assert population.site == "uk"


def test_where_selects_before_completeness_and_missing_counts_persons(tmp_path: Path, snapshot: Snapshot) -> None:
    found = extracted(tmp_path, snapshot, plan("age >= 18 and bmi < 70", by=("smoker",)))
    population = found.population
    assert set(population.columns) == {"smoker"}  # what only `where` names is not taken along
    assert population.rows == 2
    assert found.selected == 3  # a null age or bmi is not selected
    everyone = extracted(tmp_path, snapshot, plan(by=("smoker",))).population
    assert {name: len(who) for name, who in population.missing.items()} == {"smoker": 1}
    assert everyone.missing["smoker"].tolist() == population.missing["smoker"].tolist()


def test_where_knows_levels_and_nulls(tmp_path: Path, snapshot: Snapshot) -> None:
    assert extracted(tmp_path, snapshot, plan("sex = 'M'")).population.rows == 3
    assert extracted(tmp_path, snapshot, plan("sex in ('X')")).population.rows == 0
    assert extracted(tmp_path, snapshot, plan("not (ward = 'North') and smoker = false")).population.rows == 2
    assert extracted(tmp_path, snapshot, plan("bmi is null")).population.rows == 1  # only `where` names it


def test_who_opted_out_is_nowhere(tmp_path: Path, snapshot: Snapshot) -> None:
    full = extracted(tmp_path, snapshot, plan())
    gone = {int(full.population.persons[0]), int(full.population.missing["smoker"][0])}
    rest = extracted(tmp_path, snapshot, plan(), opted_out=gone)
    assert not gone & {*rest.population.persons.tolist(), *rest.population.missing["smoker"].tolist()}
    assert (rest.selected, rest.population.rows) == (3, 3)


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("sex", Variable(Kind.CATEGORY, levels=("M",))),
        ("sex", Variable(Kind.BOOLEAN)),
        ("smoker", Variable(Kind.NUMBER)),
        ("age", Variable(Kind.NUMBER, low=18, high=120)),
        ("age", Variable(Kind.NUMBER, low=0, high=90)),
        ("age", Variable(Kind.NUMBER, unit="months")),
        ("height", Variable(Kind.NUMBER)),
        ("pid", Variable(Kind.CATEGORY, levels=("a",))),
        ("_person", Variable(Kind.NUMBER)),
    ],
)
def test_a_plan_that_the_dictionary_does_not_fit_is_refused(
    tmp_path: Path, snapshot: Snapshot, name: str, declared: Variable
) -> None:
    for asked in (plan(by=(name,), **{name: declared}), plan(f"{name} is not null", **{name: declared})):
        with pytest.raises(SiteRefused) as caught:
            extracted(tmp_path, snapshot, asked)
        # Nobody is selected by what names a person, whatever the plan declares it to be.
        assert caught.value.reason == ("plan" if name == "pid" and asked.condition else "dictionary")


CAREFUL = Variable(
    Kind.CATEGORY,
    levels=("North", "South"),
    harmless=("North",),
    sensitive=("South",),
    never=(("North", "sex", "M"),),
    area="custom",
    populations=(1_200, 450),
)


@pytest.mark.parametrize(
    ("changes", "fits"),
    [
        ({}, True),
        ({"harmless": ()}, True),
        ({"harmless": ("North", "South")}, False),
        ({"sensitive": ()}, False),
        ({"sensitive": ("North", "South")}, True),
        ({"never": ()}, True),
        ({"never": (("South", "sex", "M"),)}, False),
        ({"area": "", "populations": ()}, False),
        ({"populations": (1_000, 450)}, True),
        ({"populations": (1_200, 20_000)}, False),
    ],
)
def test_a_plan_claims_nothing_that_would_loosen_a_rule(changes: dict[str, Any], fits: bool) -> None:
    asked = {"ward": replace(CAREFUL, **changes)}
    if fits:
        agree(["ward"], asked, {"ward": CAREFUL})
        return
    with pytest.raises(SiteRefused) as refusal:
        agree(["ward"], asked, {"ward": CAREFUL})
    assert refusal.value.reason == "dictionary"


def test_an_unknown_table_or_dataset_is_refused(tmp_path: Path, snapshot: Snapshot) -> None:
    with pytest.raises(SiteRefused) as caught:
        extracted(tmp_path, snapshot, plan(table="visits"))
    assert caught.value.reason == "no table"
    with pytest.raises(SiteRefused) as caught:
        extract(tmp_path, "others", snapshot.id, plan(), "uk", ("uk",))
    assert caught.value.reason == "no table"
    with pytest.raises(DatasetError):
        extract(tmp_path, "hearts", "0" * 16, plan(), "uk", ("uk",))


@pytest.mark.parametrize(("column", "value"), [("sex", "'Zebedee-7731'"), ("bmi", "'nan'::DOUBLE")])
def test_values_that_import_would_have_refused_are_refused(
    tmp_path: Path, snapshot: Snapshot, column: str, value: str
) -> None:
    with duckdb.connect(str(snapshot.path)) as connection:
        connection.execute(f"UPDATE records SET {column} = {value}")
    with pytest.raises(SiteRefused) as caught:
        extracted(tmp_path, snapshot, measured(plan(by=("sex",))))
    assert caught.value.reason == "dictionary"
    assert "7731" not in str(caught.value)


def test_a_damaged_snapshot_says_nothing_of_its_content(tmp_path: Path, snapshot: Snapshot) -> None:
    snapshot.path.write_bytes(b"Zebedee-7731" * 9999)
    with pytest.raises(DatasetError) as caught:
        extracted(tmp_path, snapshot, plan())
    assert "7731" not in str(caught.value)


def test_nothing_is_left_in_the_home(tmp_path: Path, snapshot: Snapshot) -> None:
    before = sorted(tmp_path.rglob("*"))
    extracted(tmp_path, snapshot, plan())
    assert sorted(tmp_path.rglob("*")) == before


def test_studies_at_the_same_time_read_the_same_snapshot(tmp_path: Path, snapshot: Snapshot) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: extracted(tmp_path, snapshot, plan()).selected, range(24)))
    assert found == [6] * 24


def test_a_population_survives_its_file(tmp_path: Path, snapshot: Snapshot) -> None:
    population = extracted(tmp_path, snapshot, plan("bmi > 0")).population
    path = tmp_path / "population.npz"
    write_population(population, path)
    read = read_population(path)
    assert (read.site, read.variables) == (population.site, population.variables)
    assert np.array_equal(read.persons, population.persons)
    assert set(read.columns) == set(population.columns)
    for name, column in population.columns.items():
        assert read.columns[name].dtype == column.dtype
        assert np.array_equal(read.columns[name], column)
    assert {n: p.tolist() for n, p in read.missing.items()} == {n: p.tolist() for n, p in population.missing.items()}


def test_a_file_that_is_no_population_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "population.npz"
    for content in (b"", b"PK\x03\x04", b"x" * 99):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="population"):
            read_population(path)
    np.savez(path, head=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="population"):
        read_population(path)


def test_rows_that_are_incomplete_in_the_core_take_part_in_nothing(tmp_path: Path) -> None:
    """Two plans over other columns have one population, so that no few missing values lie between them."""
    source = tmp_path / "core.csv"
    source.write_text(ROWS)
    cored = Dictionary("patients", "pid", False, OWN, core=("age", "bmi", "smoker"))
    taken = import_dataset(tmp_path, "hearts", source, cored)
    asked = [plan(by=("sex",)), plan(by=("ward",)), measured(plan(by=("smoker",))), plan("age >= 0", by=("sex",))]
    seen = [extracted(tmp_path, taken, one) for one in asked]
    assert {tuple(one.population.persons) for one in seen} == {tuple(seen[0].population.persons)}
    assert len(seen[0].population.persons) == 3 and not any(map(len, seen[2].population.missing.values()))
    assert (
        cored.public()["core"] == ["age", "bmi", "smoker"] and "core" not in Dictionary("t", "p", False, OWN).public()
    )
    with pytest.raises(DatasetError, match="core"):
        Dictionary("patients", "pid", False, OWN, core=("pid",))
