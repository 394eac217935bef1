"""The committed pages of the manual are those that its tests give."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PLACE = importlib.util.spec_from_file_location("spec_toc", Path(__file__).with_name("toc.py"))
toc = importlib.util.module_from_spec(PLACE)
PLACE.loader.exec_module(toc)
PAGES = toc.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_committed_page_is_up_to_date(name):
    committed = (toc.PAGES / name).read_text(encoding="utf-8")
    assert committed == PAGES[name], "run `PYTHONPATH=src python tests/spec/toc.py`"


def test_there_are_no_other_pages_and_no_module_without_a_page():
    assert {path.name for path in toc.PAGES.iterdir()} == set(PAGES)
    assert {path.name for path in toc.SPEC.glob("test_*.py")} == {f"test_{name}_spec.py" for name in toc.ORDER}
