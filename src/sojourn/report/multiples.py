"""Small multiples by site, of what each site released; a cell that a site hid is drawn as hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from sojourn.analysis.statistic import Suppressed
from sojourn.report.drawing import INK, OKABE_ITO, WIDTH, Figure, Rows, data, dress, order
from sojourn.report.forests import forests
from sojourn.report.heat_map import heat_map
from sojourn.report.record import AnalysisRecord
from sojourn.report.tables import binned, plain, shown

MOST_CELLS = 400
MOST_PANELS = 12
ONE_STEP = (
    "Each site's estimate is one Newton step from the pooled one, by the score and information that it released for "
    "the pooled fit (exact for a linear model): nothing more left the site."
)
AS_RELEASED = "Numbers as each site released them."


def multiples(analysis: AnalysisRecord, watermark: str = "") -> tuple[Figure, str] | None:
    """The figure and what it is made of; None where the sites' releases say nothing that can be set side by side."""
    told = analysis.by_site
    if analysis.estimate is not None and "combine" in analysis.estimate.facts:
        return None  # its own figure shows them
    if "fits" in told:
        drawn = forests(analysis, watermark=watermark, compact=True)
        return None if drawn is None else (drawn, ONE_STEP)
    found = _means(told["means"]) if "means" in told else _shares(analysis) if "counts" in told else None
    return None if found is None else (dress(found, "", watermark), AS_RELEASED)


def _means(means: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure | None:
    """A panel a column: the mean at each site, beside its rows."""
    columns = list(dict.fromkeys(column for told in means.values() for column in told))[:MOST_PANELS]
    panels = [panel for column in columns if (panel := _panel(column, means)) is not None]
    if not panels or len(means) < 2:
        return None
    drawn = alt.concat(*panels, columns=2 if len(panels) > 1 else 1, spacing=24)
    apart: Figure = drawn.resolve_scale(y="independent", x="independent")
    return apart


def _panel(column: str, means: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure | None:
    rows: Rows = []
    for site, told in means.items():
        one = told.get(column, {})
        mean = one.get("mean")
        hidden = isinstance(mean, Suppressed)
        if hidden or mean is None:
            rows.append({"site": plain(site), "state": "suppressed" if hidden else "no rows"})
        else:
            rows.append({"site": plain(site), "mean": float(mean), "words": f"{mean:.4g}  (n {shown(one.get('n'))})"})
    if not any("mean" in row for row in rows):
        return None
    width = WIDTH // 2 - 20
    y = alt.Y("site:N", sort=order(rows, "site"), title=None)
    x = alt.X("mean:Q", scale=alt.Scale(zero=False, padding=20), title=None, axis=alt.Axis(tickCount=5, format="~g"))
    told_rows = alt.Chart(data([row for row in rows if "mean" in row])).encode(y=y)
    hidden_rows = alt.Chart(data([row for row in rows if "state" in row])).encode(y=y)
    layers = [
        told_rows.mark_point(color=OKABE_ITO[0], filled=True, size=80, opacity=1).encode(x=x),
        told_rows.mark_text(align="left", dx=8, color=INK, fontSize=11).encode(x=x, text="words:N"),
    ]
    if any("state" in row for row in rows):
        layers.append(
            hidden_rows.mark_text(color=INK, fontStyle="italic").encode(text="state:N", x=alt.value(width / 2))
        )
    title = alt.TitleParams(f"{plain(column)}: mean by site", fontSize=13, anchor="start", color=INK, offset=6)
    drawn: Figure = alt.layer(*layers).properties(width=width, height=alt.Step(24), title=title)
    return drawn


def _shares(analysis: AnalysisRecord) -> Figure | None:
    """A heat map: each cell as a share of its site, where the site hid none; else what it released."""
    estimate, counts = analysis.estimate, analysis.by_site["counts"]
    if estimate is not None:
        estimate = binned(estimate, str(analysis.arguments.get("column", "")))
    if estimate is None or len(counts) < 2 or not 2 <= len(estimate.rows) * len(counts) <= MOST_CELLS:
        return None
    width = len(estimate.index)
    if "site" in estimate.index or any(len(cells) != len(estimate.rows) for cells in counts.values()):
        return None
    labels = [", ".join(str(shown(cell)) for cell in row[:width]) for row in estimate.rows]
    rows: Rows = []
    for site, cells in counts.items():
        known = [cell for cell in cells if not isinstance(cell, Suppressed)]
        whole = sum(known) if len(known) == len(cells) else 0
        for label, cell in zip(labels, cells, strict=True):
            share = cell / whole if whole and not isinstance(cell, Suppressed) else None
            words = "suppressed" if isinstance(cell, Suppressed) else f"{cell:,}"
            known_cell = not isinstance(cell, Suppressed)
            rows.append({"site": plain(site), "cell": label, "share": share, "words": words, "known": known_cell})
    return heat_map(rows, "site", "cell", "share", "Share of the site's persons")
