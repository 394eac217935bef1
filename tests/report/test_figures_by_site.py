"""Forests, funnel, heat map, love plot, path: from releases only; what is suppressed is said, never drawn as 0."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.errors import SojournError
from sojourn.report import figures, forests
from sojourn.report.html import fragment, render
from sojourn.report.multiples import multiples
from sojourn.report.record import AnalysisRecord, StudyRecord, analysis_from_dict, analysis_to_dict
from sojourn.report.tables import present
from sojourn.statistics.meta import OwnFit
from sojourn.statistics.side_by_side import answer

CASE = Path(__file__).parents[1] / "data" / "references" / "meta_bcg" / "reference.json"
NASTY = "<b>'\"]|x\\"


@pytest.fixture(scope="module")
def bcg() -> AnalysisRecord:
    """The thirteen BCG trials as sites that each released a log risk ratio."""
    import numpy as np

    found = json.loads(CASE.read_text())["reference"]["meta_bcg"]
    pairs = zip(found["yi"], found["vi"], strict=True)
    fits = {
        f"trial {place:02}": OwnFit(100, np.array([0.0, y]), np.array([1.0, v]), np.array([False, True]))
        for place, (y, v) in enumerate(pairs, start=1)
    }
    estimate = answer(("Intercept", "vaccine"), fits, None, "REML", "hartung_knapp", {})
    by_site = {"fits": estimate.facts["by_site"], "how": "own fit"}
    arguments = {"formula": "tb ~ vaccine", "family": "binomial", "link": "log", "combine": "meta"}
    return AnalysisRecord("glm", arguments, estimate, 1, by_site=by_site)


def _pooled(analysis: AnalysisRecord) -> AnalysisRecord:
    assert analysis.estimate is not None
    plain = replace(analysis.estimate, facts={})
    return replace(analysis, estimate=plain, arguments={"formula": "tb ~ vaccine"})


def test_a_forest_has_every_site_its_numbers_and_the_answer(bcg: AnalysisRecord) -> None:
    drawn = figures.svg(figures.figure(bcg, "BCG"))  # type: ignore[arg-type]
    for words in ("trial 01", "trial 13", "Meta-analysis", "At a further site", "0.49 (0.33 to 0.73)", "Risk ratio"):
        assert words in drawn
    assert "Pooled fit" not in drawn
    assert "Pooled fit" in figures.svg(forests.forests(_pooled(bcg)))  # type: ignore[arg-type]


def test_funnel_and_baujat_need_enough_sites(bcg: AnalysisRecord) -> None:
    assert forests.leading_term(bcg) == "vaccine"
    for draw in (forests.funnel, forests.baujat):
        assert figures.svg(draw(bcg, "vaccine")).count(">trial ") >= 12  # type: ignore[arg-type]
        few = dict(list(bcg.by_site["fits"].items())[:4])
        assert draw(replace(bcg, by_site={"fits": few}), "vaccine") is None
        assert draw(bcg, "nothing") is None
    assert figures.of_kind("funnel", bcg, "") is not None
    with pytest.raises(SojournError, match="no figure") as caught:
        figures.of_kind("pie", bcg, "")
    assert "baujat" in caught.value.remedy


def test_without_sites_there_is_nothing_to_set_side_by_side(bcg: AnalysisRecord) -> None:
    assert forests.forests(replace(bcg, by_site={})) is None
    assert multiples(replace(_pooled(bcg), by_site={})) is None
    assert multiples(_pooled(bcg)) is not None


def test_what_each_site_hid_stays_hidden() -> None:
    counts = {"a": [30, Suppressed(), 12], "b": [25, 40, 0]}
    rows = (("I", 55), ("II", Suppressed(40, 49)), ("III", 12))
    analysis = AnalysisRecord(
        "count", {"by": ["stage"]}, Estimate(("stage",), ("n",), rows), 1, by_site={"counts": counts}
    )
    again = analysis_from_dict(json.loads(json.dumps(analysis_to_dict(analysis))))
    assert again.by_site == analysis.by_site
    drawn = multiples(again)
    assert drawn is not None
    picture = figures.svg(drawn[0])
    assert picture.count(">suppressed<") == 1
    # Of a site that hid a cell no share is drawn: with it the hidden one could be read from the colours.
    shown = [row for row in _rows(drawn[0]) if "cell" in row]
    assert all(row["share"] is None for row in shown if row["site"] == "a")
    assert [row["share"] for row in shown if row["site"] == "b"] == pytest.approx([25 / 65, 40 / 65, 0])
    means = {
        "a": {"x": {"n": 20, "missing": 0, "mean": Suppressed()}},
        "b": {"x": {"n": 20, "missing": 0, "mean": 3.0}},
    }
    estimate = Estimate(("variable",), ("n", "missing", "mean", "sd"), (("x", 40, 0, Suppressed(), Suppressed()),))
    dotted = multiples(AnalysisRecord("describe", {}, estimate, 2, by_site={"means": means}))
    assert dotted is not None
    assert figures.svg(dotted[0]).count(">suppressed<") == 1


def _rows(chart: figures.Figure) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("values"), list) and all(isinstance(row, dict) for row in node["values"]):
                found.extend(node["values"])
            for child in node.values():
                walk(child)
        elif isinstance(node, list):
            for child in node:
                walk(child)

    walk(chart.to_dict())
    return found


LOVE = Estimate(
    ("variable",),
    ("first", "second", "smd", "variance_ratio"),
    (("age", 1.0, 2.0, -0.25, 1.0), (NASTY, 0.4, 0.5, 0.04, 1.0), ("bmi", 1.0, 1.0, Suppressed(), None)),
)
PAIRS = Estimate(
    ("variable", "other"),
    ("n", "estimate"),
    (("age", "bmi", 90, 0.42), ("age", NASTY, 90, -0.8), ("bmi", NASTY, 90, Suppressed())),
)
PATH = Estimate(
    ("lambda", "term"),
    ("estimate",),
    tuple(
        (0.5**place, term, size * place)
        for place in range(6)
        for term, size in [("Intercept", 9.0), (NASTY, 0.4), *((f"z{i}", 0.01 * i) for i in range(9))]
    ),
    {"lambda_bic": 0.125, "lambda_min": 0.0625},
)


def test_a_love_plot_marks_what_is_beyond_balance_and_what_is_hidden() -> None:
    chart = figures.figure(AnalysisRecord("balance", {}, LOVE, 2), "balance")
    assert chart is not None
    rows = {row["variable"]: row for row in _rows(chart) if "variable" in row}
    assert {name: row.get("smd") for name, row in rows.items()} == {"age": 0.25, NASTY: 0.04, "bmi": None}
    assert rows["age"]["beyond"]
    assert figures.svg(chart).count(">suppressed<") == 1


def test_a_love_plot_has_a_weighted_point_beside_each_other_one() -> None:
    columns = ("first", "second", "smd", "variance_ratio", "weighted_first", "weighted_second", "weighted_smd")
    lines = (("age", 1.0, 2.0, 0.4, 1.0, 1.0, 1.1, -0.02), ("bmi", 1.0, 2.0, 0.2, 1.0, *(Suppressed(),) * 3))
    facts = {"groups": ["no", "yes"], "weights": "w", "effective": [80.5, None]}
    record = AnalysisRecord("balance", {"by": "treated"}, Estimate(("variable",), columns, lines, facts), 2)
    chart = figures.figure(record, "balance")
    assert chart is not None
    rows = {(row["variable"], row["series"]): row.get("smd") for row in _rows(chart) if "variable" in row}
    assert rows["age", "Unweighted"] == 0.4 and rows["age", "Weighted"] == 0.02
    assert rows["bmi", "Unweighted"] == 0.2 and rows["bmi", "Weighted"] is None
    drawn = figures.svg(chart)
    assert drawn.count(">weighted: suppressed<") == 1
    assert drawn.count(">Unweighted<") == drawn.count(">Weighted<") == 1
    [table] = present("balance", record)
    assert "SMD, weighted" in table.heads and "yes, weighted" in table.heads and table.group == "treated"
    assert any("Effective rows: no 80.5." in note for note in table.notes)


def test_correlations_are_a_heat_map_with_hidden_cells() -> None:
    chart = figures.figure(AnalysisRecord("correlation", {}, PAIRS, 2), "r")
    assert chart is not None
    drawn = figures.svg(chart)
    assert drawn.count(">suppressed<") == 2
    assert drawn.count('fill="url(#hatch)"') == 2
    assert drawn.count(">-0.80<") == 2


def test_a_path_names_the_largest_coefficients_and_the_chosen_penalties() -> None:
    chart = figures.figure(AnalysisRecord("elastic_net", {}, PATH, 2), "path")
    assert chart is not None
    rows = [row for row in _rows(chart) if "term" in row]
    assert len({row["term"] for row in rows if row["named"]}) == 7
    assert not any(row["term"] == "Intercept" for row in rows)
    drawn = figures.svg(chart)
    assert ">BIC<" in drawn
    assert ">minimum<" in drawn
    assert not re.search(r"<b>", drawn)


def test_a_notebook_and_the_report_show_the_figure(record: StudyRecord, bcg: AnalysisRecord) -> None:
    assert "<svg" in fragment("bcg", bcg, picture=True)
    page = render(replace(record, analyses={"bcg": bcg}))
    assert "bcg: risk ratios, between the sites" in page
    assert "trial 13" in page
    assert "Funnel: precise sites on top" in page
