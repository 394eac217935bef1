"""Shares, rates and standardised ratios with their intervals: a dot and a line a group, drawn from released tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report.drawing import INK, OKABE_ITO, WIDTH, Figure, Rows, data, order, panel_header
from sojourn.report.tables import number, plain, shown

MOST_GROUPS = 60
# By kind: the column that is drawn, and what its axis is called.
_DRAWN: Mapping[str, tuple[str, str]] = {
    "prevalence": ("prevalence", "Prevalence"),
    "incidence": ("rate", "Rate"),
    "direct_standardisation": ("rate", "Standardised rate"),
    "indirect_standardisation": ("ratio", "Standardised ratio"),
}


def rates(kind: str, estimate: Estimate) -> Figure | None:
    """None for other kinds, where no number is shown, and where there are more groups than a figure holds."""
    if kind not in _DRAWN or len(estimate.rows) > MOST_GROUPS:
        return None
    column, name = _DRAWN[kind]
    rows = [_row(estimate, row, column, panels=kind == "prevalence") for row in estimate.rows]
    if not any("value" in row for row in rows):
        return None
    per = estimate.facts.get("per", 1)
    title = f"{name}{'' if per == 1 else f' per {number(per)} of person-time'}, 95 % CI"
    drawn = _panel(rows, title, is_ratio=column == "ratio")
    panels = order(rows, "panel")
    if len(panels) < 2:
        lone: Figure = drawn.properties(title=_heading(panels[0])) if panels[0] else drawn
        return lone
    several: alt.FacetChart = drawn.facet(
        row=alt.Row("panel:N", sort=panels, title=None, header=panel_header()), data=data(rows)
    )
    apart: Figure = several.resolve_scale(y="independent")
    return apart


def _panel(rows: Rows, title: str, *, is_ratio: bool) -> Any:  # charts that can be joined or repeated
    """Dot and line a group; words beside it, or that it is suppressed."""
    lone = len(order(rows, "panel")) < 2
    base = alt.Chart(data(rows)) if lone else alt.Chart()
    base = base.encode(y=alt.Y("group:N", sort=order(rows, "group"), title=None))
    scale = alt.Scale(zero=False, padding=8) if is_ratio else alt.Scale(domainMin=0, nice=True)
    x = alt.X("low:Q", scale=scale, title=title, axis=alt.Axis(tickCount=6, format=",~r"))
    told = base.transform_filter("isValid(datum.value)")
    layers = [
        told.mark_rule(color=OKABE_ITO[0], strokeWidth=2.5).encode(x=x, x2="high:Q"),
        told.mark_point(color=OKABE_ITO[0], filled=True, size=95, opacity=1).encode(x="value:Q"),
        base.mark_text(align="left", color=INK, fontSize=13).encode(text="words:N", x=alt.value(WIDTH - 130)),
    ]
    if is_ratio:
        line = alt.Chart(data([{"at": 1.0}])).mark_rule(color=INK, strokeDash=[4, 4], opacity=0.6)
        layers.insert(0, line.encode(x=alt.X("at:Q")))
    return alt.layer(*layers).properties(width=WIDTH - 140, height=alt.Step(30))


def _row(estimate: Estimate, row: tuple[Any, ...], column: str, *, panels: bool) -> dict[str, Any]:
    width = len(estimate.index)
    labels = ["all" if cell is None else plain(shown(cell)) for cell in row[:width]]
    values = dict(zip(estimate.columns, row[width:], strict=True))
    panel, rest = (labels[0], labels[1:]) if panels else ("", labels)
    place = {"panel": panel, "group": ", ".join(dict.fromkeys(rest)) or "all"}
    ends = [values[name] for name in (column, "ci_low", "ci_high")]
    if any(isinstance(end, Suppressed) for end in ends):
        return place | {"words": "suppressed"}
    if any(end is None for end in ends):
        return place | {"words": "nobody"}
    value, low, high = map(float, ends)
    words = f"{number(value)} ({number(low)} to {number(high)})"
    return place | {"value": value, "low": low, "high": high, "words": words}


def _heading(words: str) -> alt.TitleParams:
    return alt.TitleParams(words, fontSize=13, anchor="start", color=INK, offset=6)
