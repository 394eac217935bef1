"""Suppressed stays suppressed: in tables, pages, terminals, figures and exports, and no total beside it tells it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.client.results import frame
from sojourn.report import tables
from sojourn.report.figures import figure
from sojourn.report.html import fragment
from sojourn.report.ratios import exponentiated
from sojourn.report.record import AnalysisRecord, estimate_from_dict, estimate_to_dict
from sojourn.report.terminal import result

WARDS, SEXES = ("a", "b", "c"), ("F", "M")
# Numbers that no sum, share or bound of the others is taken for by chance.
SHOWN = (1009, 2003, 4001, 8009, 16001, 32003)
LOW, HIGH = 701, 907


@st.composite
def estimates(draw: st.DrawFn) -> Estimate:
    """A crosstab in which any cells are suppressed, at least one, with bounds or without."""
    hidden = draw(st.lists(st.booleans(), min_size=6, max_size=6).filter(any))
    bounds = draw(st.sampled_from([Suppressed(), Suppressed(LOW), Suppressed(LOW, HIGH)]))
    cells: list[Cell] = [bounds if hides else number for hides, number in zip(hidden, SHOWN, strict=True)]
    places = [(ward, sex) for ward in WARDS for sex in SEXES]
    return Estimate(("ward", "sex"), ("n",), tuple((*p, n) for p, n in zip(places, cells, strict=True)))


def record(estimate: Estimate) -> AnalysisRecord:
    return AnalysisRecord("crosstab", {"columns": ["ward", "sex"]}, estimate, 1)


def cells(estimate: Estimate) -> list[Cell]:
    return [row[-1] for row in estimate.rows]


def allowed(estimate: Estimate) -> set[float]:
    """What may be read anywhere: shown counts, bounds, and shares of wards of which both cells are shown."""
    numbers: set[float] = {float(cell) for cell in cells(estimate) if isinstance(cell, int)} | {LOW, HIGH}
    for ward in WARDS:
        pair = [row[-1] for row in estimate.rows if row[0] == ward]
        if all(isinstance(cell, int) for cell in pair):
            numbers |= {round(100 * cell / sum(pair), 1) for cell in pair}  # type: ignore[operator,arg-type]
    return numbers


def numbers_of(text: str) -> set[float]:
    return {float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}


def terminal(analysis: AnalysisRecord) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(result("t", analysis))
    return out.getvalue().replace("rounds 1", "")


def page(analysis: AnalysisRecord) -> str:
    body = re.sub(r"<style>.*?</style>", "", fragment("t", analysis), flags=re.S)
    return re.sub(r"<[^>]+>", " ", body)


@pytest.mark.parametrize("shown", [terminal, page], ids=["terminal", "page"])
@given(estimate=estimates())
def test_readers_see_no_number_but_those_released(shown: Callable[[AnalysisRecord], str], estimate: Estimate) -> None:
    text = shown(record(estimate))
    assert numbers_of(text) <= allowed(estimate)
    assert text.count("suppressed") >= sum(isinstance(cell, Suppressed) for cell in cells(estimate))


def test_a_total_beside_a_suppressed_cell_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: percentages of what is shown, as if that were all."""
    rows = (("a", "F", 1009), ("a", "M", Suppressed(LOW, HIGH)), ("b", "F", 2003))
    estimate = Estimate(("ward", "sex"), ("n",), rows)

    def careless(given: Any) -> list[float]:
        numbers = [cell if isinstance(cell, int) else 0 for cell in given]
        return [number / sum(numbers) for number in numbers]

    assert numbers_of(terminal(record(estimate))) <= allowed(estimate)
    monkeypatch.setattr(tables, "shares", careless)
    assert not numbers_of(terminal(record(estimate))) <= allowed(estimate)


