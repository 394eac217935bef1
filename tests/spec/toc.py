"""The manual of the disclosure rules, rendered from its tests: `PYTHONPATH=src python tests/spec/toc.py` writes them.

A page is a specification module's docstring (title, text) and its cases (given, verdict, why). The tests run the same
cases through the real gate, so what the page says is what the gate does.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from sojourn.disclosure.layers import LAYERS, Layer
from sojourn.disclosure.parameters import CONFIDENTIAL, RANGES, STRICTER, Parameters

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
    "correlation",
    "positions",
    "survival_steps",
    "risk_sets",
    "geography",
    "rounding",
    "cell_key",
    "text",
    "capacity",
    "differencing",
    "joining",
    "output_schema",
)
HEAD = """# Disclosure rules

What must hold before a number leaves a site. Each page has the rule in plain words and a table of examples; the
examples are the product's own tests, so they are what the gate does. The figures are the defaults, with a threshold
T of 10 persons; a site may [set others](settings.md). ■ is a cell that is not shown.

"""


SETTINGS = """# Settings of the rules

What `rules` and `dataset_rules` of a node's `node.yaml` may hold. Where a jurisdiction, a site and a dataset all give a
value, the stricter one holds. p and the seed of cell keys are confidential: nothing that leaves the site shows them.

| setting | is | default | stricter is | meaning |
|---|---|---|---|---|
"""
JURISDICTIONS = """
## Jurisdictions

Thresholds that data holders publish, for the setting `jurisdictions` of `node.yaml`, e.g.
`jurisdictions: [CMS cell size]`. Those that are named hold on top of `rules`: of each value the strictest. This is no
legal advice; whether one applies to a site is for its own people to say. Confidence: A read in the rule itself, B in a
secondary source, C general knowledge.

| name | place | values | source | confidence | read on |
|---|---|---|---|---|---|
"""
MEANING = {
    "threshold": "T, the smallest number of persons that may be shown",
    "zero_shown": "whether an empty cell may be seen to be empty",
    "dimensions": "the most dimensions of a table that leaves by itself",
    "sensitive_percent": "the largest share of a group in a level that is declared sensitive",
    "dominance_n": "of how many of the largest persons the share of a sum is limited",
    "dominance_k": "their largest share, in percent",
    "p_percent": "how closely the second largest may estimate the largest, in percent; confidential",
    "residual": "least residual degrees of freedom",
    "observations": "most parameters for each person of a model",
    "leverage": "largest leverage of a person",
    "automatic": "the highest risk that leaves without a checker",
    "suppressed": "the risk of an output of which something is hidden",
    "rounding": "of counts",
    "cell_key": "the seed of the noise on counts, 0 for none; confidential",
    "zip3": "the smallest population of three digits of a US postcode",
    "custom_area": "the smallest population of an area of a site's own making",
    "numbers": "the most numbers of one analysis, over all its rounds",
    "numbers_in_all": "the most numbers about a dataset for one researcher, and for one project; 0: no bound",
    "ledger_hit": "an answer that tells of few persons together with earlier ones: hold it for checkers, or refuse it",
    "ledger_beyond": "what the search of the ledger does not reach: hold it, or go by pairs and trackers alone",
    "ledger_bound": "how far the ledger is searched, in independent sets × groups of persons",
    "ledger_share": "the most independent numbers about a group of persons, as a share of their number",
}


def settings() -> str:
    """The page of the rules' settings, from `Parameters`."""
    rows = []
    for name, default in asdict(Parameters()).items():
        harder = {"zero_shown": "false", "automatic": "low", "suppressed": "medium", "rounding": "the later"}
        harder |= {"ledger_hit": "refuse", "ledger_beyond": "hold"}
        harder |= {"numbers_in_all": "the smaller, but 0 is mildest"}
        low, high = (0.1, 0.9) if isinstance(default, float) else (1, 2)
        word = harder.get(name) or ("the larger" if STRICTER[name](high) > STRICTER[name](low) else "the smaller")
        shown = {True: "true", False: "false"}.get(default, default) if isinstance(default, bool) else default
        shown = f"{shown:.3g}" if isinstance(shown, float) else shown
        rows.append(f"| `{name}` | {RANGES[name][1]} | `{shown}` | {word} | {MEANING[name]} |\n")
    return SETTINGS + "".join(rows) + JURISDICTIONS + "".join(map(jurisdiction, LAYERS.values()))


def jurisdiction(layer: Layer) -> str:
    """One published layer as a row."""
    values = ", ".join(f"{name} {value}" for name, value in layer.values.items() if name not in CONFIDENTIAL)
    said = (layer.name, layer.place, values, layer.source, layer.confidence, layer.verified)
    return f"| {' | '.join(said)} |\n"


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
    return {
        "index.md": index,
        "settings.md": settings(),
        **{f"{name}.md": page(module) for name, module in modules.items()},
    }


if __name__ == "__main__":
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
