"""The page of the attacks names every attack of the list and no other; each has a test or a reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from listed import LISTED, OPEN, WITHOUT_TEST, known, reasons
from page import PAGE, named, page

TESTS = Path(__file__).parent
RECORDED = re.compile(r"\"([AD]\d\d)\b|figures\(\s*\"(\w+)\"")


def having_tests() -> set[str]:
    """The attacks whose figures some test records."""
    texts = [path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py") if path != Path(__file__)]
    return {known(one or other) for text in texts if "figures" in text for one, other in RECORDED.findall(text)}


def test_every_attack_has_a_test_or_a_reason() -> None:
    assert set(LISTED) - having_tests() - set(reasons(having_tests())) == set()
    assert set(OPEN) | set(WITHOUT_TEST) <= set(LISTED)


def test_the_committed_page_names_every_attack_and_no_other() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert named(text) == set(LISTED), "run `make attack`"
    table, _, rest = text.partition("\n## ")
    assert named(table) == having_tests(), "run `make attack`"
    assert named(rest) == set(reasons(having_tests())), "run `make attack`"


def test_a_page_without_a_reason_is_not_written() -> None:
    with pytest.raises(ValueError, match="A03"):
        page([])


def test_an_attack_outside_the_list_is_not_recorded() -> None:
    assert (known("A3"), known("3"), known("D17")) == ("A03", "D03", "D17")
    for name in ("A33", "D18", "B01", "", "A"):
        with pytest.raises(ValueError, match="no attack"):
            known(name)
