"""What a terminal shows: results, what each site did, progress, and what left each site beside what stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table as Grid
from rich.text import Text

from sojourn.report.doubts import doubts_of
from sojourn.report.record import AnalysisRecord, SiteOutcome, StudyRecord
from sojourn.report.tables import Shown, Table, facts, number, plain_lines, present, size_in_bytes

_STATES = {"contributed": "green", "not released": "yellow", "no answer": "dim", "asked": "cyan", "completed": "green"}
_STATES |= {"in review": "magenta", "took part": "green"}
_SIGNS = {"contributed": "✓", "completed": "✓", "not released": "–", "no answer": "?", "asked": "…", "waiting": "…"}
_SIGNS |= {"in review": "…", "took part": "✓"}
_ALARM = "bold white on red"


def result(name: str, analysis: AnalysisRecord, watermark: str = "") -> RenderableType:
    """One analysis: its tables and facts, or why there is none."""
    parts: list[RenderableType] = [_text(watermark, _ALARM)] if watermark else []
    if analysis.refused is not None:
        parts += [_text(f"{name}: no result was released", "bold yellow"), _text(analysis.refused.words)]
        return Group(*parts, _text(f"What helps: {analysis.refused.remedy}"), *_learned(analysis))
    assert analysis.estimate is not None  # a record has one or the other
    for table in present(name, analysis):
        parts += [grid(table), *(_text(note, "dim") for note in table.notes)]
    beside = [f"{word} {value}" for word, value in facts(analysis.estimate)]
    parts.append(_text("; ".join([*beside, f"rounds {analysis.rounds}", analysis.estimate.exactness]), "dim"))
    parts += [_text(f"Note: {warning}", "yellow") for warning in analysis.estimate.warnings]
    parts += [_text(f"Look twice: {doubt.words} {doubt.look}", "yellow") for doubt in doubts_of(analysis)]
    return Group(*parts, *_learned(analysis))


def _learned(analysis: AnalysisRecord) -> list[RenderableType]:
    """Who learns what of a masked analysis."""
    return [_text(f"Masked. {' '.join(analysis.secrecy)}", "dim")] if analysis.secrecy else []


def grid(table: Table) -> Grid:
    """A table of `report.tables` in a terminal, without its notes."""
    drawn = Grid(title=_text(table.caption), title_justify="left", title_style="bold")
    for place, head in enumerate(table.heads):
        group = f"{table.group}: " if table.group and place >= table.stub else ""
        drawn.add_column(_text(group + head), justify="left" if place < table.stub else "right", overflow="fold")
    for row in table.rows:
        drawn.add_row(*map(_cell, row))
    return drawn


def sites(record: StudyRecord) -> RenderableType:
    """What each site did for each analysis, and what helps where it did not contribute."""
    drawn = Grid(title="What each site did", title_justify="left", title_style="bold")
    drawn.add_column("Site")
    for name in record.analyses:
        drawn.add_column(_text(name))
    outcomes = {name: record.outcomes(name) for name in record.analyses}
    for site in record.sites:
        drawn.add_row(_text(site), *(_outcome(outcomes[name][site]) for name in record.analyses))
    remedies = {
        f"Where {outcome}: {outcome.remedy}"
        for done in outcomes.values()
        for outcome in done.values()
        if outcome.remedy
    }
    banner = [_text(record.watermark, _ALARM)] if record.watermark else []
    return Group(*banner, drawn, *(_text(line, "yellow") for line in sorted(remedies)))


def rehearsed(record: StudyRecord) -> RenderableType:
    """What each site would do in a study, as far as its stand-in tells."""
    drawn = Grid(title="What each site would do", title_justify="left", title_style="bold")
    drawn.add_column("Site")
    for name in record.analyses:
        drawn.add_column(_text(name))
    would = {name: record.would(name) for name in record.analyses}
    for site in record.sites:
        drawn.add_row(_text(site), *(_text(would[name][site]) for name in record.analyses))
    note = "Stand-ins are synthetic: they show whether a plan runs and how fine it is, not what the data will do."
    return Group(_text(record.watermark, _ALARM), drawn, _text(note, "dim"))


def offered(record: StudyRecord) -> RenderableType:
    """What was changed so that the plan may pass, and what may pass instead of what did not, by number."""
    parts = [_text(f"Changed so that it may pass: {done}", "yellow") for done in record.mitigation]
    if record.offers:
        parts.append(_text("What may pass instead (each site judges it anew)", "bold"))
        numbered = enumerate(record.offers, start=1)
        parts += [_text(f"{number:>3}  {offer.analysis}: {offer.words}") for number, offer in numbered]
        parts.append(_text(f"Accept one: sojourn study mitigate {record.study} --offer N", "dim"))
    return Group(*parts)


@dataclass(frozen=True)
class Sent:
    """One released array: its analysis and round, name, shape, size in bytes and its first numbers."""

    analysis: str
    round: int
    array: str
    shape: tuple[int, ...]
    bytes: int
    preview: tuple[float | None, ...] = ()  # None: suppressed


@dataclass(frozen=True)
class Boundary:
    """What left one site, and the columns whose records stayed there."""

    left: tuple[Sent, ...]
    columns: tuple[str, ...]


def what_left(boundaries: Mapping[str, Boundary]) -> RenderableType:
    """What left each site, byte by byte, beside what stayed."""
    panels: list[RenderableType] = []
    for site, boundary in boundaries.items():
        total = sum(sent.bytes for sent in boundary.left)
        stayed = Text.assemble(("stayed: ", "bold blue"), "every row of ", ", ".join(boundary.columns))
        left = _text(f"left: {size_in_bytes(total)} of numbers", "bold green")
        panels.append(Panel(Group(stayed, left, _sent(boundary.left)), title=_text(site, "bold"), title_align="left"))
    return Group(*panels)


def _sent(left: Sequence[Sent]) -> RenderableType:
    if not left:
        return _text("nothing", "dim")
    drawn = Grid(box=None, padding=(0, 1), header_style="dim")
    drawn.add_column("analysis, round, array", no_wrap=True)
    drawn.add_column("bytes", justify="right", no_wrap=True)
    drawn.add_column("numbers", overflow="ellipsis", no_wrap=True)
    for sent in left:
        shape = " × ".join(map(str, sent.shape)) or "1"
        more = ", …" if _size(sent.shape) > len(sent.preview) else ""
        numbers = ", ".join("suppressed" if value is None else number(value, 4) for value in sent.preview) + more
        cells = (f"{sent.analysis} {sent.round} {sent.array} [{shape}]", f"{sent.bytes:,}", numbers)
        drawn.add_row(*(_text(cell) for cell in cells))
    return drawn


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


class Progress:
    """Progress of a study: a live table on a terminal, plain lines elsewhere. Feed it events by calling it.

    An event has a `state` and, where they apply, `analysis`, `round`, and `site` or `sites`. Use as a context manager.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._states: dict[tuple[str, str], tuple[str, int]] = {}
        self._study = ""
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Take one event in and show it."""
        state, analysis = str(event.get("state", "")), str(event.get("analysis", ""))
        named = [event["site"]] if "site" in event else list(event.get("sites", ()))
        for site in named:
            self._states[str(site), analysis] = (state, int(event.get("round", 0)))
        if not named:
            self._study = f"{analysis} {state}".strip()
        if self._live is None:
            self._console.print(_line(event, named), soft_wrap=True)
        else:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> RenderableType:
        names = list(dict.fromkeys(analysis for _, analysis in self._states))
        drawn = Grid(title=_text(self._study), title_justify="left")
        drawn.add_column("Site")
        for name in names:
            drawn.add_column(_text(name))
        for site in sorted({site for site, _ in self._states}):
            cells = [self._states.get((site, name)) for name in names]
            drawn.add_row(_text(site), *(Text("") if cell is None else _state(*cell) for cell in cells))
        return drawn


def _line(event: Mapping[str, Any], named: Sequence[Any]) -> Text:
    trip = f"round {event['round']}" if "round" in event else ""
    if event.get("state") == "in review":
        return _text(f"{event.get('analysis', '')}  {trip}  in review at {', '.join(map(str, named))}")
    parts = (", ".join(map(str, named)), event.get("analysis", ""), trip, event.get("state", ""))
    return _text("  ".join(str(part) for part in parts if part))


def _state(state: str, trip: int) -> Text:
    tail = f" (round {trip})" if trip else ""
    return _text(f"{_SIGNS.get(state, '·')} {state}{tail}", _STATES.get(state, ""))


def _outcome(outcome: SiteOutcome) -> Text:
    words = outcome.status if outcome.family == outcome.status else str(outcome)
    return _text(f"{_SIGNS[outcome.status]} {words}", _STATES[outcome.status])


def _cell(cell: Shown) -> Text:
    return _text(str(cell), "italic yellow" if cell.suppressed else "")


def _text(words: object, style: str = "") -> Text:
    """Text as it is: no markup is read from it, and no control character reaches the terminal."""
    return Text(plain_lines(str(words)), style=style)
