"""The coefficient path of a penalised model: each coefficient against the penalty."""

from __future__ import annotations

import altair as alt

from sojourn.analysis.statistic import Estimate
from sojourn.report.drawing import INK, OKABE_ITO, WIDTH, Figure, Rows, data, order
from sojourn.report.tables import is_intercept, plain

MOST_NAMED = 7  # as many as there are colours; the others are grey
_CHOSEN = {"lambda_bic": "BIC", "lambda_min": "minimum", "lambda_1se": "1 SE"}


def coefficient_path(estimate: Estimate) -> Figure | None:
    """A line a coefficient, the largest named; a rule at each penalty that a criterion chose. None without numbers."""
    rows: Rows = [
        {"lambda": float(row[0]), "term": plain(row[1]), "value": float(row[2])}
        for row in estimate.rows
        if not is_intercept(row[1]) and isinstance(row[0], float) and isinstance(row[2], (int, float)) and row[0] > 0
    ]
    if not rows:
        return None
    largest = {term: max(abs(row["value"]) for row in rows if row["term"] == term) for term in order(rows, "term")}
    named = sorted(sorted(largest, key=lambda term: -largest[term])[:MOST_NAMED])
    x = alt.X(
        "lambda:Q",
        scale=alt.Scale(type="log", reverse=True, nice=False),
        title="Penalty (lambda, log scale; smaller to the right)",
        axis=alt.Axis(format=".1~e", tickCount=5, grid=False),
    )
    y = alt.Y("value:Q", title="Coefficient")
    shades = alt.Scale(domain=named, range=[*OKABE_ITO[:6], INK][: len(named)])
    dashes = alt.Scale(domain=named, range=[[1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [1, 0], [6, 3], [2, 2]][: len(named)])
    legend = alt.Legend(columns=3, columnPadding=24, labelLimit=150, symbolSize=300, symbolStrokeWidth=2)
    rows = [row | {"named": row["term"] in named} for row in rows]
    lines = alt.Chart(data(rows)).encode(x=x, y=y, detail="term:N")
    layers = [
        lines.transform_filter("!datum.named").mark_line(color=INK, opacity=0.25, strokeWidth=1),
        lines.transform_filter("datum.named")
        .mark_line(strokeWidth=2)
        .encode(
            color=alt.Color("term:N", scale=shades, title=None, sort=named, legend=legend),
            strokeDash=alt.StrokeDash("term:N", scale=dashes, title=None, sort=named, legend=legend),
        ),
    ]
    chosen = [
        {"lambda": float(estimate.facts[fact]), "words": words}
        for fact, words in _CHOSEN.items()
        if isinstance(estimate.facts.get(fact), float)
    ]
    if chosen:
        rules = alt.Chart(data(chosen)).encode(x=x)
        layers += [
            rules.mark_rule(color=INK, strokeDash=[4, 4], opacity=0.7),
            rules.mark_text(align="left", dx=4, dy=4, baseline="top", color=INK, fontSize=11).encode(
                text="words:N", y=alt.value(0)
            ),
        ]
    drawn: Figure = alt.layer(*layers).properties(width=WIDTH, height=300)
    return drawn
