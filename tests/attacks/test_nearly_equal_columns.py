"""Two columns that are equal for all but few: a mean of each, over the same persons, tells what the few have.

The attack is seen to read the value where nothing is compared; by default the data are not taken in, and where the
custodian answers for both columns the second answer is hidden or refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sqlalchemy import MetaData, select

import sojourn as sj
from sojourn.analysis.statistic import Statistic, Suppressed
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import DatasetError, SojournError
from sojourn.node.dictionary import Dictionary
from sojourn.storage.log import log_tables
from sojourn.study.plan import Plan
from sojourn.testbed import Federation, derive

pytestmark = pytest.mark.long

SITE = "Cleveland"
PERSONS = 400
CAP = 9_000.0
RANDOM = np.random.default_rng(7)
TABLE = pd.DataFrame(
    {
        "person_id": np.arange(PERSONS),
        "cost": np.round(RANDOM.uniform(500, 8_000, PERSONS), 2),
        "age": RANDOM.integers(30, 80, PERSONS).astype(float),
        "sex": np.where(np.arange(PERSONS) % 2 == 0, "F", "M"),
        "sick": np.arange(PERSONS) % 5 < 2,
    }
)
TARGET = 17  # a man, 50
TABLE.loc[TARGET, ["cost", "age"]] = [14_321.5, 50.0]
TABLE["capped"] = TABLE["cost"].clip(upper=CAP)
SECRET = 14_321.5


def opened(rules: UnsafeReleaseAll | None = None, *, table: pd.DataFrame = TABLE, stated: bool = True) -> Federation:
    def review(made: Dictionary) -> Dictionary:
        return replace(made, nearly_equal=(("cost", "capped"),)) if stated else made

    return Federation({SITE: {"persons": table}}, rules=rules, review=review)


@pytest.fixture
def stated() -> Iterator[Federation]:
    with opened() as federation:
        yield federation


def sums(federation: Federation, columns: Sequence[str], where: str = "", by: str | None = None) -> dict[str, float]:
    """The sum of each column, of men where there are groups; nothing of what was refused or hidden."""
    words = {"by": by} if by else {}
    plan = Plan(table="persons", where=where, analyses={"ask": sj.describe(*columns, **words)}, min_sites=1)
    try:
        table = federation.run(plan)["ask"].table
    except SojournError:
        return {}
    found: dict[str, float] = {}
    for place, row in table.iterrows():
        labels = place if isinstance(place, tuple) else (place,)
        if by and "M" not in map(str, labels):
            continue
        for column in columns:
            if column in map(str, labels) and not isinstance(row["mean"], Suppressed):
                found[column] = float(row["n"]) * float(row["mean"])
    return found


def read(federation: Federation, where: str = "", by: str | None = None, *, at_once: bool = False) -> float | None:
    """What the attack believes that the target's cost is."""
    if at_once:
        found = sums(federation, ("cost", "capped"), where, by)
    else:
        found = {**sums(federation, ["cost"], where, by), **sums(federation, ["capped"], where, by)}
    return CAP + found["cost"] - found["capped"] if len(found) == 2 else None


WAYS: dict[str, dict[str, Any]] = {
    "everybody": {},
    "in one answer": {"at_once": True},
    "men": {"where": "sex == 'M'"},
    "by sex": {"by": "sex"},
    "by sex, in one answer": {"by": "sex", "at_once": True},
}


def test_the_attack_reads_the_value_where_nothing_is_compared() -> None:
    with opened(UnsafeReleaseAll()) as federation:
        for words in WAYS.values():
            assert read(federation, **words) == pytest.approx(SECRET)


def test_such_data_are_not_taken_in() -> None:
    with pytest.raises(DatasetError, match="`cost` and `capped`"), opened(stated=False):
        pass


@pytest.mark.parametrize("way", sorted(WAYS))
def test_where_the_custodian_answers_for_both_the_second_answer_does_not_leave(stated: Federation, way: str) -> None:
    assert read(stated, **WAYS[way]) is None
    assert sums(stated, ["age"])["age"] == pytest.approx(TABLE["age"].sum())  # what is not alike is answered


