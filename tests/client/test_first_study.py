"""A newcomer's first study at sites of which one has an extreme value: what is told, and by which words it goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.client.results import Result, Results
from sojourn.errors import ConfigurationError, PlanError, SojournError, TooFewSites
from sojourn.testbed import Federation


def frame(rows: int, seed: int) -> pd.DataFrame:
    """A site's table."""
    rng = np.random.default_rng(seed)
    columns = {"drug": rng.random(rows) < 0.5, "age": rng.normal(60, 10, rows).round()}
    columns |= {"rare": np.arange(rows) < 4}
    return pd.DataFrame(columns | {"sbp": rng.normal(130, 10, rows).round(1), "sex": rng.choice(["F", "M"], rows)})


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    frames = {"oslo": frame(200, 1), "pisa": frame(180, 2), "lyon": frame(160, 3)}
    frames["pisa"].loc[7, "sbp"] = 90_000.0
    declared = {"age": sj.Variable(kind="number", low=0, high=140)}  # type: ignore[arg-type]
    with Federation({site: {"p": one} for site, one in frames.items()}, declared=declared) as made:
        yield made


@pytest.fixture(scope="module")
def results(federation: Federation) -> Results:
    analyses = {
        "t": sj.t_test("sbp", by="drug"),
        "line": sj.glm("sbp ~ age + sex", family="gaussian"),
        "logit": sj.glm("sbp ~ age", family="binomial"),
        "odds": sj.meta(sj.mantel_haenszel("drug", "sex", strata="rare"), combine="both"),
        "penalised": sj.firth("drug ~ age"),
        "net": sj.elastic_net("sbp ~ age + sex", count=3, cross_validate=True),
    }
    return federation.run(sj.Plan(table="p", analyses=analyses))


def test_a_site_that_did_not_contribute_is_in_the_warnings(results: Results) -> None:
    [told] = [words for words in results["line"].warnings if "did not contribute" in words]
    assert told == "pisa (dominance) did not contribute: every number, n too, is of 2 of 3 sites."


def test_a_hidden_spread_names_its_site(results: Results) -> None:
    told: Result = results["t"]
    hidden = [words for words in told.warnings if "spreads" in words]
    silent = [words for words in told.warnings if "did not contribute" in words]
    assert any(words.startswith("pisa") for words in hidden + silent)
    assert all("extreme value" in words for words in hidden)


def test_offers_leave_out_the_number_first(results: Results) -> None:
    """One person is most of a sum: of a number over everybody, or over a level, which then may go instead."""
    offered = [offer.words for offer in results["line"].offers if offer.words.startswith("Leave `")]
    assert offered == ["Leave `age` out of the model.", "Leave `sex` out of the model."]


def test_what_is_hidden_everywhere_is_suppressed_and_said(results: Results, tmp_path: Path) -> None:
    odds = results["odds"]
    assert {str(cell) for row in odds.table.to_numpy() for cell in row} == {"suppressed"}
    [told] = [words for words in odds.warnings if "were hidden at" in words]
    assert told.startswith("Cells were hidden at lyon, oslo, pisa: ")
    assert not any("combine: both" in words for words in odds.warnings)
    page = results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "odds: between the sites" in page
    odds.plot()


def test_a_number_as_an_outcome_of_yes_or_no(results: Results) -> None:
    with pytest.raises(TooFewSites, match="family: gaussian"):
        results["logit"].table  # noqa: B018


def test_a_cross_validation_says_which_site_is_missing(results: Results) -> None:
    with pytest.raises(SojournError, match=r"pisa \(dominance\)"):
        results["net"].table  # noqa: B018


def test_a_wrong_name_says_which_there_are(results: Results) -> None:
    with pytest.raises(PlanError, match=r"no analysis `zzz`\. Remedy: .*line"):
        results["zzz"]
    with pytest.raises(KeyError):
        results["zzz"]
    assert "zzz" not in results
    assert results.get("zzz") is None


def test_a_folder_that_is_not_there(results: Results, tmp_path: Path) -> None:
    for write in (results.report, results.record):
        with pytest.raises(SojournError, match="cannot be written"):
            write(tmp_path / "nowhere" / "x")


def test_facts_are_plain(results: Results) -> None:
    assert type(results["penalised"].facts["penalised_log_likelihood"]) is float


def test_quantiles_by_the_words_of_the_remedy(federation: Federation) -> None:
    answer = federation.run(sj.Plan(table="p", analyses={"q": sj.quantiles("age", precision=1)}))
    assert 45 < float(answer["q"].table.iloc[0, 1]) < 75


def test_a_frame_where_tables_are_expected() -> None:
    with pytest.raises(ConfigurationError, match="tables by name"):
        Federation({"oslo": frame(50, 1)})  # type: ignore[dict-item]
