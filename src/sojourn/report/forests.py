"""Forest plots over sites, the funnel and Baujat's plot, drawn from what each site released."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from sojourn.analysis.influence import influence
from sojourn.analysis.meta_analysis import combine, quantile
from sojourn.analysis.statistic import Estimate
from sojourn.report.doubts import synthesis
from sojourn.report.drawing import (
    INK,
    LABEL_LIMIT,
    LETTER,
    OKABE_ITO,
    WIDTH,
    Figure,
    Rows,
    data,
    dress,
    log_ticks,
    order,
)
from sojourn.report.ratios import ratio_name
from sojourn.report.record import AnalysisRecord
from sojourn.report.tables import fixed as decimals
from sojourn.report.tables import is_intercept, plain
from sojourn.statistics.effects import AS_IT_IS, LOG, LOGIT, back
from sojourn.statistics.side_by_side import PREFIX, label_of

MOST_PANELS = 6
LEAST_FUNNEL = 5  # sites under which a funnel is no shape
META, POOLED, EXPECTED = "Meta-analysis", "Pooled fit", "At a further site"
_SHADES = {META: OKABE_ITO[5], POOLED: OKABE_ITO[2], EXPECTED: OKABE_ITO[5]}
_RATES = ("incidence", "direct_standardisation")
_NAMES = {
    "balance": "standardised difference",
    "correlation": "correlation",
    "direct_standardisation": "standardised rate",
    "incidence": "rate",
    "indirect_standardisation": "standardised ratio",
    "prevalence": "prevalence",
    "t_test": "difference",
}
# Where a name may stand: pixels right of its point, and below, and how much of it lies left of there, negative.
_SIDES = {"right": (8, 0, 0.0), "left": (-8, 0, -1.0), "above": (0, -12, -0.5), "below": (0, 12, -0.5)}
_LARGEST = 1e6  # an axis that holds such a ratio shows nothing else


def forest_by_site(analysis: AnalysisRecord, term: str, compact: bool = False) -> Figure | None:
    """Each site's estimate of a coefficient, squares as large as its weight, and diamonds for the answers over all.

    compact: without the numbers beside it. None where fewer than two sites can be shown.
    """
    rows = _lines(analysis, term)
    if sum(row["kind"] == "site" for row in rows) < 2:
        return None
    own_scale = _scale(analysis, term)
    ratio, name = own_scale == LOG, _named(analysis, term)
    width = WIDTH // 2 - 20 if compact else WIDTH - 140
    scale = _axis_scale(rows, own_scale)
    axis = (
        alt.Axis(values=_ticks(rows), format="~g")
        if ratio
        else alt.Axis(tickCount=4, format="~g", labelOverlap="greedy")
    )
    title = None if compact else f"{name}, 95 % CI"
    x = alt.X("low:Q", scale=scale, title=title, axis=axis)
    y = alt.Y("label:N", sort=order(rows, "label"), title=None, axis=_label_axis(rows))
    sites, answers = ([row for row in rows if (row["kind"] == "site") == own] for own in (True, False))
    line = alt.Chart(data([{"at": 1.0 if ratio else 0.0}])).mark_rule(color=INK, strokeDash=[4, 4], opacity=0.6)
    nothing = own_scale != LOGIT and analysis.kind not in _RATES  # is there a value that says that nothing differs?
    own = alt.Chart(data(sites)).encode(y=y)
    area = alt.Size("weight:Q", scale=alt.Scale(domain=[0, 100], range=[20, 420]), legend=None)
    layers = [
        *([line.encode(x=alt.X("at:Q", scale=scale, axis=axis, title=title))] if nothing else []),
        own.mark_rule(color=OKABE_ITO[0], strokeWidth=2).encode(x=x, x2="high:Q"),
        own.mark_point(color=OKABE_ITO[0], filled=True, opacity=1, shape="square").encode(x="value:Q", size=area),
        *_diamonds(answers, y, _thickness(rows, ratio, width)),
    ]
    if not compact:
        words = alt.Chart(data(rows)).encode(y=y)
        layers += [
            words.mark_text(align="left", color=INK, fontSize=13).encode(text="words:N", x=alt.value(width + 14)),
            words.mark_text(align="right", color=INK, fontSize=13).encode(text="share:N", x=alt.value(width + 215)),
        ]
    title_of_panel = alt.TitleParams(plain(term), fontSize=13, anchor="start", color=INK, offset=6)
    return alt.layer(*layers).properties(width=width, height=alt.Step(24 if compact else 28), title=title_of_panel)


def _axis_scale(rows: Rows, scale: str) -> alt.Scale:
    """A share's axis starts at 0."""
    if scale == LOGIT:
        return alt.Scale(domain=[0, min(1.0, 1.06 * max(row["high"] for row in rows))], nice=False)
    return alt.Scale(type="log", nice=False, padding=12) if scale == LOG else alt.Scale(zero=False, padding=12)


