"""The table of docs/explanation/utility.md, from the kept figures: `python benchmarks/utility_page.py` writes it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "utility.md"
MARK = "<!-- figures -->\n"
WORDS = ("outputs", "whole", "changed", "without a site", "cells hidden", "refused")
TITLES = {
    "large": "## 50,000 people, complete in a declared core: sites of 25,000, 14,000, 8,000 and 3,000",
    "large_undeclared": "## The same people, with no core",
    "large_complete": "## The same people, nothing missing",
    "small": "## 400 patients: four sites of 100",
}


def section(size: str, figures: dict[str, Any]) -> str:
    """One size's tables."""
    rows = [f"| {kind} | {' | '.join(str(counts[word]) for word in WORDS)} |" for kind, counts in _kinds(figures)]
    kinds: Counter[str] = Counter()
    for words, count in figures["reasons"].items():
        kinds[words.partition(": capacity")[0].partition(" (")[0]] += count
    reasons = [f"| {words} | {count} |" for words, count in kinds.most_common()]
    before, after = figures["ledger_before"].values(), figures["ledger_after"].values()
    sentence = (
        f"{figures['leaves_percent']:.1f} % leave; {figures['whole_or_changed_percent']:.1f} % leave with every number "
        f"(whole, changed or without a site). A ledger has {min(before):,} to {max(before):,} entries when the first "
        f"paper comes and {min(after):,} to {max(after):,} after the last."
    )
    if figures["total"]["cells hidden"]:
        sentence += f" {_hidden(figures)}"
    parts = [TITLES[size], "", sentence, "", f"| Kind | {' | '.join(WORDS)} |", "|---|" + "---|" * len(WORDS), *rows]
    parts += ["", "Why, before any mitigation; a site counts once an output:", "", "| Reason | Outputs |", "|---|---|"]
    return "\n".join([*parts, *reasons, "", *_precision(figures)])


def _hidden(figures: dict[str, Any]) -> str:
    """How much is hidden where cells are. all_hidden: of later runs."""
    share = f"Where cells are hidden they are {figures['hidden_numbers_median']:.0%} of an output's numbers (median)"
    whole = figures.get("all_hidden")
    return f"{share}." if whole is None else f"{share}, and in {whole} outputs all."


def _kinds(figures: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    return [*figures["kinds"].items(), ("**all**", figures["total"])]


def _precision(figures: dict[str, Any]) -> list[str]:
    if (lost := figures.get("precision")) is None:
        return []
    ratio = lost["standard_error_ratio"]
    words = f"Of {lost['models']} models that can be fitted on such data, {lost['not_released']} do not leave as asked."
    if ratio["median"] is not None:
        words += (
            f" In those that leave, standard errors are {ratio['median']:.2f} times those without any control (median "
            f"of {ratio['terms']} coefficients; at most {ratio['largest']:.2f}): the price of a site that refused."
        )
    return [words, ""]


def thin(figures: dict[str, Any]) -> str:
    """What analysts of a rare disease get."""
    words = ("whole", "with ends", "cells hidden", "refused")
    rows = [
        f"| {kind} | {' | '.join(str(counts.get(word, 0)) for word in words)} |"
        for kind, counts in figures["kinds"].items()
    ]
    between = figures["median_between_years"]
    sentence = (
        f"{figures['draws']} draws of {figures['patients']} patients over {figures['hospitals']} hospitals, at most "
        f"{figures['most_at_a_hospital']} in each, each question as the first one asked. In clear nothing leaves. "
        f"Masked, {figures['leaves_percent']:.0f} % of the answers leave, {figures['whole_percent']:.0f} % whole. No "
        f"precision is lost in sums; of medians the ends are {between['median']:g} years apart (median; at most "
        f"{between['largest']:g})."
    )
    head = ["## Fifty patients in twenty hospitals, masked", "", sentence, "", f"| Asked | {' | '.join(words)} |"]
    reasons = ", ".join(f"{family} {count}" for family, count in figures["reasons"].items())
    return "\n".join([*head, "|---|" + "---|" * len(words), *rows, "", f"Why refused: {reasons}.", ""])


def main() -> None:
    """Rewrite everything after the mark."""
    found = {size: RESULTS / f"utility_{size}.json" for size in TITLES}
    kept = {size: json.loads(path.read_text(encoding="utf-8")) for size, path in found.items() if path.exists()}
    sections = [section(size, figures) for size, figures in kept.items()]
    if (path := RESULTS / "utility_thin.json").exists():
        sections.append(thin(json.loads(path.read_text(encoding="utf-8"))))
    head, _, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    PAGE.write_text(head + MARK + "\n" + "\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
