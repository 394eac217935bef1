"""The manual's table of comparable kinds is the code's."""

from __future__ import annotations

import importlib.util
from pathlib import Path

PLACE = importlib.util.spec_from_file_location("comparable", Path(__file__).with_name("comparable.py"))
comparable = importlib.util.module_from_spec(PLACE)
PLACE.loader.exec_module(comparable)


def test_the_committed_table_is_up_to_date():
    committed = comparable.PAGE.read_text(encoding="utf-8")
    assert committed == comparable.page(), "run `PYTHONPATH=src python tests/docs/comparable.py`"
