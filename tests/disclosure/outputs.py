"""Outputs with their evidence, built by hand: what the gate looks at, without a statistic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from pyroaring import BitMap

from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Cells, Contributions, Design, Support
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.gate import Header
from sojourn.disclosure.output import Output

HEADER = Header("s", "p", "a", 0, "q", "Cleveland", "f", "", "", 0, "sojourn 0.1", "")


def category(levels: Sequence[str], **marks: tuple[str, ...]) -> Variable:
    return Variable(Kind.CATEGORY, levels=tuple(levels), **marks)


def disjoint(counts: Any) -> tuple[BitMap, ...]:
    """Disjoint sets of persons of these sizes, C order."""
    ends = np.cumsum([0, *np.ravel(counts)])
    return tuple(BitMap(range(low, high)) for low, high in pairwise(ends))


def table(
    counts: Any,
    *,
    rules: tuple[str, ...] = ("minimum frequency",),
    dimensions: tuple[str, ...] | None = None,
    variables: Mapping[str, Variable] | None = None,
    measures: tuple[str, ...] = (),
    population: int | None = None,
    **arrays: Any,
) -> Output:
    """A table of counts; further arrays of the same cells by name."""
    numbers = np.asarray(counts, dtype=np.int64)
    persons = disjoint(numbers)
    everybody = BitMap.union(BitMap(), *persons) if population is None else BitMap(range(population))
    values = {"count": numbers, **{name: np.asarray(array, dtype=np.float64) for name, array in arrays.items()}}
    named = tuple(f"axis {axis}" for axis in range(numbers.ndim)) if dimensions is None else dimensions
    cells = Cells(tuple(values), numbers.shape, persons, named, measures)
    return output(values, Support(everybody, measures, (cells,)), rules, variables or {})


def sums(contributions: Sequence[Sequence[float]], *, rules: tuple[str, ...] = ("dominance",)) -> Output:
    """A sum for each group of contributions, and the number of persons beside it."""
    ordered = [[*sorted((abs(x) for x in group), reverse=True), 0.0, 0.0] for group in contributions]
    persons = disjoint([len(group) for group in contributions])
    values = {
        "n": np.array([len(group) for group in contributions], dtype=np.int64),
        "sum": np.array([sum(group) for group in contributions], dtype=np.float64),
    }
    evidence = Contributions(
        ("sum",),
        np.array([group[0] for group in ordered]),
        np.array([group[1] for group in ordered]),
        np.array([sum(group) for group in ordered]),
    )
    cells = Cells(("n", "sum"), (len(persons),), persons, ("group",), ("income",))
    support = Support(BitMap.union(BitMap(), *persons), ("income",), (cells,), (evidence,))
    return output(values, support, rules)


def squares(groups: Sequence[Sequence[float]], *, rules: tuple[str, ...] = ("dominance",)) -> Output:
    """Sum and squares about the mean of each group of values, and the number of persons beside them."""
    made = sums(groups, rules=rules)
    distances = [sorted(((np.array(group) - np.mean(group)) ** 2).tolist(), reverse=True) for group in groups]
    largest, second, total = (np.array(one) for one in zip(*((d[0], d[1], sum(d)) for d in distances), strict=True))
    evidence = (Contributions(("squares",), largest, second, total),)
    values = {**made.partial.arrays, "squares": total}
    (cells,) = made.support.cells
    cells = replace(cells, output=("n", "sum", "squares"))
    return output(values, replace(made.support, cells=(cells,), squares=evidence), rules)


def model(
    *,
    rules: tuple[str, ...],
    persons: int = 200,
    parameters: int = 4,
    levels: Mapping[str, int] | None = None,
    events: int | None = 60,
    leverage: float = 0.05,
    effective: float | None = None,
    patterns: int | None = None,
    clusters: int | None = None,
    constant: tuple[str, ...] = (),
) -> Output:
    """One round of a regression: a score and an information matrix."""
    named = {label: BitMap(range(n)) for label, n in (levels or {}).items()}
    design = Design(persons, persons, parameters, named, events, leverage, effective, patterns, clusters=clusters)
    support = Support(BitMap(range(persons)), ("disease",), design=design, constant=constant)
    values = {"score": np.zeros(parameters), "information": np.eye(parameters)}
    return output(values, support, rules)


def output(
    values: Mapping[str, Any],
    support: Support,
    rules: tuple[str, ...],
    variables: Mapping[str, Variable] | None = None,
) -> Output:
    step = Step("round", {}, {name: np.shape(array) for name, array in values.items()})
    return Output("by hand", step, Partial(dict(values)), support, variables or {}, rules)
