"""Masked plans through real hub, node and client code: sums equal the clear ones, and nobody holds a site's part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api
from sqlalchemy import select

import sojourn as sj
from sojourn.client.results import Results
from sojourn.disclosure.masked_gate import ReceivedMasked
from sojourn.errors import SojournError
from sojourn.hub.tables import tasks
from sojourn.messages import received
from sojourn.node.dictionary import Dictionary
from sojourn.study.joint_rounds import OPEN, TERMS
from sojourn.testbed import Federation

MODEL = sj.glm("case ~ age + smoker", family="binomial")


def bounded(dictionary: Dictionary) -> Dictionary:
    """As a custodian declares: ages are within a range."""
    columns = dict(dictionary.columns)
    columns["age"] = replace(columns["age"], low=-6.0, high=6.0)
    return replace(dictionary, columns=columns)


def patients(seed: int, rows: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    age, smoker = np.clip(random.normal(size=rows), -5, 5), random.integers(0, 2, rows)
    case = random.random(rows) < 1 / (1 + np.exp(-(age + smoker - 0.5)))
    ward = random.choice(["east", "north", "west"], rows)
    return pd.DataFrame({"age": age, "smoker": smoker.astype(bool), "case": case, "ward": ward})


def large() -> dict[str, dict[str, pd.DataFrame]]:
    return {site: {"patients": patients(number, 200)} for number, site in enumerate(("Avon", "Brent", "Cam"))}


def plan(aggregation: str = "masked", **words: object) -> sj.Plan:
    return sj.Plan(table="patients", analyses={"n": sj.count(by=["ward"])}, aggregation=aggregation).replace(**words)


@pytest.fixture(scope="module")
def three() -> Iterator[Federation]:
    """Three hospitals, each large enough to answer in clear too."""
    with Federation(large(), review=bounded) as federation:
        yield federation


def rare() -> pd.DataFrame:
    """Fifty patients, as many smokers as others among cases and non-cases."""
    number = np.arange(50)
    age = np.clip(np.random.default_rng(5).normal(size=50), -5, 5)
    case, smoker = (number % 4) < 2, number % 2 == 0
    return pd.DataFrame({"age": age, "smoker": smoker, "case": case, "hospital": (number + number // 20) % 20})


@pytest.fixture(scope="module")
def twenty() -> Iterator[Federation]:
    """A rare disease: two or three patients at each of twenty hospitals, none of which could answer by itself."""
    tables = {f"S{place:02}": {"patients": rows.drop(columns="hospital")} for place, rows in rare().groupby("hospital")}
    with Federation(tables, review=bounded) as federation:
        yield federation


@pytest.fixture(scope="module")
def both(three: Federation) -> tuple[Results, Results]:
    """The same plan masked and in clear; clear first, as what was summed under masks is not shown by site later."""
    clear = three.run(plan("clear"))
    return three.run(plan()), clear


def test_a_masked_count_is_the_clear_one_exactly(both: tuple[Results, Results]) -> None:
    masked, clear = both
    assert masked["n"].table["n"].tolist() == clear["n"].table["n"].tolist()


@pytest.mark.long
def test_a_masked_model_agrees_to_thirteen_digits() -> None:
    with Federation(large(), review=bounded) as sites:  # of which nothing was summed before
        clear, masked = (sites.run(plan(how, analyses={"m": MODEL}))["m"].table for how in ("clear", "masked"))
    error = clear["std_error"].to_numpy()
    assert np.abs(masked["estimate"] - clear["estimate"]).to_numpy() / error == pytest.approx(0, abs=1e-13)
    assert masked["std_error"].to_numpy() == pytest.approx(error, rel=1e-13)


def test_a_masked_odds_ratio_over_strata_comes_to_its_end(three: Federation) -> None:
    asked = sj.mantel_haenszel(outcome="case", exposure="smoker", strata="ward")
    result = three.run(plan().replace(analyses={"m": asked}))["m"].table
    rows = pd.concat([tables["patients"] for tables in large().values()])
    tables = [pd.crosstab(ward["smoker"], ward["case"]).to_numpy() for _, ward in rows.groupby("ward")]
    pooled = statsmodels.api.stats.StratifiedTable(tables).oddsratio_pooled
    assert result.loc["odds ratio", "value"] == pytest.approx(pooled, rel=1e-13)


def test_the_client_checks_a_masked_study_and_says_how_it_was_summed(both: tuple[Results, Results]) -> None:
    masked, clear = both
    assert masked.trusted and masked.study.aggregation == "masked"
    assert clear.study.aggregation == "clear"
    assert {word for outcomes in masked.sites.values() for word in outcomes.values()} == {"took part"}
    assert masked["n"].secrecy and not clear["n"].secrecy
    with pytest.raises(SojournError, match="no n by site"):
        masked["n"].n_by_site  # noqa: B018


def test_the_hub_holds_nothing_by_site_but_bytes_that_look_random(
    three: Federation, both: tuple[Results, Results]
) -> None:
    study = both[0].study.study
    answers = three.hub.store.rows(select(tasks).where(tasks.c.study == study))
    steps = {row["digest"]: json.loads(row["document"])["step"] for row in three.hub.store.asks_of(study).values()}
    counted = np.zeros(256)
    for row in answers:
        release = received(json.loads(row["answer"]))
        assert isinstance(release, ReceivedMasked)
        if steps[row["ask"]].startswith("joint."):
            assert not release.ring
            assert set(release.told) == {TERMS: {"demands", "told"}, OPEN: {"opening"}}.get(steps[row["ask"]], set())
        else:
            assert not release.told and not release.sealed
            counted += np.bincount(np.frombuffer(release.ring, dtype=np.uint8), minlength=256)
    expected = counted.sum() / 256
    assert ((counted - expected) ** 2 / expected).sum() < 255 + 6 * np.sqrt(2 * 255)  # chi-square, six deviations


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_fifty_patients_in_twenty_hospitals(twenty: Federation) -> None:
    """A count and a logistic regression, equal to those of the pooled rows."""
    results = twenty.run(plan(analyses={"m": MODEL, "n": sj.count()}), timeout=250)
    assert results["n"].table["n"].tolist() == [50]
    assert results["n"].table["n"].dtype == np.int64
    rows = rare()
    design = np.column_stack([np.ones(50), rows["age"], rows["smoker"]]).astype(float)
    pooled = statsmodels.api.GLM(rows["case"].astype(float), design, statsmodels.api.families.Binomial()).fit(tol=1e-14)
    assert results["m"].table["estimate"].to_numpy() == pytest.approx(pooled.params.to_numpy(), rel=1e-9)
