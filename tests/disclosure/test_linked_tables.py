"""Tables of the same persons that share a dimension: each alone is safe, together they tell (A14, attack 8)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.optimize import linprog

from sojourn.analysis.support import Cells
from sojourn.disclosure.complement import complement
from sojourn.disclosure.linked import Table, linked
from sojourn.disclosure.suppression import small

T = 10
cubes = npst.arrays(np.int64, (2, 3, 2), elements=st.integers(0, 40) | st.integers(0, 6))


def table(counts, dimensions, outputs, settled=False):
    cells = Cells(("count",), counts.shape, outputs.disjoint(counts), dimensions)
    return Table.of(cells, complement(cells, small(cells, T, False), T), settled)


def two(cube, outputs, settled=False):
    """A by B, and B by C, of the same persons."""
    return table(cube.sum(axis=2), ("a", "b"), outputs, settled), table(cube.sum(axis=0), ("b", "c"), outputs)


def narrowest(cube, tables, total=True):
    """The width of the least uncertain hidden cell, by a programme over the whole table of three dimensions."""
    rows, to = [np.ones(cube.size)] if total else [], [cube.sum()] if total else []
    views = [(2, tables[0].hidden), (0, tables[1].hidden)]
    hidden = []
    for axis, mask in views:
        for place in np.ndindex(mask.shape):
            picked = np.zeros(cube.shape)
            np.moveaxis(picked, axis, -1)[place] = 1
            if mask[place]:
                hidden.append(picked.ravel())
            else:
                rows.append(picked.ravel())
                to.append(cube.ravel() @ picked.ravel())
    widths = [sum(-linprog(sign * cell, A_eq=rows, b_eq=to).fun for sign in (1, -1)) for cell in hidden]
    return min(widths, default=np.inf)


@given(cube=cubes, settled=st.booleans())
def test_linked_tables_pass_together(cube, settled, outputs):
    if cube.sum() < T:
        return
    before = two(cube, outputs, settled)
    after = linked(before, T)
    for one, mask in zip(before, after, strict=True):
        assert (mask | ~one.hidden).all()
        assert not one.settled or (mask == one.hidden).all()
    masked = [Table(one.dimensions, one.counts, mask, one.known) for one, mask in zip(before, after, strict=True)]
    nothing = after[1].all() and (settled or after[0].all())
    assert nothing or narrowest(cube, masked) >= T - 1e-6


@given(cube=cubes)
def test_a_table_and_its_own_margin_need_nothing_more(cube, outputs):
    """A count beside its crosstab was thought of in the crosstab's own audit."""
    if cube.sum() < T:
        return
    whole = table(cube.sum(axis=2), ("a", "b"), outputs)
    margin = table(cube.sum(axis=(1, 2)), ("a",), outputs)
    assert all(
        (mask == one.hidden).all() for mask, one in zip(linked((whole, margin), T), (whole, margin), strict=True)
    )


def test_tables_of_other_persons_are_not_linked(outputs):
    first, second = table(np.full((2, 3), 40), ("a", "b"), outputs), table(np.full((3, 2), 41), ("b", "c"), outputs)
    with pytest.raises(ValueError, match="same persons"):
        linked((first, second), T)
