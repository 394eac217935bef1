"""What attack tests measured, kept for the page of the attacks (`tests/attacks/page.py`, `make attack`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from listed import known
from page import PAGE, page

KEPT = "attack"
Figures = Callable[..., None]
_records: list[dict[str, str]] = []


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """Keep one attack's figure: `figures("A01", "what", without=…, with_defence=…, mark=…, benign=…)`.

    Called last, when all that it says has been asserted. `what`: the attack as it was tried. `mark`: what passes.
    """

    def keep(id: str, what: str, *, without: str, with_defence: str, mark: str, benign: str) -> None:
        record = {"id": known(id), "attack": what, "without": without, "with_defence": with_defence}
        record |= {"mark": mark, "benign": benign}
        assert all(isinstance(text, str) and text for text in record.values())
        record_property(KEPT, record)

    return keep


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--attack-page", action="store_true", help="write docs/explanation/attacks.md")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Also of other processes' tests, where several run at once."""
    if report.when == "call" and report.passed:
        _records.extend(record for name, record in report.user_properties if name == KEPT)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    asked = session.config.getoption("--attack-page", default=False)
    if asked and exitstatus == 0 and not hasattr(session.config, "workerinput"):
        PAGE.write_text(page(_records), encoding="utf-8")
