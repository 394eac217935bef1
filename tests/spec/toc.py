"""The manual of the disclosure rules, rendered from its tests: `PYTHONPATH=src python tests/spec/toc.py` writes them.

A page is a specification module's docstring (title, text) and its cases (given, verdict, why). The tests run the same
cases through the real gate, so what the page says is what the gate does.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

SPEC = Path(__file__).parent / "disclosure"
PAGES = Path(__file__).parents[2] / "docs" / "reference" / "disclosure"
ORDER = (
    "minimum_frequency",
    "complement",
    "interval_audit",
    "class_disclosure",
    "histogram",
    "dominance",
    "residual_freedom",
    "parameters_to_observations",
    "events",
    "design_support",
<<<<<<< HEAD
    "correlation",
    "positions",
    "survival_steps",
    "risk_sets",
    "geography",
    "rounding",
    "cell_key",
    "text",
    "capacity",
=======
    "differencing",
>>>>>>> ledger
    "joining",
    "output_schema",
)
HEAD = """# Disclosure rules

What must hold before a number leaves a site. Each page has the rule in plain words and a table of examples; the
examples are the product's own tests, so they are what the gate does. The figures are the defaults, with a threshold
T of 10 persons; a site may set others. ■ is a cell that is not shown.

"""


def load(name: str) -> ModuleType:
    """The specification module of one rule."""
    place = importlib.util.spec_from_file_location(f"spec_{name}", SPEC / f"test_{name}_spec.py")
    module = importlib.util.module_from_spec(place)
    sys.modules[place.name] = module
    place.loader.exec_module(module)
    return module


def words(value: object) -> str:
    """A given or shown value as a reader sees it: `women 12, men ■`, one row of a table after another."""
    if not isinstance(value, Mapping):
        return "none" if value is None else str(value)
    if value and all(isinstance(inner, Mapping) for inner in value.values()):
        return "; ".join(f"{name}: {words(inner)}" for name, inner in value.items())
    return ", ".join(f"{name} {words(inner)}" for name, inner in value.items())


def page(module: ModuleType) -> str:
    """One module as Markdown."""
    title, _, text = module.__doc__.strip().partition("\n")
    rows = [f"| {words(given)} | {verdict} | {why} |" for given, verdict, why in module.CASES]
    return "\n".join([f"# {title}", "", text.strip(), "", "| given | verdict | why |", "|---|---|---|", *rows, ""])


def pages() -> dict[str, str]:
    """Every page by its file name."""
    modules = {name: load(name) for name in ORDER}
    titles = {name: module.__doc__.strip().partition("\n")[0] for name, module in modules.items()}
    index = HEAD + "".join(f"- [{title}]({name}.md)\n" for name, title in titles.items())
    return {"index.md": index, **{f"{name}.md": page(module) for name, module in modules.items()}}


if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
