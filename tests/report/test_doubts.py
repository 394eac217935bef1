"""Each doubt is raised by what it is about, planted here, and by nothing that is as it should be."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import pytest

from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.report import forests
from sojourn.report.between import meta_tables
from sojourn.report.captions import caption
from sojourn.report.doubts import KINDS, Doubt, doubts
from sojourn.report.html import render
from sojourn.report.record import AnalysisRecord, StudyRecord
from sojourn.report.words import analysis_in_words

COLUMNS = ("estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high")
SITES = {"oslo": 0.50, "pisa": 0.55, "lyon": 0.45, "bonn": 0.52}


def model(fits: dict[str, dict[str, tuple[float, float]]], row: tuple[float, float] = (0.5, 0.05)) -> AnalysisRecord:
    """A logistic model of `x` with each site's estimate and standard error."""
    b, se = row
    rows: tuple[tuple[Cell, ...], ...] = (("Intercept", 9.0, 9.0, 1.0, 0.3, -9.0, 27.0),)
    rows += (("x", b, se, b / se, 0.01, b - 1.96 * se, b + 1.96 * se),)
    told = {
        site: {term: {"estimate": e, "std_error": s, "ci_low": e - 2 * s, "ci_high": e + 2 * s}}
        for site, terms in fits.items()
        for term, (e, s) in terms.items()
    }
    estimate = Estimate(("term",), COLUMNS, rows)
    return AnalysisRecord("glm", {"formula": "y ~ x", "family": "binomial"}, estimate, 5, by_site={"fits": told})


def described(
    means: dict[str, tuple[Any, Any, Any]], mean: Cell = 50.0, sd: Cell = 10.0, missing: Cell = 0
) -> AnalysisRecord:
    """`describe` of `x`: n, missing and mean of each site."""
    told = {site: {"x": {"n": n, "missing": lost, "mean": at}} for site, (n, lost, at) in means.items()}
    rows = (("x", 400, missing, mean, sd),)
    estimate = Estimate(("variable",), ("n", "missing", "mean", "sd"), rows)
    return AnalysisRecord("describe", {"columns": ["x"]}, estimate, 2, by_site={"means": told})


def agreeing(error: float = 0.1) -> dict[str, dict[str, tuple[float, float]]]:
    return {site: {"x": (value, error)} for site, value in SITES.items()}


def stratified(tarone: Any) -> AnalysisRecord:
    """A Mantel-Haenszel estimate over sites with this test of one odds ratio for all."""
    estimate = Estimate(("measure",), ("value",), (("odds ratio", 0.95),), {"strata": 3, "tarone": tarone})
    given = {"outcome": "died", "exposure": "treated", "strata": ["site"]}
    return AnalysisRecord("mantel_haenszel", given, estimate, 1)


def shares(how: str) -> AnalysisRecord:
    """Two sites' shares, one half and a tenth, combined on the logit scale."""
    told = {
        site: {"died, all": {"estimate": logit, "std_error": 0.1, "ci_low": logit - 0.2, "ci_high": logit + 0.2}}
        for site, logit in (("oslo", 0.0), ("pisa", math.log(1 / 9)))
    }
    columns = ("prevalence", "meta_estimate", "meta_ci_low", "meta_ci_high", "prediction_low", "prediction_high")
    rows = (("died", "all", 0.3, -1.0, -3.0, 1.0, -6.0, 4.0),)
    facts = {"combine": how, "scale": {"died, all": "logit"}}
    estimate = Estimate(("variable", "sex"), columns, rows, facts)
    return AnalysisRecord("prevalence", {"columns": ["died"], "combine": how}, estimate, 1, by_site={"fits": told})


LIKE = {site: (100, 2, 50.0 + place) for place, site in enumerate(SITES)}


def raised(record: StudyRecord, analysis: AnalysisRecord) -> tuple[Doubt, ...]:
    plan = {**record.plan, "variables": {"x": {"kind": "number", "low": 0, "high": 100}}}
    return doubts(replace(record, plan=plan, analyses={"a": analysis}), "a")


@pytest.mark.parametrize("analysis", [model(agreeing()), described(LIKE)], ids=["model", "describe"])
def test_what_is_as_it_should_be_raises_none(record: StudyRecord, analysis: AnalysisRecord) -> None:
    assert raised(record, analysis) == ()


@pytest.mark.parametrize(
    ("kind", "analysis", "evidence"),
    [
        ("sites disagree", model(agreeing() | {"bonn": {"x": (1.4, 0.1)}, "pisa": {"x": (-0.3, 0.1)}}), "I² 9"),
        (
            "strata disagree",
            stratified({"statistic": 9.7, "df": 2, "p": 0.008}),
            "9.70 on 2 degrees of freedom, p 0.008",
        ),
        ("outlying site", model(agreeing() | {"bonn": {"x": (2.0, 0.1)}}), "standard errors"),
        ("dominating site", model(agreeing() | {"lyon": {"x": (0.45, 0.02)}}), "% of the information"),
        ("missing values", described(LIKE | {"pisa": (60, 40, 51.0)}), "40 % of its persons, 2.0 %"),
        ("distribution", described(LIKE | {"pisa": (100, 2, 90.0)}), "mean 90"),
        ("distribution", described(LIKE, mean=99.5, sd=12.0), "declared from 0 to 100"),
        ("distribution", described(LIKE, mean=50.0, sd=49.0), "standard deviation 49"),
        ("distribution", described(LIKE, mean=50.0, sd=0.0), "standard deviation 0"),
        ("wide interval", model(agreeing(), (0.5, 1.5)), "odds ratio from"),
        ("separation", model(agreeing(), (14.0, 900.0)), "standard error of 900"),
    ],
)
def test_each_doubt_has_its_evidence(record: StudyRecord, kind: str, analysis: AnalysisRecord, evidence: str) -> None:
    [found] = [doubt for doubt in raised(record, analysis) if doubt.kind == kind]
    assert evidence in found.evidence
    assert found.look
    assert found.sentence().startswith(found.words)


