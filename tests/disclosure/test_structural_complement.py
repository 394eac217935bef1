"""A failed cell cannot be had from what a joint table shows: proved by linear programmes on counts it never sees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.optimize import linprog

from sojourn.disclosure import structural
from sojourn.disclosure.complement import relations, with_sums
from sojourn.disclosure.structural import structural_complement

T = 10
SHAPES = [(2,), (5,), (2, 3), (3, 3), (4, 4), (5, 3), (2, 3, 3), (3, 3, 3)]


def failing(sites: np.ndarray) -> np.ndarray:
    """Of cells and sums, of counts by site."""
    whole = np.stack([with_sums(site) for site in sites])
    return whole.sum(axis=0) - whole.max(axis=0) < T


def hidden_with_sums(failed: np.ndarray) -> np.ndarray:
    """What tables of these dimensions and of fewer hide."""
    axes = range(failed.ndim)
    hidden = failed.copy()
    for kept in (kept for size in range(1, failed.ndim + 1) for kept in itertools.combinations(axes, size)):
        at = tuple(slice(None) if axis in kept else -1 for axis in axes)
        inner = tuple(slice(None, -1) if axis in kept else -1 for axis in axes)
        part = failed[at]
        known = np.zeros(tuple(size - 1 for size in part.shape), dtype=bool)
        hidden[inner] = structural_complement(part, known)
    return hidden


def width(objective: np.ndarray, counts: np.ndarray, hidden: np.ndarray) -> float:
    """How wide the interval of a sum of hidden numbers is for somebody who reads the shown ones."""
    system = relations(counts.shape).toarray()
    flat = counts.ravel().astype(float)
    bounds = [(0, None) if gone else (n, n) for n, gone in zip(flat, hidden.ravel(), strict=True)]
    ends = []
    for sign in (1, -1):
        done = linprog(sign * objective, A_eq=system, b_eq=np.zeros(len(system)), bounds=bounds)
        if done.status == 3:
            return np.inf
        assert done.status == 0
        ends.append(sign * done.fun)
    return ends[1] - ends[0]


@st.composite
def tables(draw):
    shape = draw(st.sampled_from(SHAPES))
    numbers = st.sampled_from([5, 5, 5, 6, 8, 15, 0, 1, 2])
    sites = draw(npst.arrays(np.int64, (4, *shape), elements=numbers))
    for _ in range(draw(st.integers(0, 3))):  # cells that few have
        place = tuple(draw(st.integers(0, size - 1)) for size in shape)
        sites[(slice(None), *place)] = draw(st.integers(0, 2))
    if draw(st.booleans()):  # a level that nobody has
        axis = draw(st.integers(0, len(shape) - 1))
        np.moveaxis(sites, axis + 1, 0)[draw(st.integers(0, shape[axis] - 1))] = 0
    return sites


def unprotected(sites: np.ndarray) -> str:
    """What an outsider, or a site that subtracts its own part, could tell; empty where nothing."""
    failed = failing(sites)
    if failed[(-1,) * failed.ndim]:
        return ""  # too few in all: refused
    hidden = hidden_with_sums(failed)
    cells = (slice(None, -1),) * failed.ndim
    if hidden[cells].all():
        return ""  # refused
    for own in (np.zeros_like(sites[0]), *sites):
        rest = with_sums(sites.sum(axis=0) - own)
        for place in np.argwhere(failed[cells]):
            one = np.zeros(rest.shape)
            one[tuple(place)] = 1
            if width(one.ravel(), rest, hidden) < T - 1e-6:
                return f"a failed cell {tuple(place)}"
        for axis in range(rest.ndim):
            lines = np.moveaxis(np.where(hidden, rest, 0), axis, -1)[..., :-1]
            gone = np.moveaxis(hidden, axis, -1)
            shown_sum = ~gone[..., -1] & gone[..., :-1].any(axis=-1)
            if (lines.sum(axis=-1)[shown_sum] < T).any():
                return "the hidden cells of a line together"
    return ""


@settings(deadline=None, max_examples=40)
@given(tables())
def test_no_failed_cell_and_no_hidden_part_of_a_line_can_be_told(sites):
    assert unprotected(sites) == ""


def test_without_a_complement_it_can(monkeypatch):
    """The planted defect: hiding only what failed."""
    monkeypatch.setattr(
        structural, "_completed", lambda failed, hidden, known: hidden[tuple([slice(None, -1)] * known.ndim)]
    )
    sites = np.tile(np.array([[9, 9], [9, 1]]), (4, 1, 1))
    assert "failed cell" in unprotected(sites)


def test_a_level_that_nobody_has_does_not_hide_the_table():
    sites = np.tile(np.array([[9, 9, 9], [0, 0, 0], [9, 9, 9], [9, 9, 9]]), (4, 1, 1))
    failed = failing(sites)
    hidden = structural_complement(failed, np.zeros((4, 3), dtype=bool))
    assert hidden[1].all() and hidden.sum() == 6  # with one further row, out of which its persons could be


def test_what_is_hidden_is_no_more_than_is_needed_in_plain_cases():
    line = np.array([True, False, False, False, False])
    assert structural_complement(line, np.zeros(4, dtype=bool)).tolist() == [True, True, False, False]
    table = np.zeros((4, 4), dtype=bool)
    table[0, 0] = True
    assert structural_complement(table, np.zeros((3, 3), dtype=bool)).sum() == 4


def test_structural_zeros_are_neither_hidden_nor_moved():
    failed = np.zeros((3, 4), dtype=bool)
    failed[0, 0] = failed[1, 1] = True
    known = np.zeros((2, 3), dtype=bool)
    known[1, 1] = True
    hidden = structural_complement(failed, known)
    assert not hidden[1, 1] and hidden[0, 0] and hidden[1, 0] and hidden.sum() == 4


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_where_all_fail_all_is_hidden(shape):
    failed = np.ones(tuple(size + 1 for size in shape), dtype=bool)
    assert structural_complement(failed, np.zeros(shape, dtype=bool)).all()
