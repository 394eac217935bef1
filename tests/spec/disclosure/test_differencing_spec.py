"""Differencing

What is released is compared with everything that was released before of the same dataset, whoever asked. With T = 10:

- two sets that differ, and by fewer than T persons on either side, are not both released;
- no set of 1 to T − 1 persons follows by addition and subtraction from any number of released sets;
- about a group of persons in small atoms no more independent numbers are released than a fifth of their number.

Where a cell of a table makes the difference, it is hidden, and another one with it; else the answer is held for
checkers, and refused where there are none. More on the page on differencing. In the examples persons are numbers,
`known` is what was released, and sets are separated by semicolons.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from pyroaring import BitMap

from sojourn.disclosure.differencing import Bounds, control
from sojourn.disclosure.gate import judge
from sojourn.disclosure.known import Known
from sojourn.disclosure.ledger import Charge, hidden_cells
from sojourn.disclosure.output import Finding, Tier, Verdict
from sojourn.disclosure.policy import StandardPolicy

CASES = (
    ({"known": "1–100", "asked": "1–100"}, "released", "the same set tells nothing new"),
    ({"known": "1–100", "asked": "1–99"}, "held: differencing", "all and all but one"),
    ({"known": "1–100", "asked": "1–90"}, "released", "ten persons differ"),
    ({"known": "1–100", "asked": "6–105"}, "held: differencing", "five are exchanged"),
    ({"known": "1–100", "asked": "4–150"}, "released", "three and fifty differ: their difference is of fifty-three"),
    ({"known": "1–100; 4–150", "asked": "4–100"}, "held: differencing", "with the part in common the three follow"),
    (
        {"known": "1–200; 1–105", "asked": "101–200"},
        "held: differencing",
        "a tracker: their sum less all is five",
    ),
    (
        {"known": "1–100; 101–200; 1–50, 101–150", "asked": "51–100, 151–195"},
        "held: differencing",
        "five persons follow from all four",
    ),
    (
        {"known": "51–79", "table": "1–50; 51–80; 81–120; 121–180"},
        "released without 51–80; 81–120",
        "a cell that is known but for one person goes, and the smallest other one with it",
    ),
    ({"known": "1–40", "table": "1–50; 51–80; 81–120; 121–180"}, "released", "ten of the first cell are not known"),
)


def persons(text: str) -> BitMap:
    """`1–3, 7–9` as a set."""
    chosen = BitMap()
    for low, high in re.findall(r"(\d+)–(\d+)", text):
        chosen.add_range(int(low), int(high) + 1)
    return chosen


@pytest.mark.parametrize(("given", "verdict", "why"), CASES)
def test_differencing(given, verdict, why, spec):
    known = Known().plus([Charge("s", "a", (), "population", persons(part)) for part in given["known"].split(";")])
    if "asked" in given:
        output = spec.outputs.model(rules=("events",))
        output = _about(output, persons(given["asked"]))
        finding = Finding(Verdict.RELEASE)
    else:
        cells = given["table"].split("; ")
        output = _table(spec.outputs, cells)
        finding = judge(output, StandardPolicy())
    judged = control(output, finding, known, ("s", "a"), Bounds(10)).finding
    if judged.tier is Tier.HIGH:
        assert verdict == f"held: {judged.family}"
        return
    hidden = [hidden_cells(output.partial, table, judged.cells) for table in output.support.cells]
    gone = [cells[place] for mask in hidden for place in np.flatnonzero(mask)]
    assert verdict == (f"released without {'; '.join(gone)}" if gone else "released")


def _about(output, population):
    return replace(output, support=replace(output.support, population=population))


def _table(outputs, cells):
    sets = tuple(persons(cell) for cell in cells)
    output = outputs.table([len(cell) for cell in sets], rules=("minimum frequency",))
    [table] = output.support.cells
    support = replace(output.support, population=BitMap.union(*sets), cells=(replace(table, persons=sets),))
    return replace(output, support=support)
