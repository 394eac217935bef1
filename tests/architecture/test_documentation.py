"""The manual names what there is, and its links lead somewhere."""

from __future__ import annotations

import dataclasses
import re
import runpy
from pathlib import Path

import pytest

from sojourn.study.plan import Plan

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "src").rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def dead_links(page: Path) -> list[str]:
    """The relative links of one page that lead to no file."""
    targets = [target.partition("#")[0] for target in LINK.findall(page.read_text(encoding="utf-8"))]
    return [target for target in targets if target and ":" not in target and not (page.parent / target).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#part) [there](nowhere.md) [far](https://example.org)")
    assert dead_links(page) == ["nowhere.md"]


def test_every_word_of_a_plan_is_documented() -> None:
    text = (DOCS / "reference" / "plan.md").read_text(encoding="utf-8")
    assert [field.name for field in dataclasses.fields(Plan) if f"| `{field.name}` |" not in text] == []


MAKER = runpy.run_path(str(ROOT / "tools" / "make_reference.py"))


@pytest.mark.parametrize("name", MAKER["PAGES"])
def test_the_reference_is_made_from_the_code(name: str) -> None:
    committed = (MAKER["REFERENCE"] / name).read_text(encoding="utf-8")
    assert committed == MAKER["PAGES"][name](), "run `.venv/bin/python tools/make_reference.py`"


def test_every_decision_is_listed() -> None:
    index = (DOCS / "decisions" / "index.md").read_text(encoding="utf-8")
    records = {path.name for path in (DOCS / "decisions").glob("[0-9]*.md")}
    assert set(LINK.findall(index)) == records


@pytest.mark.parametrize(
    "path", ["disclosure/gate.py", "identity/envelope.py", "node/sandbox.py", "analysis/formula.py", "storage/store.py"]
)
def test_the_places_where_safety_lives_exist(path: str) -> None:
    assert f"`{path}`" in (DOCS / "explanation" / "security-properties.md").read_text(encoding="utf-8")
    assert (ROOT / "src" / "sojourn" / path).exists()
