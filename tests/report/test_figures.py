"""Figures show the released table and nothing else; suppressed cells are marked, never drawn as zero."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report import figures
from sojourn.report.record import AnalysisRecord, StudyRecord


def _drawn(record: StudyRecord, name: str) -> figures.Figure:
    chart = figures.figure(record.analyses[name], name)
    assert chart is not None
    return chart


def _rows(chart: figures.Figure) -> list[dict[str, Any]]:
    """Every row of inline data in a chart."""
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


def test_a_forest_has_ratios_intervals_and_a_line_at_one(record: StudyRecord) -> None:
    chart = _drawn(record, "model")
    rows = _rows(chart)
    assert {"at": 1.0} in rows
    male = next(row for row in rows if row.get("term") == "male")
    assert male["value"] == pytest.approx(4.06264, rel=1e-5)
    assert not any(row.get("term") == "(Intercept)" for row in rows)
    assert '"type": "log"' in json.dumps(chart.to_dict())
    assert "Odds ratio (log scale), 95 % CI" in figures.svg(chart)


def test_a_linear_model_is_drawn_on_its_own_scale(record: StudyRecord) -> None:
    analysis = replace(record.analyses["model"], arguments={"formula": "y ~ x", "family": "gaussian"})
    chart = figures.figure(analysis)
    assert chart is not None
    assert {"at": 0.0} in _rows(chart)
    assert '"type": "log"' not in json.dumps(chart.to_dict())


@pytest.mark.parametrize("name", ["pain by site", "age"])
def test_suppressed_bars_are_hatched_labelled_and_not_zero(record: StudyRecord, name: str) -> None:
    chart = _drawn(record, name)
    hidden = [row for row in _rows(chart) if row["hidden"]]
    estimate = record.analyses[name].estimate
    assert estimate is not None
    assert len(hidden) == sum(isinstance(row[-1], Suppressed) for row in estimate.rows)
    assert all(row["top"] > 0 and row["state"].startswith("suppressed") for row in hidden)
    drawn = figures.svg(chart)
    assert drawn.count('fill="url(#hatch)"') == len(hidden)
    assert len(re.findall(r">suppressed", drawn)) == len(hidden)


def test_a_suppressed_mean_is_marked(record: StudyRecord) -> None:
    drawn = figures.svg(_drawn(record, "baseline"))
    assert drawn.count(">suppressed<") == 1


def test_the_axis_of_a_share_starts_at_0() -> None:
    def spread(p: float) -> float:
        return (p * (1 - p) * 100 / 99) ** 0.5

    rows = (*(("ill", group, 100, p, spread(p)) for group, p in (("F", 0.24), ("M", 0.25))), ("age", "F", 9, 60.0, 9.0))
    drawn = figures.figure(AnalysisRecord("describe", {}, Estimate(("variable", "sex"), ("n", "mean", "sd"), rows), 2))
    share, age = drawn.to_dict()["concat"]  # type: ignore[union-attr]
    scale = share["layer"][0]["encoding"]["x"]["scale"]
    assert scale["domain"][0] == 0 and 0.25 < scale["domain"][1] <= 1
    assert age["layer"][0]["encoding"]["x"]["scale"]["zero"] is False


def test_bins_and_groups_keep_the_order_of_the_table(record: StudyRecord) -> None:
    bins = re.findall(r">(\d\d) to \d\d<", figures.svg(_drawn(record, "age")))
    assert bins == sorted(bins)
    assert len(bins) == 6
    panels = re.findall(r">(\w+): mean", figures.svg(_drawn(record, "baseline")))
    assert panels == ["age", "trestbps", "oldpeak"]


def test_a_figure_holds_no_number_beyond_the_table(record: StudyRecord) -> None:
    estimate = record.analyses["pain by site"].estimate
    assert estimate is not None
    released = {row[-1] for row in estimate.rows if isinstance(row[-1], int)}
    assert {row["top"] for row in _rows(_drawn(record, "pain by site")) if not row["hidden"]} == released


def test_refused_and_empty_analyses_have_no_figure(record: StudyRecord) -> None:
    assert figures.figure(record.analyses["vessels"]) is None
    assert figures.figure(AnalysisRecord("count", {}, Estimate((), ("n",), ((12,),)), 1)) is None
    hidden = Estimate(("variable",), ("mean", "sd"), (("age", Suppressed(), Suppressed()),))
    assert figures.figure(AnalysisRecord("describe", {}, hidden, 1)) is None


def test_watermarks_are_drawn(record: StudyRecord) -> None:
    chart = figures.figure(record.analyses["model"], "model", "UNSAFE RULES")
    assert chart is not None
    assert "UNSAFE RULES" in figures.svg(chart)


def test_hostile_labels_stay_text(hostile: StudyRecord) -> None:
    for name, analysis in hostile.analyses.items():
        chart = figures.figure(analysis, name)
        if chart is not None:
            drawn = figures.svg(chart)
            assert "<script" not in drawn
            assert "<img" not in drawn
            assert "\x1b" not in drawn


def test_png(record: StudyRecord) -> None:
    assert figures.png(_drawn(record, "model"), 1).startswith(b"\x89PNG")
