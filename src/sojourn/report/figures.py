"""Figures, drawn only from released tables. A suppressed cell is drawn as such: grey, dashed and labelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from sojourn.analysis.statistic import Cell, Estimate, Suppressed
from sojourn.errors import SojournError
from sojourn.report.coefficient_path import coefficient_path
from sojourn.report.drawing import HIDDEN, INK, OKABE_ITO, WIDTH, Rows, data, dress, log_ticks, order
from sojourn.report.drawing import Figure as Figure
from sojourn.report.drawing import png as png
from sojourn.report.drawing import svg as svg
from sojourn.report.forests import baujat, forests, funnel, leading_term
from sojourn.report.heat_map import correlations
from sojourn.report.love_plot import love_plot
from sojourn.report.multiples import multiples
from sojourn.report.rates import rates
from sojourn.report.ratios import exponentiated, ratio_name
from sojourn.report.record import AnalysisRecord
from sojourn.report.table_one import is_share
from sojourn.report.tables import binned, is_intercept, plain, shown

MOST_BARS = 40
KINDS = {"funnel": funnel, "baujat": baujat}


def figure(analysis: AnalysisRecord, title: str = "", watermark: str = "") -> Figure | None:
    """The figure that suits an analysis: forests, bars, histogram, dots, love plot, heat map or path.

    None where there is nothing to draw.
    """
    estimate = analysis.estimate
    if estimate is None or not estimate.rows:
        return None
    if "combine" in estimate.facts and (by_site := forests(analysis, title, watermark)) is not None:
        return by_site
    chart = _drawing(analysis, estimate)
    return None if chart is None else dress(chart, title, watermark)


def of_kind(kind: str, analysis: AnalysisRecord, term: str, title: str = "", watermark: str = "") -> Figure | None:
    """A figure by its name; SojournError where there is none of that name."""
    term = term or leading_term(analysis)
    if kind == "by site":
        told = multiples(analysis, watermark)
        return forests(analysis, title, watermark) if told is None else told[0]
    if kind not in KINDS:
        raise SojournError(f"There is no figure `{kind[:40]}`.", remedy="Use `by site`, `funnel` or `baujat`.")
    return KINDS[kind](analysis, term, title, watermark)


def _drawing(analysis: AnalysisRecord, estimate: Estimate) -> Figure | None:
    columns = set(estimate.columns)
    if estimate.index == ("variable", "other") and "estimate" in columns:
        return correlations(estimate)
    if estimate.index == ("lambda", "term"):
        return coefficient_path(estimate)
    if "smd" in columns:
        return love_plot(estimate)
    if (drawn := rates(analysis.kind, estimate)) is not None:
        return drawn
    if {"estimate", "ci_low", "ci_high"} <= columns:
        return forest(estimate, ratio_name(analysis.kind, analysis.arguments))
    if {"mean", "sd"} <= columns:
        return dots(estimate)
    if "n" in columns and analysis.kind == "histogram":
        return histogram(estimate, str(analysis.arguments.get("column", "")))
    drawable = "n" in columns and 1 <= len(estimate.index) <= 2 and len(estimate.rows) <= MOST_BARS
    return bars(estimate) if drawable else None


def forest(estimate: Estimate, ratio: str = "") -> Figure | None:
    """Estimates with confidence intervals; ratios on a log scale with their line at 1, others with theirs at 0."""
    drawn = exponentiated(estimate) if ratio else estimate
    rows = []
    for row in _records(drawn):
        numbers = [row["values"].get(name) for name in ("estimate", "ci_low", "ci_high")]
        if is_intercept(row["label"]) or not all(_is_number(value) for value in numbers):
            continue
        if ratio and not all(1e-6 < value < 1e6 for value in numbers):
            continue  # an axis that holds such a number shows nothing else
        rows.append({"term": row["label"], "value": numbers[0], "low": numbers[1], "high": numbers[2]})
    if not rows:
        return None
    name = f"{ratio.capitalize()} (log scale)" if ratio else "Coefficient"
    scale = alt.Scale(type="log", nice=False, padding=12) if ratio else alt.Scale(zero=False, padding=12)
    axis = alt.Axis(values=log_ticks(rows), format="~g") if ratio else alt.Axis(tickCount=7, format="~g")
    x = alt.X("low:Q", scale=scale, title=f"{name}, 95 % CI", axis=axis)
    base = alt.Chart(data(rows)).encode(y=alt.Y("term:N", sort=order(rows, "term"), title=None))
    line = (
        alt.Chart(data([{"at": 1.0 if ratio else 0.0}]))
        .mark_rule(color=INK, strokeDash=[4, 4], opacity=0.6)
        .encode(x="at:Q")
    )
    spans = base.mark_rule(color=OKABE_ITO[0], strokeWidth=2.5).encode(x=x, x2="high:Q")
    points = base.mark_point(color=OKABE_ITO[0], filled=True, size=95, opacity=1, shape="square").encode(x="value:Q")
    return alt.layer(line, spans, points).properties(width=WIDTH, height=alt.Step(30))


def dots(estimate: Estimate) -> Figure | None:
    """Mean and standard deviation of each column and group. Columns keep their own scales: one panel would mislead.

    The axis of a share starts at 0.
    """
    rows: Rows = []
    shares = {row["index"][0] for row in _records(estimate) if is_share(row["values"])}
    for row in _records(estimate):
        mean, sd = row["values"].get("mean"), row["values"].get("sd")
        if share := row["index"][0] in shares:  # a spread that follows from the share would only mislead
            sd = 0.0 if _is_number(sd) else sd
        words = "share" if share else "mean ± standard deviation"
        place = {"panel": f"{row['index'][0]}: {words}", "group": row["rest"] or "all", "share": share}
        if _is_number(mean) and _is_number(sd):
            rows.append(place | {"value": mean, "low": mean - sd, "high": mean + sd, "hidden": ""})
        elif isinstance(mean, Suppressed) or isinstance(sd, Suppressed):
            rows.append(place | {"hidden": "suppressed"})
    if not any(not row["hidden"] for row in rows):
        return None
    panels = [_dots([row for row in rows if row["panel"] == panel]) for panel in order(rows, "panel")]
    drawn: Figure = alt.concat(*panels, columns=1, spacing=18)
    return drawn


def _dots(rows: Rows) -> Figure:
    """The panel of one column."""
    told = [row for row in rows if not row["hidden"]]
    scale = alt.Scale(zero=False, padding=12)
    if rows[0]["share"]:
        scale = alt.Scale(domain=[0, min(1.0, 1.1 * max((row["value"] for row in told), default=1.0)) or 1.0])
    x = alt.X("low:Q", scale=scale, title=None, axis=alt.Axis(tickCount=6))
    y = alt.Y("group:N", sort=order(rows, "group"), title=None)
    shown_rows, hidden = alt.Chart(data(told)).encode(y=y), [row for row in rows if row["hidden"]]
    layers = [
        shown_rows.mark_rule(color=OKABE_ITO[0], strokeWidth=2.5).encode(x=x, x2="high:Q"),
        shown_rows.mark_point(color=OKABE_ITO[0], filled=True, size=95, opacity=1).encode(x="value:Q"),
    ]
    if hidden:
        marks = alt.Chart(data(hidden)).encode(y=y).mark_text(color=INK, fontStyle="italic")
        layers.append(marks.encode(text="hidden:N", x=alt.value(WIDTH / 2)))
    title = alt.TitleParams(rows[0]["panel"], fontSize=13, anchor="start", color=INK, offset=6)
    drawn: Figure = alt.layer(*layers).properties(width=WIDTH, height=alt.Step(30), title=title)
    return drawn


def histogram(estimate: Estimate, column: str = "") -> Figure:
    """Bins between their declared edges; the open one at either end only where it is not empty."""
    records = _records(binned(estimate, column))
    ends = {0, len(records) - 1}
    rows = [_bar(row) for place, row in enumerate(records) if place not in ends or not _is_empty(row)]
    x = alt.X(
        "label:N",
        sort=order(rows, "label"),
        title=plain(column),
        axis=alt.Axis(labelAngle=-30),
        scale=alt.Scale(paddingInner=0.04),
    )
    return _bars(rows, {"x": x}, len(rows))


def bars(estimate: Estimate) -> Figure:
    """Counts of one variable, or of two: the second one's levels side by side."""
    rows = [_bar(row) for row in _records(estimate)]
    axis = alt.Axis(labelAngle=0, labelLimit=160)
    x = alt.X("first:N", sort=order(rows, "first"), title=plain(estimate.index[0]), axis=axis)
    if len(estimate.index) == 1:
        return _bars(rows, {"x": x}, len(rows))
    levels = order(rows, "rest")
    offset = alt.XOffset("rest:N", sort=levels)
    colour = alt.Color(
        "rest:N",
        title=plain(estimate.index[1]),
        sort=levels,
        scale=alt.Scale(domain=levels, range=[OKABE_ITO[i % 7] for i in range(len(levels))]),
    )
    return _bars(rows, {"x": x, "xOffset": offset}, len(rows), colour)


