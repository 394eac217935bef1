"""The table of docs/reference/methods.md, from the kept figures: `python benchmarks/methods_page.py` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "methods.json"
PAGE = Path(__file__).parents[1] / "docs" / "reference" / "methods.md"
START, END = "<!-- figures -->\n", "<!-- end -->\n"
COLUMNS = ("statistic", "of", "data", "against", "digits", "rounds", "bytes")


def table(methods: dict[str, list[dict[str, Any]]]) -> str:
    """A row a comparison; the statistic's name stands once."""
    rows = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---|---:|---:|---:|"]
    for name, lines in methods.items():
        for place, line in enumerate(lines):
            shown = f"`{name}`" if place == 0 else ""
            digits = "all" if line["digits"] >= 16 else f"{line['digits']:.1f}"
            words = (shown, line["what"], line["data"], line["oracle"], digits, line["rounds"])
            rows.append(f"| {' | '.join(map(str, words))} | {line['bytes_left']:,} |")
    return "\n".join(rows) + "\n"


def made(text: str, kept: dict[str, Any]) -> str:
    """The page with its figures."""
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table(kept['methods'])}\n{END}{after}"


def write() -> None:
    """Make the page anew."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))
    PAGE.write_text(made(PAGE.read_text(encoding="utf-8"), kept), encoding="utf-8")


if __name__ == "__main__":
    write()
