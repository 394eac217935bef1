"""How a specification asks the gate: a given in, the verdict in the manual's words out."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sojourn.disclosure.gate import Policy, release
from sojourn.disclosure.output import Output
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import DisclosureRefused

TESTS = Path(__file__).parents[2]
HIDDEN = "■"


def module(name: str, path: Path) -> ModuleType:
    place = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(place)
    sys.modules[place.name] = loaded
    place.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="session")
def spec() -> SimpleNamespace:
    """`table`, `sums` and `model` take a given and return the verdict; `verdict` and `shown` take an output."""
    outputs = module("spec_outputs", TESTS / "disclosure" / "outputs.py")
    words = module("spec_words", TESTS / "spec" / "toc.py").words

    def verdict(output: Output, policy: Policy | None = None) -> str:
        try:
            cleared = release(output, policy or StandardPolicy(), outputs.HEADER).partial
        except DisclosureRefused as refusal:
            return f"refused: {refusal.family}"
        return "suppressed" if cleared.suppressed else "released"

    def table(given: Mapping[str, Any], rules: tuple[str, ...], zero_shown: bool = False, **settings: Any) -> str:
        rows = given if isinstance(next(iter(given.values())), Mapping) else {"": given}
        counts = [list(row.values()) for row in rows.values()]
        output = outputs.table(counts if rows is given else counts[0], rules=rules, **settings)
        policy = StandardPolicy(Parameters(zero_shown=zero_shown))
        if (said := verdict(output, policy)) != "suppressed":
            return said
        cleared = release(output, policy, outputs.HEADER).partial
        cells = zip(cleared["count"].ravel().tolist(), cleared.hidden("count").ravel().tolist(), strict=True)
        shown = iter([HIDDEN if hidden else str(n) for n, hidden in cells])
        result = {name: {level: next(shown) for level in row} for name, row in rows.items()}
        return words(result if rows is given else result[""])

    def sums(given: Mapping[str, str], rules: tuple[str, ...]) -> str:
        groups = [_contributions(text) for text in given.values()]
        output = outputs.sums(groups, rules=rules)
        if (said := verdict(output)) != "suppressed":
            return said
        hidden = release(output, StandardPolicy(), outputs.HEADER).partial.hidden("sum")
        return words({name: HIDDEN if gone else "shown" for name, gone in zip(given, hidden, strict=True)})

    def squares(given: Mapping[str, str], rules: tuple[str, ...]) -> str:
        output = outputs.squares([_contributions(text) for text in given.values()], rules=rules)
        return shown(output, "squares", list(given))

    def shown(output: Output, array: str, names: list[str]) -> str:
        if (said := verdict(output)) != "suppressed":
            return said
        hidden = release(output, StandardPolicy(), outputs.HEADER).partial.hidden(array).ravel().tolist()
        return words({name: HIDDEN if gone else "shown" for name, gone in zip(names, hidden, strict=True)})

    def model(given: Mapping[str, Any], rules: tuple[str, ...]) -> str:
        return verdict(outputs.model(rules=rules, **given))

    asked = {"table": table, "sums": sums, "squares": squares, "model": model}
    return SimpleNamespace(**asked, shown=shown, verdict=verdict, outputs=outputs)


def _contributions(text: str) -> list[float]:
    """`20 × 5 + 1 × 900` as a list of contributions."""
    parts = [part.split("×") for part in text.split("+")]
    return [float(value) for times, value in parts for _ in range(int(times))]
