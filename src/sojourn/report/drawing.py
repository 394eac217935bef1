"""What all figures share: colours that colour-blind readers tell apart, fonts, axes, and their files."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

import altair as alt
import vl_convert

from sojourn.report.tables import plain

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
INK, GRID, HIDDEN, ALARM = "#1f2328", "#8b949e", "#c9ced6", "#D55E00"
FONT = "Inter, Helvetica Neue, Arial, Liberation Sans, DejaVu Sans, sans-serif"
WIDTH = 520
LABEL_LIMIT = 260  # pixels of a label beside an axis
LETTER = 8  # pixels of a letter of 13 in the widest of the fonts
_HATCH = (
    '<defs><pattern id="hatch" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="7" height="7" fill="#8b949e" fill-opacity="0.22"/>'
    '<rect width="2" height="7" fill="#8b949e" fill-opacity="0.75"/></pattern></defs>'
)
_COUNTED = re.compile(r'(?:(?<= id=")|(?<=url\(#)|(?<=href="#))(?:gradient_|clip)\d+(?=[")])')
Figure = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart
Rows = list[dict[str, Any]]


def svg(chart: Figure) -> str:
    """Stand-alone SVG, made without network: text in the page's own colour, suppressed marks hatched."""
    drawn = vl_convert.vegalite_to_svg(chart.to_dict(), show_warnings=False)
    drawn = drawn.replace(INK, "currentColor").replace(f'fill="{HIDDEN}"', 'fill="url(#hatch)"')
    drawn = re.sub(r"(<svg[^>]*>)", lambda start: start[1] + _HATCH, drawn, count=1)
    return _named_by_content(drawn)


def _named_by_content(drawn: str) -> str:
    """With ids that follow from the figure alone: the renderer counts on over all that a process draws."""
    ids = {name: place for place, name in enumerate(dict.fromkeys(_COUNTED.findall(drawn)))}
    mark = hashlib.sha256(_COUNTED.sub(lambda found: f"part-{ids[found[0]]}", drawn).encode()).hexdigest()[:8]
    return _COUNTED.sub(lambda found: f"part-{mark}-{ids[found[0]]}", drawn)  # ids are of a whole page


def png(chart: Figure, scale: float = 2.0) -> bytes:
    """PNG on white, made without network."""
    return bytes(vl_convert.vegalite_to_png(chart.properties(background="white").to_dict(), scale=scale))


def dress(chart: Figure, title: str, watermark: str) -> Figure:
    """Title, banner, fonts and colours that every figure shares."""
    if watermark:  # the title itself: a subtitle without a title is not drawn
        words = alt.TitleParams(plain(watermark), color=ALARM, subtitle=plain(title), subtitleColor=INK)
        chart = chart.properties(title=words)
    elif title:
        chart = chart.properties(title=plain(title))
    dressed: Figure = (
        chart.configure(font=FONT, background="transparent", padding=8)
        .configure_view(stroke=None)
        .configure_mark(tooltip=alt.TooltipContent("encoding"))
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            domainColor=INK,
            tickColor=INK,
            gridColor=GRID,
            gridOpacity=0.3,
            labelFontSize=13,
            titleFontSize=13,
            titleFontWeight="normal",
            labelLimit=LABEL_LIMIT,
            titlePadding=10,
        )
        .configure_axisQuantitative(labelFlush=False, labelOverlap="greedy", labelSeparation=4)
        .configure_legend(labelColor=INK, titleColor=INK, labelFontSize=13, titleFontSize=13, orient="top")
        .configure_title(color=INK, anchor="start", fontSize=15, subtitleFontSize=13, offset=12)
    )
    return dressed


def panel_header() -> alt.Header:
    return alt.Header(
        labelAngle=0,
        labelAlign="left",
        labelOrient="top",
        labelAnchor="start",
        labelColor=INK,
        labelFontSize=13,
        labelFontWeight="bold",
    )


def log_ticks(rows: Rows) -> list[float]:
    """1, 2, 5 in every decade that the intervals reach; only the decades where there are many."""
    low, high = (math.log10(min(row["low"] for row in rows)), math.log10(max(row["high"] for row in rows)))
    steps = (1, 2, 5) if high - low < 3 else (1,)
    ticks = [step * 10.0**power for power in range(math.floor(low) - 1, math.ceil(high) + 1) for step in steps]
    return [tick for tick in ticks if low - 0.15 <= math.log10(tick) <= high + 0.15 or tick == 1]


def order(rows: Rows, key: str) -> list[str]:
    """The values of a key as they come first: without it, layers with a filter would reorder an axis."""
    return list(dict.fromkeys(row[key] for row in rows))


def data(rows: Rows) -> alt.Data:
    return alt.Data(values=rows)  # type: ignore[no-untyped-call]
