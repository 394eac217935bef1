"""Class disclosure

A table must not tell what is true of everybody in a group: if all forty patients of a ward are infected, the
count of forty is not small, and yet each patient's infection is disclosed. For every line of a table with at
least T persons:

- all of them in one level: the line is hidden, unless the dictionary declares that level harmless;
- more than 90 % in a level that is declared sensitive: the line is hidden;
- fewer than T outside one level: the line is hidden, since those few know about all others.

In a plain count the line is the whole population. It is hidden, not refused: a level that nobody has looks like
one that a few have. The column `site` is exempt. In the examples `healthy` is declared harmless and `HIV` sensitive.
"""

from __future__ import annotations

import pytest

CASES = (
    ({"sick": 40, "healthy": 0}, "sick ■, healthy ■", "everybody is sick"),
    ({"sick": 0, "healthy": 40}, "sick ■, healthy ■", "the level is harmless; zero is hidden by its own rule"),
    ({"sick": 40, "healthy": 30}, "released", "a mixed population"),
    (
        {
            "ward 1": {"sick": 40, "healthy": 0},
            "ward 2": {"sick": 20, "healthy": 30},
            "ward 3": {"sick": 25, "healthy": 35},
        },
        "ward 1: sick ■, healthy ■; ward 2: sick ■, healthy ■; ward 3: sick 25, healthy 35",
        "everybody of ward 1 is sick",
    ),
    (
        {"ward 1": {"sick": 40, "healthy": 30}, "ward 2": {"sick": 20, "healthy": 30}},
        "released",
        "mixed wards",
    ),
    (
        {"ward 1": {"HIV": 95, "other": 11}, "ward 2": {"HIV": 20, "other": 60}, "ward 3": {"HIV": 30, "other": 70}},
        "released",
        "95 of 106 is 89.6 %",
    ),
    (
        {"ward 1": {"HIV": 120, "other": 11}, "ward 2": {"HIV": 20, "other": 60}, "ward 3": {"HIV": 30, "other": 70}},
        "ward 1: HIV ■, other ■; ward 2: HIV ■, other ■; ward 3: HIV 30, other 70",
        "120 of 131 is 91.6 %, in a sensitive level",
    ),
    (
        {
            "ward 1": {"A": 95, "B": 3, "C": 4},
            "ward 2": {"A": 40, "B": 5, "C": 6},
            "ward 3": {"A": 30, "B": 20, "C": 25},
            "ward 4": {"A": 50, "B": 30, "C": 35},
        },
        "ward 1: A ■, B ■, C ■; ward 2: A ■, B ■, C ■; ward 3: A ■, B ■, C 25; ward 4: A 50, B 30, C 35",
        "in ward 1 all but seven have A; wards 2 and 3 protect it",
    ),
)
DECLARED = {
    ("A", "B", "C"): {},
    ("sick", "healthy"): {"harmless": ("healthy",)},
    ("HIV", "other"): {"sensitive": ("HIV",)},
}


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_class_disclosure(given, verdict, why, spec):
    first = next(iter(given.values()))
    levels = tuple(first) if isinstance(first, dict) else tuple(given)
    status = spec.outputs.category(levels, **DECLARED[levels])
    variables = {"ward": spec.outputs.category(tuple(given), harmless=tuple(given)), "status": status}
    dimensions = ("ward", "status") if isinstance(first, dict) else ("status",)
    rules = ("minimum frequency", "class disclosure")
    assert spec.table(given, rules, dimensions=dimensions, variables=variables) == verdict


def test_site_is_exempt(spec):
    variables = {"site": spec.outputs.category(("Bern", "Cleveland"))}
    given = {"Bern": 0, "Cleveland": 40}
    assert spec.table(given, ("class disclosure",), dimensions=("site",), variables=variables) == "released"
