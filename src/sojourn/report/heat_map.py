"""Heat maps: a matrix of correlations, or cells by site; a suppressed cell is hatched and says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report.drawing import HIDDEN, INK, Figure, Rows, data, order
from sojourn.report.tables import fixed, plain

_TOLD, _BARE, _HIDDEN = "told", "bare", "hidden"


def correlations(estimate: Estimate) -> Figure | None:
    """Both halves of the matrix from a row a pair, with its diagonal; None without any number."""
    place = len(estimate.index) + estimate.columns.index("estimate")
    cells: Rows = []
    for row in estimate.rows:
        value, pair = row[place], (plain(row[0]), plain(row[1]))
        number = float(value) if isinstance(value, (int, float)) else None
        words = "suppressed" if isinstance(value, Suppressed) else "–" if number is None else fixed(number, 2)
        cells += [{"x": x, "y": y, "r": number, "words": words} for x, y in (pair, pair[::-1])]
    if not any(cell["r"] is not None for cell in cells):
        return None
    names = list(dict.fromkeys(plain(name) for row in estimate.rows for name in row[:2]))
    cells += [{"x": name, "y": name, "r": 1.0, "words": "1"} for name in names]
    cells.sort(key=lambda cell: (names.index(cell["y"]), names.index(cell["x"])))
    return heat_map(cells, "x", "y", "r", "Correlation", diverging=True)


def heat_map(rows: Rows, x: str, y: str, value: str, title: str, diverging: bool = False) -> Figure:
    """Cells by colour, with their words on them; a cell without a value is hatched, or bare where it is `known`."""
    rows = [row | {"state": _state(row, value)} for row in rows]
    scale = (
        alt.Scale(domain=[-1, 0, 1], range=["#D55E00", "#f4f6f9", "#0072B2"], interpolate="rgb")
        if diverging
        else alt.Scale(scheme="blues", domainMin=0)
    )
    columns, lines = len(order(rows, x)), len(order(rows, y))
    letters = max((len(str(row[x])) for row in rows), default=0)
    wide = min(max(columns * min(max(90, 8 * letters + 12), 140), 260), 760)
    axis = alt.Axis(labelAngle=0, orient="top", labelLimit=wide // columns - 6)
    base = alt.Chart().encode(
        x=alt.X(f"{x}:N", sort=order(rows, x), title=None, axis=axis),
        y=alt.Y(f"{y}:N", sort=order(rows, y), title=None),
    )
    told, bare, hidden = (base.transform_filter(f"datum.state == '{state}'") for state in (_TOLD, _BARE, _HIDDEN))
    middle = 0.6 if diverging else max([row[value] for row in rows if row[value] is not None], default=1.0) * 0.6
    light = alt.condition(f"abs(datum.{value}) > {middle}", alt.value("white"), alt.value("#1f2329"))
    layers = [
        bare.mark_rect(fill="transparent", stroke=INK, strokeOpacity=0.3),
        bare.mark_text(fontSize=12, color=INK).encode(text="words:N"),
        hidden.mark_rect(fill=HIDDEN, stroke=INK, strokeDash=[3, 3]),
        hidden.mark_text(fontSize=11, fontStyle="italic", color=INK).encode(text="words:N"),
    ]
    if any(row["state"] == _TOLD for row in rows):  # a legend of no number is none
        layers += [
            told.mark_rect(stroke="white").encode(color=alt.Color(f"{value}:Q", scale=scale, title=title)),
            told.mark_text(fontSize=12).encode(text="words:N", color=light),
        ]
    size = {"width": wide, "height": max(30 * lines, 60)}
    drawn: Figure = alt.layer(*layers, data=data(rows)).properties(**size)
    return drawn


def _state(row: Mapping[str, Any], value: str) -> str:
    return _TOLD if row[value] is not None else _BARE if row.get("known") else _HIDDEN
