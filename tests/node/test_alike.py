"""Columns that follow from each other for nearly everybody: what is found, by brute force too, and what imports say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.alike import Line
from sojourn.errors import DatasetError
from sojourn.node import alike, dataset
from sojourn.node.alike import apart_persons
from sojourn.node.dataset import Snapshot, current_snapshot, import_dataset
from sojourn.node.dictionary import Dictionary

T = 10
CANARY = 7731.25
NUMBER = Variable(Kind.NUMBER)


def dictionary(frame: pd.DataFrame, **words: object) -> Dictionary:
    kinds = {
        str(name): Variable(Kind.BOOLEAN)
        if frame[name].dtype == bool
        else NUMBER
        if pd.api.types.is_numeric_dtype(frame[name])
        else Variable(Kind.CATEGORY, levels=tuple(sorted(frame[name].unique())))
        for name in frame.columns
        if name != "pid"
    }
    return Dictionary("patients", "pid", False, kinds, **words)  # type: ignore[arg-type]


def added(folder: Path, frame: pd.DataFrame, declared: Dictionary | None = None, **words: bool) -> Snapshot:
    path = folder / "file.parquet"
    frame.to_parquet(path)
    return import_dataset(folder / "home", "patients", path, declared or dictionary(frame), T, **words)


def people(n: int, seed: int = 3) -> pd.DataFrame:
    """Costs, and what is not like them."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "pid": np.arange(n),
            "cost": np.round(random.lognormal(6, 1, n), 2),
            "age": random.integers(20, 90, n).astype(float),
            "drugs": np.where(random.random(n) < 0.1, random.integers(1, 9, n), 0).astype(float),
            "stays": np.where(random.random(n) < 0.1, random.integers(1, 4, n), 0).astype(float),
        }
    )


def with_capped(frame: pd.DataFrame, few: int) -> pd.DataFrame:
    """A second column that is the first but for the few with the greatest costs."""
    capped = frame["cost"].copy()
    most = capped.nlargest(few).index
    capped[most] = np.round(capped[most] * 0.5, 2)
    return frame.assign(capped=capped)


# ---- what is found


@pytest.mark.parametrize(("first", "step"), [(202_403_010_800, 200), (1_700_000_000, 2), (987_654_321_000, 1)])
def test_whole_numbers_are_apart_however_large(tmp_path: Path, first: int, step: int) -> None:
    """Moments as one number, which differ by what is small beside them."""
    moments = first + np.random.default_rng(5).permutation(2_000) * 10
    second = moments.copy()
    second[:5] += step
    frame = pd.DataFrame({"pid": np.arange(2_000), "x": moments, "y": second})
    with pytest.raises(DatasetError, match="`x` and `y`"):
        added(tmp_path, frame)


def test_columns_that_few_have_are_not_compared(tmp_path: Path) -> None:
    frame = with_capped(people(300), 3)
    frame.loc[9:, ["cost", "capped", "drugs"]] = np.nan
    assert added(tmp_path, frame.drop(columns=["stays"])).rows == 300


def test_all_pairs_are_told_as_the_dictionary_takes_them(tmp_path: Path) -> None:
    frame = with_capped(people(300), 3).assign(again=lambda made: made["capped"].where(made.index != 7, 5.5))
    frame = frame.rename(columns={"capped": "cost: capped", "again": "yes"})
    with pytest.raises(DatasetError) as refusal:
        added(tmp_path, frame)
    words = refusal.value.remedy.split("`")
    stated = yaml.safe_load(next(word for word in words if word.startswith("nearly_equal:")))["nearly_equal"]
    assert added(tmp_path, frame, dictionary(frame, nearly_equal=tuple(map(tuple, stated)))).rows == 300


def counted(frame: pd.DataFrame, line: Line, one: str, other: str) -> tuple[int, int, int]:
    """Brute force, a row at a time: persons with both, apart, and off the common values."""
    commons = []
    for name in (one, other):
        values = frame[name].dropna()
        top = values.mode()
        commons.append(top[0] if len(top) and 2 * (values == top[0]).sum() > len(values) else None)
    both, apart, off = set(), set(), set()
    for person, x, y in zip(frame["pid"], frame[one], frame[other], strict=True):
        if pd.isna(x) or pd.isna(y):
            continue
        both.add(person)
        if not np.isclose(y, line.slope * x + line.offset, rtol=1e-9, atol=1e-12):
            apart.add(person)
        if None in commons or x != commons[0] or y != commons[1]:
            off.add(person)
    return len(both), len(apart), len(off)


def refused(frame: pd.DataFrame, one: str, other: str, line: Line) -> bool:
    both, apart, off = counted(frame, line, one, other)
    few = apart < T and 2 * apart <= off
    return both >= T and apart > 0 and (few or 20 * apart <= off)


def is_refused(folder: Path, frame: pd.DataFrame) -> bool:
    try:
        added(folder, frame)
    except DatasetError as error:
        return "`x` and `y`" in str(error)
    return False


