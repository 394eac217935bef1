"""Complementary suppression with its audit, and what the gate adds to a round: benchmarks/results/suppression.json.

A hierarchical table: 4 regions of 5 districts of 5 communes, with all their sums, by 39 causes and their sum: 5,000
numbers, one in eight of them small, zeros hidden. And the gate's word on one round of a certified statistic: a table of
100 cells in which nothing is hidden, and a regression of ten columns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from machine import keep
from pyroaring import BitMap
from scipy.sparse import coo_array

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Cells, Contributions, Design, Support, Working
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.gate import judge
from sojourn.disclosure.intervals import Audit, System
from sojourn.disclosure.output import Output, Verdict
from sojourn.disclosure.policy import StandardPolicy
from sojourn.statistics.crosstab import Crosstab
from sojourn.statistics.glm import GLM

LEVELS, CAUSES, T = (4, 5, 5), 39, 10
TIMES = 200


def hierarchy(seed: int, mean: float) -> System:
    """The table and its sums; every number is a cell that may be hidden."""
    draw = np.random.default_rng(seed)
    leaves = int(np.prod(LEVELS))
    rates = mean * np.outer(draw.lognormal(0, 0.7, leaves), draw.lognormal(0, 0.9, CAUSES))
    rows = [draw.poisson(rates)]
    for level in reversed(LEVELS):
        rows.append(rows[-1].reshape(-1, level, CAUSES).sum(axis=1))
    starts = np.cumsum([0, *(len(part) for part in rows)])
    table = np.concatenate(rows)
    table = np.column_stack([table, table.sum(axis=1)]).astype(np.int64)
    places = np.arange(table.size).reshape(table.shape)
    lines = [places[row] for row in range(len(table))]
    for depth, level in enumerate(reversed(LEVELS)):
        for parent in range(len(rows[depth + 1])):
            first = starts[depth] + parent * level
            family = [*range(first, first + level), starts[depth + 1] + parent]
            lines += list(places[family].T)
    row = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    sign = np.concatenate([np.where(np.arange(len(line)) == len(line) - 1, -1.0, 1.0) for line in lines])
    relations = coo_array((sign, (row, np.concatenate(lines))), shape=(len(lines), table.size)).tocsr()
    return System(table.ravel(), relations, np.ones(table.size, dtype=bool), np.zeros(table.size, dtype=np.int64))


def hierarchical(mean: float) -> dict[str, Any]:
    """Protect one table; then audit the result anew, without what the first audit had seen."""
    system = hierarchy(0, mean)
    small = system.counts < T
    began = time.perf_counter()
    hidden = Audit(system, small, T).complete()
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    narrow = Audit(system, hidden, T).narrow(np.flatnonzero(hidden).tolist())
    again = time.perf_counter() - began
    figures = {"cells": system.counts.size, "small": int(small.sum()), "hidden": int(hidden.sum()), "seconds": seconds}
    return {**figures, "audit_seconds": again, "narrow_after": len(narrow)}


def table() -> Output:
    """A crosstab of 10 by 10 levels with 50,000 persons, nothing small."""
    size = 500
    persons = tuple(BitMap(range(i * size, (i + 1) * size)) for i in range(100))
    names = tuple(map(str, range(10)))
    variables = {name: Variable(Kind.CATEGORY, levels=names, harmless=names) for name in "ab"}
    cells = Cells(("count",), (10, 10), persons, ("a", "b"))
    support = Support(BitMap(range(100 * size)), ("a", "b"), (cells,))
    step = Step("count", {}, {"count": (10, 10)})
    partial = Partial({"count": np.full((10, 10), size)})
    return Output("crosstab", step, partial, support, variables, Crosstab.rules)


def model() -> Output:
    """A Newton round of ten columns and 50,000 persons, with its evidence."""
    width, everyone = 10, BitMap(range(50_000))
    levels = {f"level {i}": BitMap(range(0, 50_000, i + 2)) for i in range(60)}
    design = Design(50_000, 50_000, width, levels, 9_000, 0.001, working=Working(20_000.0, 0.001))
    sums = Contributions(("moment",), np.ones(width), np.ones(width), np.full(width, 1e4))
    arrays = {
        "deviance": np.ones(1),
        "score": np.ones(width),
        "information": np.eye(width),
        "invalid": np.zeros(1, "i8"),
    }
    step = Step("newton", {"beta": (width,)}, {name: array.shape for name, array in arrays.items()})
    support = Support(everyone, ("y",), contributions=(sums,), design=design)
    return Output("glm", step, Partial(arrays), support, {}, GLM.rules)


def milliseconds(output: Output) -> float:
    """The median time of the gate's word on one round, in which nothing is hidden."""
    policy, taken = StandardPolicy(), []
    assert judge(output, policy).verdict is Verdict.RELEASE, judge(output, policy)
    for _ in range(TIMES):
        began = time.perf_counter()
        judge(output, policy)
        taken.append(time.perf_counter() - began)
    return 1000 * median(taken)


if __name__ == "__main__":
    made: dict[str, Callable[[], Output]] = {"crosstab of 100 cells": table, "glm of 10 columns": model}
    keep(
        "suppression",
        {
            "goals": {"seconds": 10, "gate_milliseconds": 5},
            "hierarchical": [hierarchical(60), hierarchical(30)],
            "gate_milliseconds": {name: milliseconds(make()) for name, make in made.items()},
        },
    )
