"""An offer is accepted in one step, and the result says what was done; hub, nodes and gates are the real ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.client import commands
from sojourn.client.results import Results
from sojourn.disclosure.change import Drop, LeaveOut, Merge, Offer
from sojourn.errors import DisclosureRefused, PlanError, StudyFailed
from sojourn.report.html import render
from sojourn.report.record import StudyRecord
from sojourn.testbed import Federation

WARDS = ("a", "b", "c", "d", "e", "f")
COUNTS = {"Avon": (80, 60, 50, 30, 3, 5), "Brent": (90, 50, 45, 28, 4, 3)}
EDGES = [20, 30, 40, 50, 60, 70, 80, 90]


def patients(site: str) -> pd.DataFrame:
    """Wards e and f are small at both sites, and some people have no value of `bmi`."""
    ward = np.repeat(WARDS, COUNTS[site])
    people = len(ward)
    place = np.arange(people)
    return pd.DataFrame(
        {
            "ward": ward,
            "sex": np.where(place % 2, "M", "F"),
            "ill": (place * 7) % 10 < 4,
            "age": 25 + (place * 13) % 60,
            "bmi": np.where(place % 25 == 3, np.nan, 20 + (place * 3) % 15),
        }
    )


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    with Federation({site: {"patients": patients(site)} for site in COUNTS}) as made:
        yield made


@pytest.fixture
def unasked() -> Iterator[Federation]:
    """Nothing was asked here before: plans over another population would be compared with it."""
    with Federation({site: {"patients": patients(site)} for site in COUNTS}) as made:
        yield made


@pytest.fixture(scope="module")
def results(federation: Federation) -> Results:
    return federation.run(
        sj.Plan(
            table="patients",
            title="Wards",
            analyses={
                "wards": sj.count(by="ward"),
                "bmi": sj.describe("bmi", by="ward"),
                "model": sj.glm("ill ~ age + C(ward, Treatment('e'))", family="binomial"),
            },
        )
    )


def of(results: Results, kind: type, analysis: str) -> Offer:
    return next(offer for offer in results[analysis].offers if isinstance(offer.change, kind))


def test_levels_that_are_hidden_together_are_merged_in_one_step(results: Results, federation: Federation) -> None:
    before = results["wards"].table["n"]
    hidden = [ward for ward in WARDS if isinstance(before[ward], Suppressed)]
    [offer] = results["wards"].offers
    assert offer.change == Merge("ward", tuple(hidden), " or ".join(hidden))
    after = results["wards"].accept(offer).wait(60)
    assert after.mitigation == after["wards"].mitigation == [offer.change.done]
    assert after.study.title == "Wards (changed to pass)"
    assert after.study.plan_hash != results.study.plan_hash
    table = after["wards"].table["n"]
    assert not any(isinstance(cell, Suppressed) for cell in table)
    people = [patients(site).dropna(subset=["bmi"]) for site in COUNTS]
    assert table[offer.change.into] == sum(frame["ward"].isin(hidden).sum() for frame in people)
    for ward in table.index.intersection(before.index):
        assert table[ward] == before[ward]  # the same people, so that both tables may lie beside each other


def test_the_people_stay_the_same(results: Results) -> None:
    after = results["wards"].accept(results["wards"].offers[0]).wait(60)
    assert after.study.plan["where"] == "age is not null and bmi is not null and ill is not null"
    assert list(after.study.plan["analyses"]) == ["wards"]
    assert list(after) == ["wards"]


def test_a_refused_model_passes_with_merged_levels_and_another_reference(results: Results) -> None:
    with pytest.raises(DisclosureRefused):
        _ = results["model"].table
    offers = [offer for offer in results["model"].offers if isinstance(offer.change, Merge)]
    hidden = tuple(ward for ward, n in results["wards"].table["n"].items() if isinstance(n, Suppressed))
    assert offers[0].change == Merge("ward", hidden, " or ".join(hidden))
    after = results["model"].accept(offers[0]).wait(60)
    assert f"Treatment('{' or '.join(hidden)}')" in after.study.plan["analyses"]["model"]["glm"]["formula"]
    assert "C(ward)[T.a]" in " ".join(after["model"].table.index) or len(after["model"].table) == 5


def test_a_refused_model_passes_without_a_term(results: Results) -> None:
    offer = next(offer for offer in results["model"].offers if offer.change == LeaveOut(("C(ward, Treatment('e'))",)))
    after = results["model"].accept(offer).wait(60)
    assert list(after["model"].table.index) == ["Intercept", "age"]
    assert after["model"].mitigation == ["`C(ward, Treatment('e'))` was left out of the model."]


def test_means_of_merged_groups_are_those_of_pooled_rows(results: Results) -> None:
    offer = of(results, Merge, "bmi")
    assert isinstance(offer.change, Merge)
    after = results["bmi"].accept(offer).wait(60)
    pooled = pd.concat([patients(site).dropna() for site in COUNTS])
    inside = pooled[pooled["ward"].isin(offer.change.levels)]["bmi"]
    row = after["bmi"].table.loc[("bmi", offer.change.into)]
    np.testing.assert_allclose([row["mean"], row["sd"]], [inside.mean(), inside.std()], rtol=1e-12)


def test_a_crosstab_without_a_dimension_is_a_count(unasked: Federation) -> None:
    first = unasked.run(sj.Plan(table="patients", analyses={"t": sj.crosstab("ward", "sex")}))
    after = first["t"].accept(of(first, Drop, "t")).wait(60)
    assert after["t"].kind == "count"
    assert after.mitigation == [of(first, Drop, "t").change.done]


def test_bins_are_joined(unasked: Federation) -> None:
    edges = [*EDGES[:1], 26, 28, *EDGES[1:]]
    first = unasked.run(sj.Plan(table="patients", analyses={"ages": sj.histogram("age", edges)}))
    [offer, *_] = first["ages"].offers
    after = first["ages"].accept(offer).wait(60)
    assert "Bins were joined" in after.mitigation[0]
    assert sum(isinstance(n, Suppressed) for n in after["ages"].table["n"]) < sum(
        isinstance(n, Suppressed) for n in first["ages"].table["n"]
    )


def test_a_second_change_is_noted_beside_the_first(unasked: Federation) -> None:
    first = unasked.run(sj.Plan(table="patients", analyses={"t": sj.crosstab("ward", "sex")}))
    second = first["t"].accept(of(first, Merge, "t")).wait(60)
    if second["t"].offers:
        third = second["t"].accept(second["t"].offers[0]).wait(60)
        assert len(third.mitigation) == 2
    assert second.study.title == "(changed to pass)"


def test_reports_say_what_was_done_and_what_is_offered(results: Results) -> None:
    page = render(results.study)
    assert "What may pass instead" in page
    assert "Merge the levels" in page
    after = results["wards"].accept(results["wards"].offers[0]).wait(60)
    assert "Changed so that it may pass" in render(after.study)
    assert StudyRecord.from_dict(after.to_dict()) == after.study
    assert StudyRecord.from_dict(results.to_dict()).offers == results.study.offers


def test_an_offer_of_another_analysis_is_refused(results: Results) -> None:
    with pytest.raises(PlanError, match="no offer for `wards`"):
        results["wards"].accept(Offer("wards", Drop("ward")))
    with pytest.raises(StudyFailed, match="read from a file"):
        Results(results.study)["wards"].accept(results["wards"].offers[0])


def test_a_draft_may_merge_levels_by_itself(unasked: Federation, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(
        "table: patients\nvariables: {ward: {kind: category, merge: {rest: [c, d, e, f]}}}\n"
        "analyses: {t: {count: {by: ward}}}\n"
    )
    results = unasked.run(sj.Plan.load(tmp_path / "plan.yaml"))
    assert results["t"].table["n"].to_dict() == {"a": 170, "b": 110, "rest": 168}
    assert results.study.plan["variables"]["ward"]["levels"] == list(WARDS)


def test_where_still_names_the_declared_levels(unasked: Federation) -> None:
    merge = {"kind": "category", "merge": {"rest": ["b", "c", "d", "e", "f"]}}
    document = {"table": "patients", "variables": {"ward": merge}, "where": "ward in ('a', 'c', 'd')"}
    results = unasked.run(sj.Plan.from_dict({**document, "analyses": {"t": {"count": {"by": "ward"}}}}))
    assert results["t"].table["n"].to_dict() == {"a": 170, "rest": 153}


def spoken(federation: Federation, monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What `sojourn study …` prints; it is connected to this federation."""
    monkeypatch.setattr(commands, "connect", federation.connection)
    done = CliRunner().invoke(commands.app, list(words), env={"COLUMNS": "200"}, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_command_line_lists_offers_by_number_and_accepts_one(
    federation: Federation, results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = spoken(federation, monkeypatch, "show", results.study.study)
    for number, offer in enumerate(results.offers, start=1):
        assert f"{number:>3}  {offer.analysis}: {offer.words}" in listed
    number = results.offers.index(results["wards"].offers[0]) + 1
    said = spoken(federation, monkeypatch, "mitigate", results.study.study, "--offer", str(number))
    assert "Changed so that it may pass: The levels" in said
    document = json.loads(
        spoken(federation, monkeypatch, "mitigate", results.study.study, "--offer", "1", "--no-watch", "--json")
    )
    assert document["change"]["words"] == results.offers[0].words
    federation.connection().study(document["study"]).wait(60)
    with pytest.raises(PlanError, match="no offer 99"):
        spoken(federation, monkeypatch, "mitigate", results.study.study, "--offer", "99")


def test_the_command_line_rehearses(federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sj.Plan(table="patients", purpose="HMB", analyses={"wards": sj.count(by="ward")}, min_sites=1)
    plan.save(tmp_path / "plan.yaml")
    said = spoken(federation, monkeypatch, "rehearse", str(tmp_path / "plan.yaml"), "--project", "testbed")
    assert "rehearsal on synthetic stand-ins: numbers mean nothing" in said
    assert "would be released" in said