@st.composite
def tables(draw: st.DrawFn) -> tuple[pd.DataFrame, Line]:
    """Two columns on one line but for some, with missing values, rare values and several rows of a person."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, rows = draw(st.sampled_from([8, 25, 90, 400])), draw(st.sampled_from([1, 3]))
    x = random.choice([random.normal(0, 40, n * rows), random.integers(0, 60, n * rows).astype(float)])
    x = np.where(random.random(n * rows) < draw(st.sampled_from([0.0, 0.7])), 0.0, np.round(x, 1))
    slope, offset = draw(st.sampled_from([(1.0, 0.0), (1.0, 0.0), (1.8, 32.0), (-0.25, 3.0)]))
    y = slope * x + offset
    pid = np.repeat(np.arange(n), rows)
    away = np.isin(pid, random.choice(n, min(n, draw(st.integers(0, 40))), replace=False))
    y = np.where(away, y + random.normal(0, 9, len(y)), y)
    y[random.random(len(y)) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
    frame = pd.DataFrame({"pid": pid, "x": x, "y": y})
    return frame.sample(frac=1, random_state=5).reset_index(drop=True), Line(slope, offset)


@pytest.mark.long
@settings(max_examples=40, deadline=None)
@given(tables(), st.sampled_from([20_000, 60]), st.sampled_from([1_000, 30]))
def test_an_import_refuses_what_brute_force_refuses(
    tmp_path_factory: pytest.TempPathFactory, made: tuple[pd.DataFrame, Line], sample: int, first: int
) -> None:
    """Also where only a part of the persons is looked at first."""
    frame, line = made
    if frame["x"].nunique() < 6 or frame["y"].notna().sum() < 6:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "SAMPLE", sample)
        patch.setattr(alike, "_PERSONS", 20)
        patch.setattr(alike, "_FIRST", first)
        whole = (
            min(sample, first) > len(frame) or line == Line()
        )  # another line is found by a part's most frequent slope
        told = is_refused(tmp_path_factory.mktemp("home"), frame)
    assert told == refused(frame, "x", "y", line) or (not whole and not told)


@pytest.mark.parametrize("few", [1, 2, 9, 20])
@pytest.mark.parametrize("sample", [20_000, 300])
def test_capped_costs_are_refused(tmp_path: Path, few: int, sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "SAMPLE", sample)
    frame = with_capped(people(900), few)
    frame.loc[frame["cost"].idxmax(), "capped"] = CANARY
    with pytest.raises(DatasetError, match="`cost` and `capped`") as caught:
        added(tmp_path, frame)
    told = f"{caught.value} {caught.value.remedy}"
    assert "nearly_equal: [[cost, capped]]" in told
    assert not any(sign.isdigit() for sign in told)
    assert not (tmp_path / "home" / "datasets" / "patients" / "current").exists()
    assert not [*(tmp_path / "home" / "datasets" / "patients").glob("*")]


@pytest.mark.parametrize("persons", [18, 20, 24])
def test_nine_of_few_persons_are_fewer_than_ten(tmp_path: Path, persons: int) -> None:
    with pytest.raises(DatasetError, match="`cost` and `capped`"):
        added(tmp_path, with_capped(people(persons), T - 1))


@pytest.mark.parametrize("few", [0, 60, 400])
def test_equal_columns_and_other_columns_are_added(tmp_path: Path, few: int) -> None:
    assert added(tmp_path, with_capped(people(900), few)).rows == 900


UNITS = {"fahrenheit": (1.8, 32.0), "cents": (100.0, 0.0), "years until": (-1.0, 2030.0), "tiny": (1e-7, 0.0)}


@pytest.mark.parametrize("unit", sorted(UNITS))
@pytest.mark.parametrize("sample", [20_000, 300])
def test_another_unit_hides_nothing(tmp_path: Path, unit: str, sample: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike, "SAMPLE", sample)
    slope, offset = UNITS[unit]
    frame = with_capped(people(900), 3)
    frame["capped"] = slope * frame["capped"] + offset
    with pytest.raises(DatasetError, match="`cost` and `capped`"):
        added(tmp_path, frame)


def test_rare_things_are_not_alike_because_they_are_absent(tmp_path: Path) -> None:
    """Five columns of nothing but for one person in fifty each, and what those with the first have of the second."""
    random, frame = np.random.default_rng(1), people(1_000)
    for name in "abcde":
        frame[name] = np.where(random.random(1_000) < 0.02, random.integers(1, 9, 1_000), 0).astype(float)
    added(tmp_path, frame)
    frame["f"] = np.where(frame["a"] == frame["a"].max(), 20.0, frame["a"])
    with pytest.raises(DatasetError, match="`a` and `f`"):
        added(tmp_path, frame)


def test_what_is_missing_is_not_apart(tmp_path: Path) -> None:
    """Persons without one of the values stand in no answer about both; the ledger compares the sets."""
    frame = people(300)
    frame["again"] = frame["cost"].where(frame.index > 4)
    added(tmp_path, frame)
    frame.loc[7, "again"] = 1.0
    with pytest.raises(DatasetError, match="`cost` and `again`"):
        added(tmp_path, frame)


def test_too_few_with_both_values_tell_nothing(tmp_path: Path) -> None:
    frame = people(300)
    frame["again"] = frame["cost"].where(frame.index < T - 1)
    frame.loc[7, "again"] = 1.0
    assert "again" in added(tmp_path, frame).dictionary.columns


def test_levels_are_left_to_the_ledger_and_yes_or_no_is_a_number_beside_numbers(tmp_path: Path) -> None:
    random, frame = np.random.default_rng(1), people(300)
    sick = random.random(300) < 0.4
    frame["sick"], frame["ill"] = sick, np.where(frame.index < 3, ~sick, sick)
    frame["group"] = np.where(sick, "s", "w")
    frame["kind"] = np.where(frame["ill"], "s", "w")
    frame["flag"] = np.where(frame.index < 3, ~sick, sick).astype(float)
    added(tmp_path, frame)
    frame.loc[sick.nonzero()[0][-1], "flag"] = 3.0
    with pytest.raises(DatasetError, match="`sick` and `flag`"):
        added(tmp_path, frame)


def test_persons_are_counted_and_not_rows(tmp_path: Path) -> None:
    """One person of a hundred with a fifth of all rows."""
    frame = pd.concat(
        [
            people(100),
            *[people(100, seed).head(1) for seed in range(5, 30)],
        ]
    ).reset_index(drop=True)
    frame["again"] = np.where(frame["pid"] == 0, frame["cost"] + 1, frame["cost"])
    with pytest.raises(DatasetError, match="`cost` and `again`"):
        added(tmp_path, frame)


def test_of_persons_with_many_rows_not_only_the_first_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in twenty is apart, and their rows come first in the file."""
    monkeypatch.setattr(alike, "_MOST", 600)
    frame = pd.concat([people(400, seed) for seed in range(30)]).sort_values("pid", ignore_index=True)
    frame["again"] = np.where(frame["pid"] < 20, frame["cost"] * 3 + frame["age"], frame["cost"])
    with pytest.raises(DatasetError, match="`cost` and `again`"):
        added(tmp_path, frame)


