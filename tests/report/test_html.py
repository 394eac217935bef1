"""The report is one file that loads nothing, hides nothing and escapes everything."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from browser import CHROMIUM, opened, requested
from sojourn.analysis.statistic import Suppressed
from sojourn.report.html import fragment, render
from sojourn.report.record import Check, StudyRecord

LOADING = {"src", "srcset", "data", "poster", "action", "formaction", "background", "manifest", "ping"}


class Page(HTMLParser):
    """Elements with their attributes, the text of each cell, and whether elements nest as they must."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.cells: list[str] = []
        self.open: list[str] = []
        self._cell = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "br", "img", "rect", "path"):
            self.open.append(tag)
        if tag in ("td", "th"):
            self._cell = True
            self.cells.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("rect", "path"):
            return
        assert self.open.pop() == tag
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.cells[-1] += data


def test_every_section_is_there(record: StudyRecord) -> None:
    text = render(record)
    for anchor in ("question", "sites", "results", "trust", "left", "proofs", "verify"):
        assert f'<section id="{anchor}">' in text
        assert f'href="#{anchor}"' in text
    for words in (
        "age &gt;= 18 and trestbps is not null",
        "HMB (health, medical or biomedical research)",
        "only rows that are complete in every variable of the plan",
        "formula: disease ~ age + male + oldpeak + C(pain)",
        "Logistic regression",
        "4.06",
        "not released",
        "Merge categories, widen the population or drop a dimension, and submit again.",
        "<code>stragglers: wait</code>",
        "No result was released.",
        "Tests on this table were not computed",
        record.plan_hash,
        record.proofs[0].root,
        "2026-11-02 09:14:03 UTC",
        "All 3 checks hold.",
        "2,944 B",
    ):
        assert words in text, words


def test_it_loads_nothing_and_runs_nothing(record: StudyRecord) -> None:
    text = render(record)
    page = Page(text)
    assert page.open == []
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "img", "base", "form", "image", "use")
        assert not LOADING & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#hatch"}
    assert "default-src 'none'" in text


def test_hostile_words_are_escaped_everywhere(hostile: StudyRecord) -> None:
    text = render(hostile)
    page = Page(text)
    assert page.open == []
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert not {"script", "img"} & {tag for tag, _ in Page(fragment(*next(iter(hostile.analyses.items())))).elements}


def test_the_escaping_test_would_see_a_hole(hostile: StudyRecord) -> None:
    holed = render(hostile).replace("&lt;", "<").replace("&gt;", ">")
    assert "<script>alert(1)</script>" in holed


def test_suppressed_cells_are_marked_and_explained(record: StudyRecord) -> None:
    text = render(record)
    page = Page(text)
    hidden = sum(
        isinstance(cell, Suppressed)
        for analysis in record.analyses.values()
        if analysis.estimate is not None
        for row in analysis.estimate.rows
        for cell in row
    )
    hidden += 2
    assert (
        sum("suppressed" in attributes.get("class", "") for tag, attributes in page.elements if tag == "td") == hidden
    )
    assert sum(cell.startswith("suppressed") for cell in page.cells) == hidden
    assert hidden == 6 + 2  # a mean and its deviation share a cell of table 1, whose row has no difference then
    assert "It is never shown as zero, and may be zero." in text
    assert not {"nan", "none", "null"} & {cell.strip().lower() for cell in page.cells} - {"none"}  # "none" is a level


def test_tables_are_accessible(record: StudyRecord) -> None:
    page = Page(render(record))
    tables = sum(tag == "table" for tag, _ in page.elements)
    assert sum(tag == "caption" for tag, _ in page.elements) == tables
    assert all(attributes.get("scope") for tag, attributes in page.elements if tag == "th")
    images = [attributes for _, attributes in page.elements if attributes.get("role") == "img"]
    assert len(images) == sum(tag == "figure" for tag, _ in page.elements) == 4
    assert all(attributes["aria-label"] for attributes in images)
    assert "Suppressed cells that it marks: 2." in images[1]["aria-label"]


def test_a_watermark_is_loud(record: StudyRecord) -> None:
    words = "UNSAFE RULES: these sites release everything"
    assert "watermark" not in {attributes.get("class") for _, attributes in Page(render(record)).elements}
    text = render(replace(record, watermark=words))
    assert f'<div class="watermark" role="alert">{words}</div>' in text
    assert text.count(f">{words}</text>") == 4  # every figure bears it too
    assert words in fragment("model", record.analyses["model"], words)


def test_a_failed_check_and_no_check_are_alarms(record: StudyRecord) -> None:
    failed = render(replace(record, checks=(Check("log", False, "It does not verify."), *record.checks)))
    assert "1 of 4 checks failed." in failed
    assert "FAILED: log" in failed
    assert "checks hold" not in failed
    unchecked = render(replace(record, checks=(), proofs=()))
    assert "Nothing was verified." in unchecked
    assert "No log proof was given." in unchecked


def test_a_plan_without_words_still_makes_a_report(record: StudyRecord) -> None:
    text = render(replace(record, plan={}, purpose="", sites={}, analyses={}, hashes={}))
    assert Page(text).open == []


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_opens_it_without_errors_or_requests(record: StudyRecord, tmp_path: Path, dark: bool) -> None:
    page, picture, log = tmp_path / "report.html", tmp_path / "report.png", tmp_path / "net.json"
    page.write_text(render(record), encoding="utf-8")
    done = opened(page, picture, log, dark)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "CONSOLE" not in done.stderr
    assert requested(log) == set()


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_browser_test_would_see_a_request_and_an_error(tmp_path: Path) -> None:
    page, log = tmp_path / "bad.html", tmp_path / "net.json"
    page.write_text("<script>console.error('planted')</script><img src='http://127.0.0.1:9/planted.png'>")
    done = opened(page, tmp_path / "bad.png", log, False)
    assert "planted" in done.stderr
    assert requested(log) == {"http://127.0.0.1:9/planted.png"}
