"""Margins that leave beside hidden cells: no hidden number follows from all that is shown."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.gate import Header, release
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import StandardPolicy
from sojourn.statistics.catalogue_counts import crosstab

T = 10
NAMES = ("a", "b", "c")
HEADER = Header("s", "p", "a", 0, "q", "x", "f", "", "", 0, "sojourn 0.1", "")


def released(counts: np.ndarray):
    """What leaves of a crosstab of these counts."""
    variables = with_site(
        {
            name: Variable(Kind.CATEGORY, levels=tuple(f"{name}{i}" for i in range(size)))
            for name, size in zip(NAMES, counts.shape, strict=False)
        },
        ("x",),
    )
    places = np.repeat(np.argwhere(counts >= 0), counts.ravel(), axis=0).astype(np.int32)
    columns = {name: places[:, axis] for axis, name in enumerate(NAMES[: counts.ndim])}
    population = Population("x", variables, columns, np.arange(counts.sum(), dtype=np.uint32), {})
    statistic = crosstab(*NAMES[: counts.ndim])
    [step] = statistic.steps(variables)
    partial = statistic.local("count", population, {})
    output = Output(statistic.name, step, partial, statistic.support(population), variables, statistic.rules)
    return release(output, StandardPolicy(), HEADER).partial


def widths(counts: np.ndarray, partial) -> list[float]:
    """How wide the interval of each hidden cell is, from shown cells and shown margins and nothing below zero."""
    places, lines, sums = np.arange(counts.size).reshape(counts.shape), [], []
    hidden = partial.hidden("count")
    for place in np.flatnonzero(~hidden):
        lines.append(np.eye(counts.size)[place])
        sums.append(counts.flat[place])
    for axis, name in enumerate(NAMES[: counts.ndim]):
        for level, gone in enumerate(partial.hidden(f"margin.{name}")):
            if not gone:
                line = np.zeros(counts.size)
                line[places.take(level, axis=axis).ravel()] = 1
                lines.append(line)
                sums.append(partial[f"margin.{name}"][level])
    if not lines:
        return []
    found = []
    for place in np.flatnonzero(hidden):
        one = np.eye(counts.size)[place]
        low, high = (linprog(sign * one, A_eq=np.array(lines), b_eq=np.array(sums)) for sign in (1, -1))
        found.append(np.inf if high.status == 3 else -high.fun - low.fun)
    return found


@pytest.mark.parametrize(
    ("shape", "numbers"), [((3, 4), [0, 3, 4, 7, 12, 25, 60]), ((2, 2, 3), [3, 4, 12, 25, 40, 60, 80, 90])]
)
def test_every_hidden_cell_may_be_so_many_numbers(shape, numbers):
    """Of random tables with many small cells; without the audit the first shape fails."""
    rng = np.random.default_rng(1)
    tables = [rng.choice(numbers, size=shape) for _ in range(6)]
    hiding = 0
    for counts in tables:
        partial = released(counts)
        hiding += bool(partial.hidden("count").any()) and not partial.hidden("count").all()
        assert all(width >= T - 1e-6 for width in widths(counts, partial))
    assert hiding


def test_margins_show_where_cells_do_not():
    counts = np.array([[40, 30, 25], [3, 6, 30], [35, 40, 50]])
    partial = released(counts)
    assert partial.hidden("count").any()
    assert not partial.hidden("margin.a").any()
    assert not partial.hidden("margin.b").any()
    assert partial["margin.a"].tolist() == counts.sum(axis=1).tolist()