@given(estimates())
def test_a_figure_holds_no_number_for_a_suppressed_cell(estimate: Estimate) -> None:
    chart = figure(record(estimate), "t")
    assert chart is not None
    spec = chart.to_dict()
    bars = [bar for data in values_of(spec) for bar in data if "hidden" in bar]
    shown = {cell for cell in cells(estimate) if isinstance(cell, int)}
    assert {bar["words"] for bar in bars if bar["hidden"]} == {""}
    assert {bar["top"] for bar in bars if not bar["hidden"]} <= shown
    free = {(max(shown | {HIGH}) if shown else 1) * 1.25, max(shown, default=1) * 1.25, HIGH * 1.25, 1.25}
    assert {bar["top"] for bar in bars if bar["hidden"]} <= free | {HIGH}
    assert all("suppressed" in bar["state"] for bar in bars if bar["hidden"])


def values_of(spec: Any) -> list[list[dict[str, Any]]]:
    """Every table of values in a chart's specification."""
    if isinstance(spec, dict):
        own = [spec["values"]] if isinstance(spec.get("values"), list) else []
        named = list(spec.get("datasets", {}).values())
        inner = [found for word, part in spec.items() if word != "datasets" for found in values_of(part)]
        return [rows for rows in [*own, *named] if rows and isinstance(rows[0], dict)] + inner
    return [found for part in spec for found in values_of(part)] if isinstance(spec, list) else []


@given(estimates())
def test_exports_keep_the_state(estimate: Estimate) -> None:
    document = json.loads(json.dumps(estimate_to_dict(estimate)))
    assert estimate_from_dict(document) == estimate
    hidden = sum(isinstance(cell, Suppressed) for cell in cells(estimate))
    assert sum(isinstance(row[-1], dict) and set(row[-1]) == {"suppressed"} for row in document["rows"]) == hidden
    table = frame(estimate)
    text = table.to_csv()
    assert text.count("suppressed") == hidden
    assert numbers_of(text) <= allowed(estimate)


ARITHMETIC: list[Callable[[pd.DataFrame], object]] = [
    lambda table: table["n"].sum(),
    lambda table: table.sum(),
    lambda table: table["n"].mean(),
    lambda table: table["n"].cumsum(),
    lambda table: table["n"] / 2,
    lambda table: table["n"].astype(float),
    lambda table: table["n"].max(),
    lambda table: table["n"].sort_values(),
    lambda table: np.sum(table["n"].to_numpy()),
    lambda table: table.groupby("ward").sum(),
    lambda table: pd.to_numeric(table["n"]),
    lambda table: table["n"] - table["n"],
    lambda table: table["n"] > 10,
    lambda table: table["n"].sub(1),
    lambda table: table.assign(share=table["n"] / 100),
    lambda table: table["n"].prod(),
    lambda table: table["n"].std(),
]


@pytest.mark.parametrize("compute", ARITHMETIC)
@given(estimate=estimates())
def test_no_arithmetic_takes_a_suppressed_cell_for_a_number(
    compute: Callable[[pd.DataFrame], object], estimate: Estimate
) -> None:
    """It raises, or what comes out is suppressed or made of shown cells alone; never a total that left it out."""
    table = frame(estimate)
    try:
        outcome = compute(table)
    except (TypeError, ValueError):
        return
    known = [cell for cell in cells(estimate) if isinstance(cell, int)]
    numbers = np.ravel(np.asarray(outcome, dtype=object))
    assert any(isinstance(number, Suppressed) for number in numbers), numbers
    sums = [sum(row[-1] for row in estimate.rows if row[0] == ward and isinstance(row[-1], int)) for ward in WARDS]
    assert all(isinstance(number, Suppressed) or number in [*known, *sums] for number in numbers)


def test_ratios_of_a_suppressed_coefficient_are_suppressed() -> None:
    columns = ("estimate", "std_error", "statistic", "p_value", "ci_low", "ci_high")
    estimate = Estimate(("term",), columns, (("age", *(Suppressed(0.5, 1.5),) * 6),))
    assert exponentiated(estimate).rows == estimate.rows