def _label_axis(rows: Rows) -> alt.Axis:
    """With room for the longest label in whatever font a reader has: the renderer measures in its own."""
    longest = max(len(row["label"]) for row in rows)
    return alt.Axis(ticks=False, domain=False, minExtent=min(LETTER * longest, LABEL_LIMIT))


def _scale(analysis: AnalysisRecord, term: str) -> str:
    """On which a term's estimates stand."""
    told = {} if analysis.estimate is None else analysis.estimate.facts.get("scale", {})
    return str(told.get(term, LOG if ratio_name(analysis.kind, analysis.arguments) else AS_IT_IS))


def _named(analysis: AnalysisRecord, term: str) -> str:
    """What the axis shows."""
    ratio = ratio_name(analysis.kind, analysis.arguments)
    if ratio:
        return f"{ratio.capitalize()} (log scale)"
    name = _NAMES.get(analysis.kind, term if analysis.kind == "mantel_haenszel" else "coefficient").capitalize()
    return f"{name} (log scale)" if _scale(analysis, term) == LOG else name


def _diamonds(answers: Rows, y: alt.Y, thickness: dict[str, float]) -> list[alt.Chart]:
    """From end to end of the interval; a line alone for where a further site is expected."""
    drawn = []
    for row in answers:
        colour = _SHADES[row["kind"]]
        if row["kind"] == EXPECTED:
            ends = alt.Chart(data([row])).mark_rule(color=colour, strokeWidth=2, strokeDash=[6, 3])
            drawn.append(ends.encode(y=y, x="low:Q", x2="high:Q"))
            continue
        corners = [
            {"label": row["label"], "at": row[end], "thick": thick, "order": place}
            for place, (end, thick) in enumerate((("low", 0), ("value", thickness[row["kind"]]), ("high", 0)))
        ]
        size = alt.Size("thick:Q", scale=None, legend=None)
        drawn.append(
            alt.Chart(data(corners)).mark_trail(color=colour).encode(y=y, x="at:Q", size=size, order="order:Q")
        )
    return drawn


def _thickness(rows: Rows, ratio: bool, width: int) -> dict[str, float]:
    """Of each row's diamond, in pixels: no thicker than it is wide, which would round it."""
    ends = [(math.log(row["low"]), math.log(row["high"])) if ratio else (row["low"], row["high"]) for row in rows]
    span = max(high for _, high in ends) - min(low for low, _ in ends)
    wide = (width * (high - low) / span if span > 0 else 0.0 for low, high in ends)
    return {row["kind"]: min(14.0, 0.35 * pixels) for row, pixels in zip(rows, wide, strict=True)}


