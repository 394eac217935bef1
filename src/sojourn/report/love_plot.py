"""The love plot: how far two groups are apart in each variable, in standard deviations (T. E. Love, 2004)."""

from __future__ import annotations

import altair as alt

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report.drawing import INK, OKABE_ITO, WIDTH, Figure, Rows, data, order
from sojourn.report.tables import plain

BALANCED = 0.1  # a difference below it is taken for balance (P. C. Austin, Statistics in Medicine 28, 2009)


def love_plot(estimate: Estimate) -> Figure | None:
    """A point a variable at its standardised mean difference; a suppressed one says so. None without any number."""
    place = len(estimate.index) + estimate.columns.index("smd")
    rows: Rows = []
    for row in estimate.rows:
        label, value = plain(row[0]), row[place]
        if isinstance(value, Suppressed):
            rows.append({"variable": label, "state": "suppressed"})
        elif isinstance(value, (int, float)):
            rows.append({"variable": label, "smd": abs(float(value)), "beyond": abs(float(value)) > BALANCED})
    told = [row for row in rows if "smd" in row]
    if not told:
        return None
    y = alt.Y("variable:N", sort=order(rows, "variable"), title=None)
    most = max([BALANCED * 2, *(row["smd"] for row in told)])
    scale = alt.Scale(domain=[0, most * 1.1], nice=False)
    x = alt.X("smd:Q", scale=scale, title="Standardised mean difference, absolute", axis=alt.Axis(tickCount=6))
    limit = alt.Chart(data([{"smd": BALANCED}])).mark_rule(color=INK, strokeDash=[4, 4], opacity=0.7).encode(x=x)
    points = alt.Chart(data(told)).encode(y=y, x=x)
    shape = alt.condition("datum.beyond", alt.value("diamond"), alt.value("circle"))
    colour = alt.condition("datum.beyond", alt.value(OKABE_ITO[5]), alt.value(OKABE_ITO[0]))
    layers = [limit, points.mark_point(filled=True, size=90, opacity=1).encode(shape=shape, color=colour)]
    if hidden := [row for row in rows if "state" in row]:
        words = alt.Chart(data(hidden)).mark_text(color=INK, fontStyle="italic", align="left")
        layers.append(words.encode(y=y, text="state:N", x=alt.value(8)))
    drawn: Figure = alt.layer(*layers).properties(width=WIDTH, height=alt.Step(24))
    return drawn
