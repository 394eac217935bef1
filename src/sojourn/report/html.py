"""The report of a study: one HTML file that needs nothing else, for an epidemiologist and an auditor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from sojourn.analysis.statistic import Suppressed
from sojourn.report import figures, tables, words
from sojourn.report.captions import caption
from sojourn.report.doubts import KINDS, Doubt, doubts
from sojourn.report.multiples import multiples
from sojourn.report.record import AnalysisRecord, SiteOutcome, StudyRecord
from sojourn.report.secrecy import NOT_BY_SITE
from sojourn.report.tables import Shown, Table

_MARKS = {"contributed": "yes", "took part": "yes", "not released": "held", "no answer": "none"}
_GAVE = ("contributed", "took part")


@dataclass(frozen=True)
class Section:
    """One analysis as the page shows it."""

    name: str
    anchor: str
    sentence: str
    analysis: AnalysisRecord
    tables: tuple[Table, ...]
    facts: tuple[tuple[str, Shown], ...]
    figure: Markup
    alt: str
    caption: str
    doubts: tuple[Doubt, ...]
    multiples: Markup
    made_of: str
    more: tuple[tuple[str, Markup], ...]


def render(record: StudyRecord) -> str:
    """The whole report. All text of the record is escaped; the page loads nothing and runs nothing."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            record=record,
            sections=[_section(i, name, record) for i, name in enumerate(record.analyses, start=1)],
            plan_words=words.plan_in_words(record),
            plan_yaml=tables.plain_lines(
                yaml.safe_dump(dict(record.plan), sort_keys=False, allow_unicode=True, width=100)
            ),
            failed=[check for check in record.checks if not check.ok],
            contributors=sum(any(done.status in _GAVE for done in site.values()) for site in record.sites.values()),
            remedies=_remedies(record),
            looked_for=list(KINDS.values()),
            not_by_site=NOT_BY_SITE,
            total_bytes=sum(sum(analysis.bytes_left.values()) for analysis in record.analyses.values()),
        )
    )


def fragment(
    name: str, analysis: AnalysisRecord, watermark: str = "", found: Sequence[Doubt] = (), picture: bool = False
) -> str:
    """One analysis as an HTML fragment with its own styles, for notebooks; with `picture` its figure too."""
    drawn = figures.figure(analysis, watermark=watermark) if picture else None
    return (
        _environment()
        .get_template("fragment.html.j2")
        .render(
            name=name,
            analysis=analysis,
            tables=tables.present(name, analysis),
            watermark=watermark,
            figure=Markup("") if drawn is None else _inline(figures.svg(drawn)),
            alt=_alt(name, analysis),
            doubts=found,
        )
    )


def _section(place: int, name: str, record: StudyRecord) -> Section:
    analysis = record.analyses[name]
    drawn = figures.figure(analysis, watermark=record.watermark)
    side_by_side = multiples(analysis, record.watermark)
    return Section(
        name=tables.plain(name),
        anchor=f"analysis-{place}",
        sentence=words.analysis_in_words(analysis),
        analysis=analysis,
        tables=tables.present(name, analysis),
        facts=tables.facts(analysis.estimate) if analysis.estimate else (),
        figure=Markup("") if drawn is None else _inline(figures.svg(drawn)),
        alt=_alt(name, analysis),
        caption=caption(analysis),
        doubts=doubts(record, name),
        multiples=Markup("") if side_by_side is None else _inline(figures.svg(side_by_side[0])),
        made_of="" if side_by_side is None else side_by_side[1],
        more=tuple(_more(analysis, record.watermark)),
    )


def _more(analysis: AnalysisRecord, watermark: str) -> Iterator[tuple[str, Markup]]:
    """Of a meta-analysis over enough sites its funnel and Baujat's plot, for the first coefficient."""
    if analysis.estimate is None or "combine" not in analysis.estimate.facts:
        return
    captions = {"funnel": "Funnel: precise sites on top", "baujat": "Which site disagrees, and which decides"}
    for kind, words_below in captions.items():
        drawn = figures.of_kind(kind, analysis, "", watermark=watermark)
        if drawn is not None:
            yield words_below, _inline(figures.svg(drawn))


def _inline(svg: str) -> Markup:
    """An SVG of ours as part of a page, hidden from screen readers, which have its description and the table."""
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", svg, count=2)
    return Markup(svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1))  # Vega escaped its text


def _alt(name: str, analysis: AnalysisRecord) -> str:
    """What a figure shows, in words; the numbers are in the table."""
    rows = analysis.estimate.rows if analysis.estimate else ()
    hidden = sum(isinstance(cell, Suppressed) for row in rows for cell in row)
    tail = f" Suppressed cells that it marks: {hidden}." if hidden else ""
    return tables.plain(f"Figure of {name}. {words.analysis_in_words(analysis)}. The table holds its numbers.{tail}")


def _remedies(record: StudyRecord) -> list[tuple[str, str, list[str]]]:
    """Every way in which a site did not contribute, what helps, and where it happened."""
    found: dict[tuple[str, str], list[str]] = {}
    for name in record.analyses:
        for site, outcome in record.outcomes(name).items():
            if outcome.status not in _GAVE:
                found.setdefault((_said(outcome), outcome.remedy), []).append(f"{site} ({name})")
    return [(what, remedy, [tables.plain(place) for place in places]) for (what, remedy), places in found.items()]


def _prose(text: str) -> Markup:
    """Escaped text in which words between backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(tables.plain(text)))))


def _breakable(name: str) -> Markup:
    """A name that a narrow column may break after each underscore."""
    return Markup("_<wbr>").join(str(name).split("_"))


def _said(outcome: SiteOutcome) -> str:
    """The status, and the family where it tells more."""
    words = outcome.status if outcome.family in ("", outcome.status) else str(outcome)
    return words[0].upper() + words[1:]


def _mark(outcome: SiteOutcome) -> str:
    return _MARKS[outcome.status]


def _when(moment: str) -> str:
    """An ISO 8601 moment as people read it."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)", moment)
    return f"{found[1]} {found[2]} UTC" if found else moment


def _style() -> Markup:
    source, _, _ = _loader().get_source(Environment(autoescape=True), "style.css")
    return Markup(source)


@cache
def _loader() -> PackageLoader:
    return PackageLoader("sojourn.report", "templates")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=_loader(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Any] = {
        "prose": _prose,
        "plain": tables.plain,
        "size": tables.size_in_bytes,
        "when": _when,
        "mark": _mark,
        "breakable": _breakable,
    }
    environment.filters.update(filters)
    environment.globals["style"] = _style()
    return environment
