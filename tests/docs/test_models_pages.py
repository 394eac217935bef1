"""The pages of models: their examples run as one study under the product's own rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from sojourn.statistics import catalogue, filled

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "models"
PAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index"))
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
PARTS = ("Meaning.", "Formula.", "What leaves a site.", "Risks.", "Source.")


def blocks(page: str) -> list[str]:
    """The examples of a page: the ask, then what is read from the answer."""
    return BLOCK.findall((FOLDER / f"{page}.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    """The cohort, every page's ask in one plan, and the results."""
    names: dict[str, Any] = {}
    cohort, ask = blocks("index")
    exec(cohort, names)
    for page in PAGES:
        exec(blocks(page)[0], names)
    exec(ask, names)
    return names


@pytest.mark.parametrize("page", PAGES)
def test_a_page_says_all(page: str) -> None:
    text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
    assert page in {*catalogue.NAMES, *filled.WORDS}
    assert all(f"**{part}**" in text for part in PARTS)
    assert text.startswith(f"# `{page}`: ")
    assert len(blocks(page)) == 2


@pytest.mark.long
@pytest.mark.parametrize("page", PAGES)
def test_its_example_runs(page: str, study: dict[str, Any]) -> None:
    exec(blocks(page)[1], dict(study))


def test_the_index_names_every_page() -> None:
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w+)\.md\)", text)) == set(PAGES)


@pytest.mark.long
def test_every_site_contributed_and_every_answer_is_shown(study: dict[str, Any]) -> None:
    for result in study["results"].values():
        assert set(result.sites.values()) == {"contributed"}
        assert "<table" in result._repr_html_()
    assert not study["results"].watermark
