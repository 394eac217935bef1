"""Data that cannot carry an answer: a site is left out with the rule's family, or the error names term and remedy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from small_frames import RARE, SITES, federation, frame, plan, silent, still_works

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.errors import ConvergenceError, DatasetError, DisclosureRefused, TooFewSites
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import derive

REFUSED = "not released: "


def test_a_level_that_one_site_lacks_is_fitted_all_the_same():
    frames = {site: frame(site) for site in SITES}
    frames["coral"]["stage"] = frames["coral"]["stage"].replace("III", "I")
    with federation(frames) as one:
        result = one.run(plan(m=sj.glm("y ~ age + C(stage)")))["m"]
        assert set(result.sites.values()) == {"contributed"}
        pooled = pd.concat(frames.values())
        design = np.column_stack(
            [np.ones(len(pooled)), pooled["age"], pooled["stage"] == "II", pooled["stage"] == "III"]
        ).astype(float)
        expected = np.linalg.lstsq(design, pooled["y"], rcond=None)[0]
        assert result.table["estimate"].to_numpy() == pytest.approx(expected, rel=1e-9)
        assert result.n == len(pooled)
        still_works(one)


def test_three_patients_are_left_out_and_counted_nowhere():
    frames = {site: frame(site) for site in SITES} | {"dune": frame("dune").head(3)}
    with federation(frames) as one:
        asked = plan(
            n=sj.count(by="sex"), d=sj.describe("age"), m=sj.glm("y ~ age"), h=sj.histogram("age", [0, 50, 99])
        )
        results = one.run(asked)
        for result in results.values():
            assert result.sites == {**dict.fromkeys(SITES, "contributed"), "dune": f"{REFUSED}minimum frequency"}
            assert len(result.table)
        assert results["m"].n == results["d"].n == 3 * 520
        assert results["d"].n_by_site == dict.fromkeys(SITES, 520)
        with pytest.raises(DisclosureRefused) as caught:
            _ = one.project().submit(plan(), sites=["dune"]).wait(30)["n"].table
        assert caught.value.family == "minimum frequency" and caught.value.remedy
        with pytest.raises(TooFewSites) as caught:
            _ = one.run(plan().replace(min_sites=4))["n"].table
        assert "3 of the 4 sites" in str(caught.value) and "Too few persons" in str(caught.value)


def test_nobody_selected(sound):
    asked = plan("age > 1000", n=sj.count(), d=sj.describe("age"), m=sj.glm("y ~ age"), x=sj.crosstab("sex", "ill"))
    for result in sound.run(asked).values():
        assert set(result.sites.values()) == {f"{REFUSED}minimum frequency"}
        with pytest.raises(DisclosureRefused):
            _ = result.table
        assert result.warnings == [] and "DisclosureRefused" not in repr(result)


def test_a_variable_that_is_missing_everywhere():
    frames = {site: frame(site).assign(lost=np.nan) for site in SITES}
    with federation(frames) as one:
        results = one.run(plan(d=sj.describe("lost"), m=sj.glm("y ~ lost")))
        for result in results.values():
            assert set(result.sites.values()) == {f"{REFUSED}minimum frequency"}
        still_works(one)


def test_a_variable_that_is_missing_at_one_site():
    frames = {site: frame(site) for site in SITES}
    frames["beryl"]["age"] = np.nan
    with federation(frames) as one:
        result = one.run(plan(d=sj.describe("age")))["d"]
        assert result.sites["beryl"] == f"{REFUSED}minimum frequency"
        assert result.n_by_site == {"amber": 520, "coral": 520}
        still_works(one)


def test_a_boolean_with_missing_values_counts_complete_cases():
    frames = {}
    for site in SITES:
        made = frame(site)
        made["smoker"] = made["smoker"].astype(object).where(made["rank"] > 40, None)
        frames[site] = made
    pooled = pd.concat(frames.values())
    complete = pooled.dropna(subset="smoker")
    with federation(frames) as one:
        results = one.run(plan(d=sj.describe("smoker", "age"), n=sj.count(by="smoker"), m=sj.glm("y ~ smoker")))
        row = results["d"].table.loc["smoker"]
        assert (row["n"], row["missing"]) == (len(complete), 120)
        assert row["mean"] == pytest.approx(complete["smoker"].astype(float).mean(), rel=1e-12)
        assert results["d"].table.loc["age", "n"] == len(complete)  # complete cases are those of the whole plan
        assert results["n"].table["n"].tolist() == [(complete["smoker"] == value).sum() for value in (False, True)]
        assert results["m"].n == len(complete)
        still_works(one)


def test_a_column_that_does_not_vary():
    frames = {site: frame(site).assign(dose=5.0, alive=True) for site in SITES}
    with federation(frames) as one:
        results = one.run(
            plan(d=sj.describe("dose", "alive"), m=sj.glm("y ~ dose"), l=sj.glm("alive ~ age", "binomial"))
        )
        assert set(results["d"].sites.values()) == {"contributed"}
        for column in ("dose", "alive"):
            row = results["d"].table.loc[column]
            assert row["n"] == 3 * 520 and row["mean"] == row["sd"] == Suppressed()
        for name in ("m", "l"):
            assert all(words.startswith(REFUSED) for words in results[name].sites.values())
            with pytest.raises(DisclosureRefused) as caught:
                _ = results[name].table
            assert caught.value.remedy
            silent(caught.value)
        still_works(one)


def test_perfect_separation_names_the_term():
    frames = {site: frame(site).assign(old=lambda made: made["age"] > 60) for site in SITES}
    asked = plan(m=sj.glm("old ~ age + y", family="binomial"))
    with federation(frames, rules=UnsafeReleaseAll()) as one:
        result = one.run(asked)["m"]
        with pytest.raises(ConvergenceError) as caught:
            _ = result.table
        assert "age" in str(caught.value) and caught.value.remedy
        silent(caught.value)
    with federation(frames) as one:
        with pytest.raises((ConvergenceError, DisclosureRefused)) as caught:
            _ = one.run(asked)["m"].table
        assert caught.value.remedy
        silent(caught.value)
        still_works(one)


def test_one_person_who_makes_up_a_sum(sound):
    result = sound.run(plan(d=sj.describe("cost")))["d"]
    assert all(words == f"{REFUSED}dominance" for words in result.sites.values())
    with pytest.raises(DisclosureRefused) as caught:
        _ = result.table
    assert caught.value.family == "dominance"
    silent(caught.value, result.to_dict())
    sound.run(plan(h=sj.histogram("cost", [0, 50, 100, 150])))
    result = sound.run(plan(m=sj.glm("y ~ cost")))["m"]
    assert not any(words == "contributed" for words in result.sites.values())


@pytest.mark.parametrize("where", [f"cost = {RARE - 0.001:.3f}", "cost > 1000", "rank = 1"])
def test_a_rare_value_cannot_be_asked_for(sound, where):
    result = sound.run(plan(where, n=sj.count()))["n"]
    assert set(result.sites.values()) == {f"{REFUSED}minimum frequency"}


def test_an_outcome_outside_its_family(sound):
    result = sound.run(plan(m=sj.glm("y ~ age", family="poisson")))["m"]
    with pytest.raises((ConvergenceError, DisclosureRefused, TooFewSites)) as caught:
        _ = result.table
    assert caught.value.remedy
    silent(caught.value, result.to_dict())


def test_terms_that_say_the_same_twice():
    frames = {site: frame(site).assign(months=lambda made: made["age"] * 12) for site in SITES}
    with federation(frames, rules=UnsafeReleaseAll()) as one:
        with pytest.raises(ConvergenceError) as caught:
            _ = one.run(plan(m=sj.glm("y ~ age + months")))["m"].table
        assert "months" in str(caught.value) or "age" in str(caught.value)
        assert caught.value.remedy
        silent(caught.value)


# ---- files


def damaged(tmp_path):
    """Files that are no table, or not the one that was approved; each holds the canary."""
    sound = frame("amber", 40)
    csv = sound.to_csv(index=False)
    parquet = tmp_path / "cut.parquet"
    sound.to_parquet(parquet)
    parquet.write_bytes(parquet.read_bytes()[:-200])
    texts = {
        "level.csv": csv.replace(",F,", ",zqcanary-level,", 1),
        "number.csv": csv.replace(str(RARE), f"zqcanary{RARE}"),
        "ragged.csv": csv + "zqcanary,1,2\n",
        "quote.csv": csv + '"zqcanary\n',
        "other.csv": sound.drop(columns="age").to_csv(index=False),
        "twice.csv": csv.replace("note", "age", 1),
        "empty.csv": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "latin.csv").write_bytes(csv.replace("amber", "\u00e4mber").encode("latin-1"))
    (tmp_path / "zeros.csv").write_bytes(b"\0" * 100)
    return [parquet, *(tmp_path / name for name in (*texts, "latin.csv", "zeros.csv")), tmp_path / "nowhere.csv"]


def test_a_damaged_file_is_not_added(sound, tmp_path):
    approved = tmp_path / "approved.parquet"
    frame("amber", 40).to_parquet(approved)
    dictionary = derive(approved, "patients", "person_id")
    node, seen = sound.nodes["amber"], []
    before = node.datasets()
    for path in damaged(tmp_path):
        with pytest.raises(DatasetError) as caught:
            node.add_dataset(path, dictionary)
        assert caught.value.remedy, path.name
        silent(caught.value)
        seen.append(str(caught.value))
    assert node.datasets() == before
    assert "column `sex`: 1 rows hold an undeclared level" in seen[1]
    assert "`age`" in seen[5]


@pytest.mark.parametrize(
    "text",
    ["", "table: patients", "columns: {}", "table: [", "table: patients\ncolumns: {age: {kind: nmber}}\nperson: id"],
)
def test_a_damaged_dictionary(tmp_path, text):
    path = tmp_path / "dictionary.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError) as caught:
        Dictionary.load(path)
    assert caught.value.remedy