def _ticks(rows: Rows) -> list[float]:
    """As of `log_ticks`; round numbers where the intervals reach over less than a factor of two or so."""
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    if high / low > 5:
        return log_ticks(rows)
    step = 10.0 ** math.floor(math.log10((high - low) / 2))
    step *= next(times for times in (1, 2, 5, 10) if (high - low) / (times * step) <= 5)
    return [round(step * place, 12) for place in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _lines(analysis: AnalysisRecord, term: str) -> Rows:
    """A row a site, then the answers over all; on the ratio scale where there is one."""
    fits, estimate = analysis.by_site.get("fits", {}), analysis.estimate
    made = synthesis(analysis).get(term)
    if estimate is None or made is None:
        return []
    scale = _scale(analysis, term)
    ratio = scale == LOG
    weights = dict(zip(made[0], made[1].weights.tolist(), strict=True))
    rows = []
    for site in made[0]:
        told = fits[site][term]
        weight = float(told.get("weight", weights[site]))
        rows.append(_line(plain(site), "site", [told[end] for end in ("estimate", "ci_low", "ci_high")], scale, weight))
    rows += [_line(kind, kind, ends, scale) for kind, ends in _answers(estimate, term).items()]
    rows = [row for row in rows if not ratio or all(1 / _LARGEST < row[end] < _LARGEST for end in ("low", "high"))]
    widths = sorted(row["high"] - row["low"] for row in rows if row["high"] > row["low"])
    places = min(max(1 - math.floor(math.log10(widths[len(widths) // 2])), 2 * ratio), 6) if widths else 2
    return [row | {"words": _words(row, places)} for row in rows]


def _answers(estimate: Estimate, term: str) -> dict[str, list[float]]:
    """The pooled fit, the meta-analysis and the prediction interval, as far as the table has them."""
    row = next((row for row in estimate.rows if label_of(row, len(estimate.index)) == term), None)
    value = dict(zip((*estimate.index, *estimate.columns), row or (), strict=bool(row)))
    own: list[Any] = [value.get(name) for name in ("estimate", "ci_low", "ci_high")]
    beside = [value.get(PREFIX + name) for name in ("estimate", "ci_low", "ci_high")]
    combined = estimate.facts.get("combine")
    found = {POOLED: own} if combined != "meta" and "scale" not in estimate.facts else {}
    if combined is not None:
        found[META] = own if combined == "meta" else beside
        found[EXPECTED] = [found[META][0], value.get("prediction_low"), value.get("prediction_high")]
    shown = {kind: ends for kind, ends in found.items() if all(isinstance(end, int | float) for end in ends)}
    return {kind: [float(end) for end in ends] for kind, ends in shown.items()}


def _line(label: str, kind: str, ends: Sequence[float], scale: str, weight: float = 0.0) -> dict[str, Any]:
    value, low, high = (back(scale, float(end)) for end in ends)
    share = f"{weight:.0f} %" if weight else ""
    place = {"label": label, "kind": kind, "weight": weight, "share": share}
    return place | {"value": value, "low": low, "high": high}


def _words(row: dict[str, Any], places: int) -> str:
    """The numbers as they stand beside the figure, all with the same decimals."""
    between = f"{decimals(row['low'], places)} to {decimals(row['high'], places)}"
    return between if row["kind"] == EXPECTED else f"{decimals(row['value'], places)} ({between})"


def forests(analysis: AnalysisRecord, title: str = "", watermark: str = "", compact: bool = False) -> Figure | None:
    """The forests of the first coefficients, without the intercept; None where none can be drawn."""
    terms = [term for term in synthesis(analysis) if not is_intercept(term)][:MOST_PANELS]
    panels = [panel for term in terms if (panel := forest_by_site(analysis, term, compact)) is not None]
    if not panels:
        return None
    columns = 2 if compact and len(panels) > 1 else 1
    return dress(alt.concat(*panels, columns=columns, spacing=24).resolve_scale(y="independent"), title, watermark)


def funnel(analysis: AnalysisRecord, term: str, title: str = "", watermark: str = "") -> Figure | None:
    """Estimates against their standard errors, the precise ones on top; None for fewer sites than make a funnel."""
    made = synthesis(analysis).get(term)
    if made is None or len(made[0]) < LEAST_FUNNEL:
        return None
    sites, studies = made[0], made[1].studies
    middle = float(combine(studies).estimate[0])
    errors = studies.variances**0.5
    deepest = float(errors.max()) * 1.1
    rows: Rows = [
        {"site": plain(site), "value": float(value), "error": float(error)}
        for site, value, error in zip(sites, studies.estimates, errors, strict=True)
    ]
    rows.sort(key=lambda row: -abs(row["value"] - middle))
    sides = [{"value": middle + side * quantile(None) * deepest, "error": deepest, "side": side} for side in (-1, 1)]
    top = [{"value": middle, "error": 0.0, "side": side} for side in (-1, 1)]
    y = alt.Y("error:Q", scale=alt.Scale(reverse=True, domain=[0, deepest], nice=False), title="Standard error")
    x = alt.X("value:Q", scale=alt.Scale(zero=False), title=f"{plain(term)}: estimate", axis=alt.Axis(format="~g"))
    lines = alt.Chart(data([*top, *sides])).mark_line(color=INK, strokeDash=[4, 4], opacity=0.6, strokeWidth=1)
    points = alt.Chart(data(rows)).encode(x=x, y=y)
    at = alt.Chart(data([{"value": middle}])).mark_rule(color=INK, opacity=0.6).encode(x="value:Q")
    drawn = alt.layer(
        lines.encode(x=x, y=y, detail="side:N"),
        at,
        points.mark_point(color=OKABE_ITO[0], filled=True, size=80, opacity=1),
        *_names(points, rows, "value", "error", 300, down=True),
    )
    return dress(drawn.properties(width=WIDTH, height=300), title, watermark)


def baujat(analysis: AnalysisRecord, term: str, title: str = "", watermark: str = "") -> Figure | None:
    """How much each site adds to the disagreement, against how much it moves the result."""
    made = synthesis(analysis).get(term)
    if made is None or len(made[0]) < LEAST_FUNNEL or (told := influence(combine(made[1].studies))) is None:
        return None
    rows: Rows = [
        {"site": plain(site), "share": float(share), "moved": float(moved)}
        for site, share, moved in zip(made[0], told.share, told.moved, strict=True)
    ]
    rows.sort(key=lambda row: -row["share"] - row["moved"])
    base = alt.Chart(data(rows)).encode(
        x=alt.X("share:Q", title="Part in the disagreement (squared residual)"),
        y=alt.Y("moved:Q", title="How far the result moves without it"),
    )
    drawn = alt.layer(
        base.mark_point(color=OKABE_ITO[0], filled=True, size=80, opacity=1),
        *_names(base, rows, "share", "moved", 280),
    )
    return dress(drawn.properties(width=WIDTH, height=280), title, watermark)


def _names(points: alt.Chart, rows: Rows, across: str, up: str, height: int, down: bool = False) -> list[alt.Chart]:
    """Each site's name at the side of its point where it lies on no point and no name before it; none where there is

    no such side: the table beside the figure names all. Letters are taken to be 6.5 pixels wide and 13 high.
    """
    ends = {name: (min(row[name] for row in rows), max(row[name] for row in rows)) for name in (across, up)}

    def place(row: dict[str, Any], name: str, pixels: int) -> float:
        low, high = ends[name]
        return pixels * float(row[name] - low) / (high - low) if high > low else 0.0

    spots = {row["site"]: (place(row, across, WIDTH), (1 if down else -1) * place(row, up, height)) for row in rows}
    taken = [(x - 4.5, x + 4.5, y - 4.5, y + 4.5) for x, y in spots.values()]
    sides: dict[str, str] = {}
    for site, (x, y) in spots.items():
        wide = 6.5 * len(site)
        for side, (dx, dy, left) in _SIDES.items():
            box = (x + dx + left * wide, x + dx + (left + 1) * wide, y + dy - 6.5, y + dy + 6.5)
            if box[0] >= 0 and all(box[1] <= b[0] or box[0] >= b[1] or box[3] <= b[2] or box[2] >= b[3] for b in taken):
                sides[site] = side
                taken.append(box)
                break
    drawn = []
    for side, (dx, dy, left) in _SIDES.items():
        if here := [site for site, chosen in sides.items() if chosen == side]:
            align = {0.0: "left", -1.0: "right"}.get(left, "center")
            words = points.transform_filter(alt.FieldOneOfPredicate(field="site", oneOf=here))
            text = words.mark_text(align=align, dx=dx, dy=dy, color=INK, fontSize=11)  # type: ignore[arg-type]
            drawn.append(text.encode(text="site:N"))
    return drawn


def leading_term(analysis: AnalysisRecord) -> str:
    """The first coefficient that is no intercept and that several sites estimated; empty where there is none."""
    return next((term for term in synthesis(analysis) if not is_intercept(term)), "")
