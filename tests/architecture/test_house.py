"""The measures of the house: empty inner __init__ files, names that say something, readable sizes, the glossary."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "sojourn"
SAYS_NOTHING = {"util", "utils", "common", "helper", "helpers", "misc"}
MODULE_LINES = 400
FUNCTION_LINES = 60
RUN_BY_ALEMBIC = PACKAGE / "storage" / "environment"  # a script folder that nothing imports


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(source: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def names_from_the_root(source: str) -> set[str]:
    """What a module takes from the public package itself, which the import contracts cannot follow."""
    return {
        alias.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module == "sojourn" and node.level == 0
        for alias in node.names
    }


def test_inner_init_files_are_empty() -> None:
    assert [place(path) for path in PACKAGE.glob("*/**/__init__.py") if path.stat().st_size] == []


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in modules()} - {PACKAGE, RUN_BY_ALEMBIC}
    assert (PACKAGE / "__init__.py").exists()
    assert [place(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_no_module_is_named_for_nothing() -> None:
    drawers = [path for path in PACKAGE.rglob("*") if path.stem in SAYS_NOTHING]
    assert [place(path) for path in drawers] == []


def test_modules_are_short_enough_to_read() -> None:
    sizes = {place(path): len(path.read_text().splitlines()) for path in modules()}
    assert {name: size for name, size in sizes.items() if size > MODULE_LINES} == {}


def test_functions_are_short_enough_to_read() -> None:
    long = {
        f"{place(path)}:{node.lineno} {node.name}": length(node)
        for path in modules()
        if path.parent.name != "migrations"  # a schema as it was, written once and not edited
        for node in functions(path.read_text())
        if length(node) > FUNCTION_LINES
    }
    assert long == {}


def test_no_module_goes_round_the_floors_through_the_public_names() -> None:
    inner = {path.stem for path in PACKAGE.iterdir()} | {"__version__"}
    public = {place(path): names_from_the_root(path.read_text()) - inner for path in modules()}
    assert {name: taken for name, taken in public.items() if taken} == {}


def test_test_files_have_names_of_their_own() -> None:
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(name for name in names if names.count(name) > 1) == []


@pytest.mark.parametrize(
    ("source", "found"), [("from sojourn import connect", {"connect"}), ("import sojourn.errors", set())]
)
def test_the_measure_of_public_names_measures(source: str, found: set[str]) -> None:
    assert names_from_the_root(source) == found


def test_the_measure_of_functions_measures() -> None:
    body = "\n".join(["    x = 1"] * FUNCTION_LINES)
    assert [length(node) for node in functions(f"def long():\n{body}\n")] == [FUNCTION_LINES + 1]


def test_the_glossary_has_an_entry_for_every_folder_and_a_folder_for_every_entry() -> None:
    section = (ROOT / "GLOSSARY.md").read_text().partition("## Folders")[2].partition("\n## ")[0]
    entries = set(re.findall(r"^\*\*([a-z_]+)\*\*", section, flags=re.MULTILINE))
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert entries == folders