def test_the_statement_is_in_the_log(stated: Federation) -> None:
    entry = log_tables(MetaData()).entry.c
    logged = [json.loads(row["data"]) for row in stated.nodes[SITE].store.rows(select(entry.data))]
    facts = [each["facts"] for each in logged if each["kind"] == "dataset.added"]
    assert facts[-1]["nearly_equal"] == [["cost", "capped"]]


def test_columns_that_many_differ_in_are_answered_but_for_sets_in_which_few_do() -> None:
    """A fifth is capped: both are published without a word, and over the few older men only one is answered."""
    table = TABLE.assign(capped=TABLE["cost"].clip(upper=TABLE["cost"].quantile(0.8)))
    cap = float(table["capped"].max())
    with opened(table=table, stated=False) as federation:
        found = sums(federation, ("cost", "capped"))
        assert found["cost"] - found["capped"] == pytest.approx((TABLE["cost"] - cap).clip(lower=0).sum())
        chosen = "sex == 'M' and age >= 74"
        few = table[(table["sex"] == "M") & (table["age"] >= 74)]
        assert 0 < (few["cost"] > cap).sum() < 10 <= len(few)
        assert len({**sums(federation, ["cost"], chosen), **sums(federation, ["capped"], chosen)}) == 1


def by_parts(federation: Federation) -> float | None:
    """The target's cost by men's and women's, and everybody's capped one."""
    men, women = sums(federation, ["cost"], "sex == 'M'"), sums(federation, ["cost"], "sex == 'F'")
    capped = sums(federation, ["capped"])
    return CAP + men["cost"] + women["cost"] - capped["capped"] if men and women and capped else None


def test_one_column_over_the_parts_and_the_other_over_the_whole(stated: Federation) -> None:
    with opened(UnsafeReleaseAll()) as federation:
        assert by_parts(federation) == pytest.approx(SECRET)
    assert by_parts(stated) is None


OTHERS = "age >= 32"  # all but sixteen, of whom two are above the cap


def test_both_over_everybody_and_over_all_but_some() -> None:
    """A fifth is capped, and each of the four answers is about many; by all four two persons' costs are told."""
    table = TABLE.assign(capped=TABLE["cost"].clip(upper=TABLE["cost"].quantile(0.8)))
    left = table[~(table["age"] >= 32)]
    secret = float((left["cost"] - left["capped"]).sum())
    assert len(left) >= 10 and (left["cost"] > left["capped"]).sum() in range(1, 10)
    for rules in (UnsafeReleaseAll(), None):
        with opened(rules, table=table, stated=False) as federation:
            every = sums(federation, ("cost", "capped"))
            others = sums(federation, ("cost", "capped"), OTHERS)
        assert len(every) == 2
        if rules:
            told = every["cost"] - every["capped"] - (others["cost"] - others["capped"])
            assert told == pytest.approx(secret)
        else:
            assert len(others) < 2


