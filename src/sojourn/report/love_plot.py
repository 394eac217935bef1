"""The love plot: how far two groups are apart in each variable, in standard deviations (T. E. Love, 2004)."""

from __future__ import annotations

import altair as alt

from sojourn.analysis.statistic import Estimate, Suppressed
from sojourn.report.drawing import INK, OKABE_ITO, WIDTH, Figure, Rows, data, order
from sojourn.report.tables import plain

BALANCED = 0.1  # a difference below it is taken for balance (P. C. Austin, Statistics in Medicine 28, 2009)


UNWEIGHTED, WEIGHTED = "Unweighted", "Weighted"
_COLUMNS = {UNWEIGHTED: "smd", WEIGHTED: "weighted_smd"}


def love_plot(estimate: Estimate) -> Figure | None:
    """A point a variable at its standardised mean difference, and one beside it where there are weights.

    A suppressed one says so. None without any number.
    """
    series = {name: column for name, column in _COLUMNS.items() if column in estimate.columns}
    rows = [row for name, column in series.items() for row in _points(estimate, name, column)]
    told = [row for row in rows if "smd" in row]
    if not told:
        return None
    y = alt.Y("variable:N", sort=order(rows, "variable"), title=None)
    most = max([BALANCED * 2, *(row["smd"] for row in told)])
    scale = alt.Scale(domain=[0, most * 1.1], nice=False)
    x = alt.X("smd:Q", scale=scale, title="Standardised mean difference, absolute", axis=alt.Axis(tickCount=6))
    limit = alt.Chart(data([{"smd": BALANCED}])).mark_rule(color=INK, strokeDash=[4, 4], opacity=0.7).encode(x=x)
    points = alt.Chart(data(told)).encode(y=y, x=x)
    marks = points.mark_point(filled=True, size=90, opacity=1)
    layers = [limit, _told_apart(marks) if len(series) > 1 else _beyond(marks)]
    for name in series:
        if hidden := [row for row in rows if "state" in row and row["series"] == name]:
            words = alt.Chart(data(hidden)).mark_text(color=INK, fontStyle="italic", align="left")
            place = 8 if name == UNWEIGHTED else 8 + WIDTH // 3
            layers.append(words.encode(y=y, text="state:N", x=alt.value(place)))
    drawn: Figure = alt.layer(*layers).properties(width=WIDTH, height=alt.Step(24))
    return drawn


def _points(estimate: Estimate, name: str, column: str) -> Rows:
    place = len(estimate.index) + estimate.columns.index(column)
    rows: Rows = []
    for row in estimate.rows:
        told, value = {"variable": plain(row[0]), "series": name}, row[place]
        if isinstance(value, Suppressed):
            rows.append({**told, "state": f"{name.lower()}: suppressed" if column != "smd" else "suppressed"})
        elif isinstance(value, (int, float)):
            rows.append({**told, "smd": abs(float(value)), "beyond": abs(float(value)) > BALANCED})
    return rows


def _beyond(marks: alt.Chart) -> alt.Chart:
    """Of one series: what is out of balance has another shape and colour."""
    shape = alt.condition("datum.beyond", alt.value("diamond"), alt.value("circle"))
    colour = alt.condition("datum.beyond", alt.value(OKABE_ITO[5]), alt.value(OKABE_ITO[0]))
    return marks.encode(shape=shape, color=colour)


def _told_apart(marks: alt.Chart) -> alt.Chart:
    """Of two: each has a shape and a colour of its own, which a legend names."""
    names = list(_COLUMNS)
    legend = alt.Legend(title=None, orient="top", columnPadding=24, labelLimit=200)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=["triangle-up", "circle"]), legend=legend)
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=[OKABE_ITO[5], OKABE_ITO[0]]), legend=legend)
    return marks.encode(shape=shape, color=colour)
