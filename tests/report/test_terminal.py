"""The terminal shows the same facts, in plain lines where nobody watches."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO

from rich.console import Console, RenderableType

from sojourn.report import terminal
from sojourn.report.record import StudyRecord
from sojourn.report.terminal import Boundary, Progress, Sent

EVENTS = (
    {"state": "submitted", "time": 1.0},
    {"analysis": "model", "round": 1, "state": "asked", "sites": ["Budapest", "Cleveland"], "time": 2.0},
    {"analysis": "model", "round": 1, "site": "Cleveland", "state": "contributed", "time": 3.0},
    {"analysis": "model", "round": 1, "site": "Budapest", "state": "not released", "time": 3.5},
    {"analysis": "model", "state": "completed", "time": 4.0},
)


def _shown(drawn: RenderableType, width: int = 140) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(drawn)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_results_show_ratios_facts_and_warnings(record: StudyRecord) -> None:
    text = _shown(terminal.result("model", record.analyses["model"]))
    assert "4.06" in text
    assert "2.67 to 6.19" in text
    assert "n 854; events 464; log likelihood -398.224" in text
    assert "rounds 6; pooled" in text
    assert "Note: Tests on this table" in _shown(terminal.result("t", record.analyses["pain by site"]))


def test_suppressed_cells_say_so(record: StudyRecord) -> None:
    text = _shown(terminal.result("pain by site", record.analyses["pain by site"]))
    beach = next(line for line in text.splitlines() if "Long Beach" in line)
    assert "suppressed [1 to 9]" in beach
    assert "%" not in beach
    basel = next(line for line in text.splitlines() if "Zurich-Basel" in line)
    assert "suppressed" in basel
    assert "nan" not in text.lower()
    assert "It is never shown as zero, and may be zero." in " ".join(text.split())


def test_a_refused_analysis_says_what_helps(record: StudyRecord) -> None:
    text = _shown(terminal.result("vessels", record.analyses["vessels"]))
    assert "vessels: no result was released" in text
    assert "What helps: Merge categories" in text


def test_what_each_site_did(record: StudyRecord) -> None:
    text = _shown(terminal.sites(record))
    assert "not released: minimum frequency" in text
    assert "no answer" in next(line for line in text.splitlines() if "Long Beach" in line)
    assert "Where no answer: Ask the custodian" in text


def test_watermarks_are_shown(record: StudyRecord) -> None:
    marked = replace(record, watermark="UNSAFE RULES")
    assert "UNSAFE RULES" in _shown(terminal.sites(marked))
    assert "UNSAFE RULES" in _shown(terminal.result("model", marked.analyses["model"], marked.watermark))


def test_hostile_words_reach_no_terminal(hostile: StudyRecord) -> None:
    shown = [terminal.result(name, analysis, hostile.watermark) for name, analysis in hostile.analyses.items()]
    for drawn in (*shown, terminal.sites(hostile)):
        assert "\x1b" not in _shown(drawn)
    assert "[red]" in _shown(terminal.result("[red]", hostile.analyses[next(iter(hostile.analyses))]))


def test_progress_is_plain_lines_without_a_terminal() -> None:
    console = Console(file=StringIO(), width=40)
    with Progress(console) as progress:
        for event in EVENTS:
            progress(event)
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "submitted",
        "Budapest, Cleveland  model  round 1  asked",
        "Cleveland  model  round 1  contributed",
        "Budapest  model  round 1  not released",
        "model  completed",
    ]


def test_progress_says_where_an_answer_is_in_review() -> None:
    held = {"state": "in review", "analysis": "model", "round": 1, "site": "Cleveland"}
    plain, live = (Console(file=StringIO(), width=80, force_terminal=word, color_system=None) for word in (None, True))
    for console in (plain, live):
        with Progress(console) as progress:
            progress(held)
    assert plain.file.getvalue() == "model  round 1  in review at Cleveland\n"  # type: ignore[attr-defined]
    assert "… in review (round 1)" in live.file.getvalue()  # type: ignore[attr-defined]


def test_progress_is_a_table_on_a_terminal() -> None:
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system=None)
    with Progress(console) as progress:
        for event in EVENTS:
            progress(event)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    last = text[text.rindex("model completed") :]
    assert "✓ contributed (round 1)" in last
    assert "– not released (round 1)" in last


def test_what_left_stands_beside_what_stayed() -> None:
    left = (
        Sent("model", 1, "gradient", (7,), 56, (1.2345, -3.2, 0.0)),
        Sent("model", 2, "information", (7, 7), 392, (123.456,)),
        Sent("total", 1, "count", (), 8, (12,)),
    )
    text = _shown(terminal.what_left({"Cleveland": Boundary(left, ("age", "male")), "Basel": Boundary((), ("age",))}))
    assert "left: 456 B" in text
    assert "7 × 7" in text
    assert "1.234, -3.200, 0, …" in text
    assert "123.5, …" in text
    cleveland, basel = text.split("Basel")
    assert "every row" in cleveland
    assert "male" in cleveland
    assert "nothing" in basel
    assert "left: 0 B" in basel
