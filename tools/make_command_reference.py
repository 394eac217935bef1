"""Write docs/reference/commands.md from the commands themselves: `python tools/make_command_reference.py`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from sojourn.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "commands.md"
HEAD = """# Commands

Every command explains itself with `--help`; those that answer with data speak JSON with `--json`. Exit code 0: done.
1: refused or failed, with the reason and the remedy on standard error. 2: not used as it is meant. No command prints a
value of a record.

This page is made from the commands by `tools/make_command_reference.py`.

| command | what it does | example |
|---|---|---|
"""


def leaves(command: Any, name: str) -> Iterator[tuple[str, str]]:
    """Every command that does something, with its help, in the order in which `--help` shows them."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield name, command.help or ""
        return
    for word, child in inner.items():
        yield from leaves(child, f"{name} {word}")


def row(name: str, text: str) -> str:
    """One command as a line of the table; its help is one sentence, then perhaps more, then `Example: …`."""
    said, _, example = text.partition("Example:")
    sentence = " ".join(said.split("\n\n")[0].split())
    shown = f"`{' '.join(example.split())}`" if example.strip() else ""
    return f"| `{name}` | {sentence} | {shown} |\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(row(name, text) for name, text in leaves(typer.main.get_command(app), "sojourn"))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