@pytest.mark.parametrize("tarone", [None, {"statistic": 3.0, "df": 2, "p": 0.22}, {"statistic": 9.7, "df": 2}])
def test_strata_that_agree_or_say_nothing_raise_none(record: StudyRecord, tarone: Any) -> None:
    assert raised(record, stratified(tarone)) == ()


def test_the_strata_are_named(record: StudyRecord) -> None:
    analysis = stratified({"statistic": 9.7, "df": 2, "p": 0.008})
    assert "strata of `site`" in raised(record, analysis)[0].words
    assert "over strata of site" in analysis_in_words(analysis)


@pytest.mark.parametrize("how", ["meta", "both"])
def test_shares_are_told_as_shares_and_no_interaction_is_advised(record: StudyRecord, how: str) -> None:
    [found] = [one for one in raised(record, shares(how)) if one.kind == "sites disagree"]
    assert "oslo 0.500, pisa 0.100" in found.evidence
    assert "interaction" not in found.look
    [fit] = [
        one for one in raised(record, model({"a": {"x": (3.0, 0.1)}, "b": {"x": (0.0, 0.1)}})) if "disagree" in one.kind
    ]
    assert "interaction" in fit.look and "a 3" in fit.evidence


def test_the_figure_of_shares_starts_at_0_and_its_caption_names_what_is_drawn() -> None:
    analysis = shares("both")
    [panel] = forests.forests(analysis).to_dict()["concat"]  # type: ignore[union-attr]
    scales = [layer["encoding"]["x"]["scale"] for layer in panel["layer"] if "scale" in layer["encoding"].get("x", {})]
    assert scales and all(scale["domain"][0] == 0 and scale["domain"][1] <= 1 for scale in scales)
    assert "green" not in caption(analysis)
    [extent] = {layer["encoding"]["y"]["axis"]["minExtent"] for layer in panel["layer"]}
    assert extent >= 8 * len("At a further site")


def test_every_kind_is_planted_above() -> None:
    planted = test_each_doubt_has_its_evidence.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {row[0] for row in planted} == set(KINDS)


def test_suppressed_and_missing_numbers_raise_nothing_and_break_nothing(record: StudyRecord) -> None:
    hidden = Suppressed(1, 9)
    odd: dict[str, tuple[Any, Any, Any]] = {
        "oslo": (hidden, hidden, hidden),
        "pisa": (None, None, None),
        "lyon": (9, 0, 5.0),
    }
    assert raised(record, described(odd, mean=hidden, sd=hidden, missing=hidden)) == ()
    assert raised(record, replace(model({}), by_site={})) == ()
    assert raised(record, model({"oslo": {"x": (0.5, 0.0)}, "pisa": {"x": (0.5, 0.1)}})) == ()
    refused = next((name for name, one in record.analyses.items() if one.refused), None)
    assert refused is None or doubts(record, refused) == ()


def test_many_of_a_kind_are_told_in_short(record: StudyRecord) -> None:
    fits = {site: {} for site in SITES}
    analysis = model(fits)
    told = {
        site: {
            f"z{i}": {"estimate": (-1) ** place * 1.0 * (i + 1), "std_error": 0.1, "ci_low": 0.0, "ci_high": 1.0}
            for i in range(12)
        }
        for place, site in enumerate(SITES)
    }
    found = raised(record, replace(analysis, by_site={"fits": told}))
    disagree = [doubt for doubt in found if doubt.kind == "sites disagree"]
    assert len(disagree) == 6
    assert disagree[-1].words.startswith("7 more")


def test_the_report_tells_doubts_and_that_masked_plans_have_no_sites(record: StudyRecord) -> None:
    analysis = model(agreeing() | {"bonn": {"x": (2.0, 0.1)}})
    masked = replace(model({}), by_site={}, secrecy=("Only sums exist.",))
    page = render(replace(record, analyses={"a": analysis, "m": masked}))
    assert "bonn lies far" in page
    assert "one Newton step" in page.replace("One", "one")
    assert "No comparison by site: Only sums over all sites exist of a masked plan" in page
    assert "No doubt was found." in page


def test_a_terminal_says_it_too() -> None:
    from rich.console import Console

    from sojourn.report.terminal import result

    console = Console(record=True, width=200, file=io.StringIO())
    console.print(result("a", model(agreeing() | {"bonn": {"x": (2.0, 0.1)}})))
    assert "Look twice: bonn lies far" in console.export_text()


def test_hostile_names_stay_text(record: StudyRecord) -> None:
    nasty = "<script>alert(1)</script>`x`"
    fits = {nasty: {"x": (2.0, 0.1)}, "b": {"x": (0.1, 0.1)}, "c": {"x": (0.1, 0.1)}}
    page = render(replace(record, analyses={"a": model(fits)}))
    assert "<script" not in page


def test_leaving_one_of_few_sites_out_says_how_little_it_tells() -> None:
    analysis = shares("both")
    assert analysis.estimate is not None
    told = {site: {"died, all": {**one["died, all"], "weight": 50.0}} for site, one in analysis.by_site["fits"].items()}
    facts = {**analysis.estimate.facts, "by_site": told, "meta": {"died, all": {}}}
    two = meta_tables("m", analysis, replace(analysis.estimate, facts=facts))
    assert any("Of two sites none is left out" in note for table in two for note in table.notes)
    three = replace(analysis.estimate, facts={**facts, "by_site": {**told, "lyon": told["oslo"]}})
    assert any("two are left" in note for table in meta_tables("m", analysis, three) for note in table.notes)
