"""The table of comparable kinds, on the page on differencing: `PYTHONPATH=src python tests/docs/comparable.py`."""

from __future__ import annotations

from pathlib import Path

from sojourn.disclosure.ledger import TELLS, comparable

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "differencing.md"
START, END = "<!-- comparable: made by tests/docs/comparable.py -->\n", "<!-- end -->"
WORDS = {"n": "number", "sums": "sums"}


def table() -> str:
    """A row and a column a kind."""
    head = ["", *TELLS]
    rows = [
        [f"**{one}**", *(", ".join(WORDS[word] for word in comparable(one, other)) for other in TELLS)] for one in TELLS
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def page() -> str:
    """The page with the table in its place."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(START)
    return before + START + table() + END + rest.partition(END)[2]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