# ---- what the custodian can do


def test_one_is_left_out_or_both_are_stated(tmp_path: Path) -> None:
    frame = with_capped(people(900), 2)
    declared = dictionary(frame)
    kept = {name: kind for name, kind in declared.columns.items() if name != "capped"}
    added(tmp_path, frame, replace(declared, columns=kept, excluded=("capped",)))
    stated = replace(declared, nearly_equal=(("capped", "cost"),))
    made = added(tmp_path, frame, stated)
    assert made.dictionary == stated == current_snapshot(tmp_path / "home", "patients").dictionary
    assert "nearly_equal" not in stated.public() and stated.digest() != declared.digest()
    found = apart_persons(made.path, tmp_path / "spill", stated, T)
    assert {pair: len(each.apart) for pair, each in found.items()} == {("cost", "capped"): 2}


def test_a_newer_file_is_asked_again(tmp_path: Path) -> None:
    first = added(tmp_path, with_capped(people(900), 0))
    with pytest.raises(DatasetError, match="`cost` and `capped`"):
        added(tmp_path, with_capped(people(901), 1))
    assert current_snapshot(tmp_path / "home", "patients") == first


def test_what_an_earlier_version_let_in_is_asked_when_it_is_added_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = with_capped(people(900), 1)
    with monkeypatch.context() as patch:
        patch.setattr(dataset, "refuse_alike", lambda *words: None)
        added(tmp_path, frame)
    with pytest.raises(DatasetError, match="`cost` and `capped`"):
        added(tmp_path, frame)


def test_a_stand_in_tells_of_nobody(tmp_path: Path) -> None:
    assert {"cost", "capped"} <= added(tmp_path, with_capped(people(900), 1), another=True).dictionary.columns.keys()


BAD: Mapping[str, object] = {"text": "cost", "one": [["cost"]], "names": [[1, 2]], "three": [["a", "b", "c"]]}


@pytest.mark.parametrize("words", sorted(BAD))
def test_a_statement_is_pairs_of_approved_columns(tmp_path: Path, words: str) -> None:
    declared = dictionary(people(3))
    with pytest.raises(DatasetError, match="no list of pairs"):
        Dictionary.from_dict({**declared.to_dict(), "nearly_equal": BAD[words]})
    for pair in (["cost", "nothing"], ["cost", "cost"]):
        with pytest.raises(DatasetError, match="not approved, or one twice"):
            Dictionary.from_dict({**declared.to_dict(), "nearly_equal": [pair]})
    stated = replace(declared, nearly_equal=(("cost", "age"),))
    stated.save(tmp_path / "d.yaml")
    assert Dictionary.load(tmp_path / "d.yaml") == stated
    assert len(list(combinations(stated.columns, 2))) == 6
