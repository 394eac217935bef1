"""The page of the attacks, from what their tests recorded: `make attack` writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from listed import LISTED, reasons

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "attacks.md"
WORDS = ("attack", "without", "with_defence", "mark", "benign")
HEAD = """# Attacks and what stops them

Written by `make attack`: the figures are what its tests measured. Each attack is seen to succeed where the defence is
switched off, and to fail under the default rules; only a refusal, *not released* or a hidden cell counts as a defence,
and a crash counts as a failure. Beside each stands its benign twin, nearly the same ask, which is released. Identifiers
with A are published attacks on federated analyses, those with D the list that every disclosure test must include.

| | Attack | Without the defence | With it | Pass mark | Benign twin |
|---|---|---|---|---|---|
"""
REST = """
## Not tested, or not in full

| | Attack | Why |
|---|---|---|
"""
_ROW = re.compile(r"^\| ([AD]\d\d) \|", re.M)


def page(records: Iterable[dict[str, str]]) -> str:
    """The page as Markdown; `records` as the fixture `figures` keeps them. ValueError where an attack lacks both."""
    rows = sorted((record["id"], *(record[word] for word in WORDS)) for record in records)
    why = reasons({row[0] for row in rows})
    if missing := sorted(set(LISTED) - {row[0] for row in rows} - set(why)):
        raise ValueError(f"no test and no reason: {', '.join(missing)}")
    tested = "".join(f"| {' | '.join(map(_cell, row))} |\n" for row in dict.fromkeys(rows))
    rest = "".join(f"| {name} | {LISTED[name]} | {_cell(why[name])} |\n" for name in sorted(why))
    return HEAD + tested + REST + rest


def named(text: str) -> set[str]:
    """The identifiers whose rows a page has."""
    return set(_ROW.findall(text))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
