"""`combine` end to end: the same hub, nodes and gates; what disagrees is said, what may not leave does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.client.results import Results
from sojourn.report.record import StudyRecord
from sojourn.testbed import Federation

SITES = {"de": (300, 1.6), "sg": (350, 0.1), "uk": (400, 0.0)}


def patients(n: int, seed: int, shift: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    x, sex = rng.normal(size=n), rng.choice(["F", "M"], n)
    died = rng.random(n) < 1 / (1 + np.exp(0.5 - 0.5 * (sex == "M") - (0.6 + shift) * x))
    return pd.DataFrame({"x": x, "sex": sex, "died": died, "age": rng.normal(60, 10, n).round()})


def steep() -> pd.DataFrame:
    """Only a few rows are near the step: at its own coefficients the others weigh nothing."""
    x = np.concatenate([np.linspace(-9, -3, 150), np.linspace(-0.6, 0.6, 8), np.linspace(3, 9, 150)])
    died = x > 0
    died[152:156] = ~died[152:156]
    sex = np.resize(["F", "M"], len(x))
    return pd.DataFrame({"x": x, "sex": sex, "died": died, "age": np.resize(np.arange(40.0, 80.0), len(x))})


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    frames = {site: patients(n, seed, shift) for seed, (site, (n, shift)) in enumerate(SITES.items())}
    tables = {site: {"patients": frame} for site, frame in frames.items()}
    with Federation({**tables, "steep": {"patients": steep()}}) as federation:
        yield federation


@pytest.fixture(scope="module")
def results(federation: Federation) -> Results:
    model = sj.glm("died ~ x + C(sex)", "binomial", combine="both")
    own = sj.glm("died ~ x", "binomial", combine="meta")
    return federation.run(sj.Plan(table="patients", title="Combined", analyses={"model": model, "own": own}))


def test_a_fit_that_rests_on_a_few_does_not_leave_its_site(results: Results) -> None:
    assert results["own"].sites["steep"] == results["model"].sites["steep"] == "not released: design support"
    assert {results["model"].sites[site] for site in SITES} == {"contributed"}
    assert "steep" not in results["model"].facts["by_site"]


def test_pooled_and_meta_stand_side_by_side(results: Results) -> None:
    table = results["model"].table
    assert list(table.columns[:6]) == ["estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high"]
    assert {"meta_estimate", "meta_ci_low", "prediction_high", "tau2", "i_squared"} <= set(table.columns)
    assert results["model"].n_by_site == {site: n for site, (n, _) in SITES.items()}
    ratios = results["model"].exponentiate()
    assert ratios["meta_estimate"]["x"] == pytest.approx(np.exp(table["meta_estimate"]["x"]))
    assert "meta_std_error_log" in ratios.columns
    assert results["model"].rounds == 1 + 5
    assert results.trusted


def test_what_disagrees_is_said_with_its_evidence(results: Results) -> None:
    kinds = {doubt.kind: doubt for doubt in results["model"].doubts}
    assert set(kinds) == {"sites disagree", "outlying site"}
    assert "disagree on x" in kinds["sites disagree"].words
    assert "de" in kinds["outlying site"].words
    assert all(doubt.evidence and doubt.look for doubt in kinds.values())
    assert kinds["sites disagree"].sentence() in results["model"].warnings


def test_the_record_keeps_what_each_site_said(results: Results) -> None:
    again = StudyRecord.from_dict(results.to_dict())
    assert again.analyses["model"].by_site == results["model"].by_site
    assert results["model"].by_site["how"] == "own fit"


def test_the_report_shows_all_of_it(results: Results, tmp_path: Path) -> None:
    page = results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    for words in ("At a further site", "Meta-analysis without it", "What the numbers say of themselves", "Look twice"):
        assert words in page
    assert "pooled and by each site" in page
    assert results["model"].plot() is not None


def test_a_masked_plan_has_no_estimates_of_sites(federation: Federation) -> None:
    plan = sj.Plan(table="patients", analyses={"m": sj.glm("died ~ x", "binomial", combine="meta")})
    with pytest.raises(sj.errors.PlanError, match="Single sites") as caught:
        federation.run(plan.replace(aggregation="masked"))
    assert "combine: pooled" in caught.value.remedy


def test_shares_and_differences_of_sites_are_combined_from_what_left_anyway(
    federation: Federation, tmp_path: Path
) -> None:
    asked = {
        "share": sj.meta(sj.prevalence("died", by="sex"), combine="both"),
        "means": sj.meta(sj.t_test("x", by="sex")),
        "plain": sj.prevalence("died", by="sex"),
    }
    found = federation.run(sj.Plan(table="patients", title="Shares", analyses=asked))
    share, plain = found["share"], found["plain"]
    assert share.rounds == plain.rounds == 1 and set(share.sites.values()) == {"contributed"}
    table = share.table
    assert table[list(plain.table.columns)].equals(plain.table)
    assert (table["meta_value_low"] < table["meta_value"]).all()
    assert any("`meta_p_value` is of a test against a share of one half" in words for words in share.warnings)
    assert set(found["means"].facts["by_site"]) == {*SITES, "steep"}
    assert found.trusted
    page = found.report(tmp_path / "shares.html").read_text(encoding="utf-8")
    for words in ("each site&#39;s own answer", "At a further site", "Prevalence, 95 % CI"):
        assert words in page
    with pytest.raises(sj.errors.PlanError, match="Single sites"):
        federation.run(sj.Plan(table="patients", analyses={"s": asked["share"]}, aggregation="masked"))