def _bars(rows: Rows, places: Mapping[str, Any], count: int, colour: alt.Color | None = None) -> Figure:
    """Solid bars for what is known; for a suppressed cell a hatched bar to its upper bound, with the word."""
    told_of = [row["top"] for row in rows if row["top"] is not None]
    most = max(told_of, default=1) or 1
    rows = [row | {"top": most * 1.25} if row["top"] is None else row for row in rows]
    rows = [row | {"foot": row["top"] if row["top"] < 0.6 * most else 0} for row in rows]  # where the word starts
    base = alt.Chart(data(rows)).encode(**places)
    y = alt.Y(
        "top:Q",
        title="Persons",
        # Where no number is shown and no bound follows, a height means nothing.
        axis=alt.Axis(tickCount=5, tickMinStep=1, format=",.0f") if told_of else alt.Axis(values=[]),
        scale=alt.Scale(domain=[0, most * 1.25]),
    )
    paint = {"color": colour} if colour is not None else {"color": alt.value(OKABE_ITO[0])}
    told = base.transform_filter("!datum.hidden")
    hidden = base.transform_filter("datum.hidden")
    layers = [
        told.mark_bar().encode(y=y, **paint),
        told.mark_text(dy=-7, color=INK, fontSize=12).encode(y=y, text="words:N"),
        hidden.mark_bar(fill=HIDDEN, stroke=INK, strokeDash=[3, 3], strokeWidth=1).encode(y=y),
        hidden.mark_text(angle=270, align="left", dx=6, color=INK, fontSize=12, fontStyle="italic").encode(
            y=alt.Y("foot:Q"), text="state:N"
        ),
    ]
    return alt.layer(*layers).properties(width=max(WIDTH, min(46 * count, 800)), height=260)


def _bar(row: Mapping[str, Any]) -> dict[str, Any]:
    count = row["values"].get("n")
    place = {"label": row["label"], "first": row["index"][0], "rest": row["rest"]}
    if isinstance(count, Suppressed):
        return place | {"top": count.high, "hidden": True, "state": str(shown(count)), "words": ""}
    if not _is_number(count):
        return place | {"top": None, "hidden": True, "state": "not available", "words": ""}
    return place | {"top": count, "hidden": False, "state": "", "words": f"{count:,}"}


def _records(estimate: Estimate) -> Rows:
    """Each row with its labels as safe text and its values by column."""
    width = len(estimate.index)
    records = []
    for row in estimate.rows:
        index = ["all" if cell is None else str(shown(cell)) for cell in row[:width]]
        values = dict(zip(estimate.columns, row[width:], strict=True))
        records.append({"index": index, "label": " to ".join(index), "rest": ", ".join(index[1:]), "values": values})
    return records


def _is_empty(row: Mapping[str, Any]) -> bool:
    return bool(row["label"].startswith(("below ", "above ")) and row["values"].get("n") == 0)


def _is_number(value: Cell) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