def test_a_count_by_a_column_is_no_licence() -> None:
    """Visits are what sick is, but for a sixth of the sick and one who is not: his are told by no two answers."""
    sick = np.arange(1_000) < 300
    visits = sick.astype(float)
    visits[250:300], visits[600] = RANDOM.integers(2, 6, 50), 4.0
    age = np.where((np.arange(1_000) < 100) | (np.arange(1_000) // 30 == 20), 80.0, RANDOM.integers(30, 80, 1_000))
    table = pd.DataFrame({"person_id": np.arange(1_000), "sick": sick, "visits": visits, "age": age})
    for rules in (UnsafeReleaseAll(), None):
        with opened(rules, table=table, stated=False) as federation:
            assert shown(federation, sj.count(by="sick"))
            every = sums(federation, ("visits", "sick"))
            others = sums(federation, ("visits", "sick"), "age < 80")
        if rules:
            assert every["visits"] - every["sick"] - others["visits"] + others["sick"] == pytest.approx(4.0)
        else:
            assert len(every) == 2 and len(others) < 2


def replaced(federation: Federation, table: pd.DataFrame, review: Callable[[Dictionary], Dictionary]) -> None:
    """A newer snapshot."""
    node = federation.nodes[SITE]
    path = node.home.folder / "persons.parquet"
    table.to_parquet(path, index=False)
    node.add_dataset(path, review(derive(path, "persons", "person_id")))


def test_those_who_left_between_two_snapshots() -> None:
    """Forty leave, of whom a few are above the cap: both columns over everybody before, and after."""
    table = TABLE.assign(capped=TABLE["cost"].clip(upper=TABLE["cost"].quantile(0.8)))
    above = table.index[table["cost"] > table["capped"]]
    left = [*above[:5], *table.index.difference(above)[:35]]
    for rules in (UnsafeReleaseAll(), None):
        with opened(rules, table=table, stated=False) as federation:
            before = sums(federation, ("cost", "capped"))
            replaced(federation, table.drop(index=left), lambda made: made)
            after = sums(federation, ("cost", "capped"))
        if rules:
            told = before["cost"] - before["capped"] - after["cost"] + after["capped"]
            assert told == pytest.approx((table["cost"] - table["capped"])[left].sum())
        else:
            assert len(before) == 2 and len(after) < 2


def test_the_other_column_in_a_newer_snapshot_that_has_it_alone(stated: Federation) -> None:
    assert "capped" in sums(stated, ["capped"])
    replaced(stated, TABLE.drop(columns="capped"), lambda made: made)
    assert sums(stated, ["cost"]) == {}


def test_an_earlier_snapshot_that_cannot_be_read_stops_everything(stated: Federation) -> None:
    """It is no snapshot that is gone: nobody knows now which of its columns were alike."""
    assert "capped" in sums(stated, ["capped"])
    [first] = (stated.nodes[SITE].home.folder / "datasets" / "persons").glob("*.duckdb")
    replaced(stated, TABLE.drop(columns="capped"), lambda made: made)
    first.chmod(0o600)
    first.write_bytes(b"damaged")
    ledgers = stated.nodes[SITE].runner.airlock.ledgers
    for memory in (ledgers._apart, ledgers._everyone):  # as after a start
        memory.cache_clear()
    assert sums(stated, ["cost"], "sex == 'M'") == {}


LEVELS = {
    "count": lambda name: sj.count(by=name),
    "describe": sj.describe,
    "correlation": lambda name: sj.correlation("age", name, "cost"),
    "model": lambda name: sj.glm(f"cost ~ age + {name}"),
}
MADE: dict[str, Callable[[NDArray[np.bool_]], NDArray[np.generic]]] = {
    "yes or no": lambda rows: rows,
    "word": lambda rows: np.where(rows, "yes", "no"),
    "number": lambda rows: rows.astype(float),
}
OF_KIND = {"yes or no": tuple(LEVELS), "word": ("count", "model"), "number": ("describe", "correlation", "model")}


def shown(federation: Federation, analysis: Statistic) -> bool:
    """Whether an answer leaves with any number in it."""
    try:
        table = federation.run(Plan(table="persons", analyses={"ask": analysis}, min_sites=1))["ask"].table
    except SojournError:
        return False
    return any(not isinstance(cell, Suppressed) for cell in table.to_numpy().ravel())


@pytest.mark.parametrize(("kind", "way"), [(kind, way) for kind, ways in OF_KIND.items() for way in ways])
def test_levels_are_sets_that_the_ledger_compares_already(kind: str, way: str) -> None:
    """Two columns of two levels that differ for three: nothing is said at the import, and the second has no answer."""
    sick = TABLE["sick"].to_numpy()
    ill = np.where(TABLE.index < 3, ~sick, sick)
    table = TABLE.drop(columns="capped").assign(sick=MADE[kind](sick), ill=MADE[kind](ill))
    with opened(table=table, stated=False) as federation:
        assert shown(federation, LEVELS[way]("sick"))
        assert not shown(federation, LEVELS[way]("ill"))


@pytest.mark.parametrize("kind", ["yes or no", "number"])
def test_levels_in_one_answer_are_compared_too(kind: str) -> None:
    sick = TABLE["sick"].to_numpy()
    ill = np.where(TABLE.index < 3, ~sick, sick)
    table = TABLE.drop(columns="capped").assign(sick=MADE[kind](sick), ill=MADE[kind](ill))
    with opened(table=table, stated=False) as federation:
        assert len(sums(federation, ("sick", "ill"))) < 2
