"""Comparisons and searches against the pooled rows, and the stop rule."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sojourn.secrecy.comparison as comparison
from evaluated_shares import plain, protocol
from sojourn.secrecy.comparison import MOST_RANKS, Beyond, Bracket, Cut, above, extreme, quantile

SITES = ("a", "b", "c", "d")
T = 5
GRID = tuple(float(value) for value in range(0, 64, 3))


def searched(search, values, evaluate, ask):
    """The bracket, and every bracket that it went through."""
    asked = []
    try:
        cut = next(search)
        while True:
            asked.append(cut)
            inputs = np.stack([cut.numbers(own) for own in values])
            cut = search.send(evaluate(ask(cut), inputs))
    except StopIteration as done:
        return done.value, asked


def rank_of(values, rank, evaluate=plain, grid=GRID):
    persons = sum(map(len, values))
    return searched(quantile(grid), values, evaluate, lambda cut: cut.test(SITES, SITES[:3], rank, persons, T))


def inside(values, low, high):
    """Persons of a bracket beyond the site that has most of them."""
    own = [
        ((one > (-np.inf if low is None else low)) & (one <= (np.inf if high is None else high))).sum()
        for one in values
    ]
    return sum(own) - max(own)


@st.composite
def rows(draw):
    ages = st.lists(st.integers(0, 63).map(float), max_size=20)
    spread = draw(st.booleans())
    values = [np.array(draw(ages), dtype=float) for _ in SITES]
    return values if spread else [value // 8 + 20 for value in values]


@settings(deadline=None, max_examples=60)
@given(rows(), st.floats(0.01, 1))
def test_the_bracket_holds_the_pooled_rank_and_T_persons(values, q):
    pooled = np.sort(np.concatenate(values))
    if not len(pooled):
        return
    rank = max(1, int(np.ceil(q * len(pooled))))
    bracket, asked = rank_of(values, rank)
    at = pooled[rank - 1]
    assert (bracket.low is None or at > bracket.low) and (bracket.high is None or at <= bracket.high)
    if len(asked) > 1 or bracket.exhausted:
        assert inside(values, bracket.low, bracket.high) >= T
    if bracket.exhausted:
        ends = (None, *GRID, None)
        assert (bracket.low, bracket.high) in list(pairwise(ends))
    else:  # the half that it did not enter is too small
        cut = asked[-1]
        half = (cut.low, cut.middle) if at <= cut.middle else (cut.middle, cut.high)
        assert inside(values, *half) < T


@settings(deadline=None, max_examples=40)
@given(rows(), st.booleans())
def test_an_extreme_is_as_far_out_as_T_persons_are(values, upper):
    bracket, _ = searched(extreme(GRID, upper), values, plain, lambda cut: cut.test(SITES, SITES[:3], T))
    sides = [[(own > g).sum() if upper else (own < g).sum() for own in values] for g in GRID]
    enough = [g for g, own in zip(GRID, sides, strict=True) if sum(own) - max(own) >= T]
    edge = (max if upper else min)(enough) if enough else None
    assert bracket == (Bracket(edge, None, True) if upper else Bracket(None, edge, True))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 20), min_size=4, max_size=4), st.integers(0, 60))
def test_a_total_is_above_where_it_is_and_enough_are_beyond_each_site(own, bound):
    bits = plain(above(SITES, SITES[:3], bound, T), np.array(own)[:, None])
    assert bits.tolist() == [sum(own) > bound and sum(own) - max(own) >= T]


def test_by_the_protocol_itself():
    values = [np.arange(start, 60, 4, dtype=float) for start in range(4)]
    bracket, asked = rank_of(values, 30, protocol)
    assert bracket == rank_of(values, 30)[0] and len(asked) > 2
    assert protocol(above(SITES, SITES[:3], 59, T), np.full((4, 1), 15)).tolist() == [True]
    assert protocol(above(SITES, SITES[:3], 60, T), np.full((4, 1), 15)).tolist() == [False]


def test_without_the_stop_rule_a_search_ends_at_one_person(monkeypatch):
    """The planted defect: the test above would find a bracket of one person."""
    values = [np.arange(start, 60, 12, dtype=float) for start in range(0, 12, 3)]
    assert inside(values, *_ends(rank_of(values, 10)[0])) >= T
    monkeypatch.setattr(comparison, "_beyond", lambda inputs, sites, threshold: ())
    assert inside(values, *_ends(rank_of(values, 10)[0])) < T


def _ends(bracket):
    return bracket.low, bracket.high


def test_bits_that_contradict_one_another_and_numbers_that_are_too_large():
    search = quantile(GRID)
    next(search)
    with pytest.raises(ValueError, match="both halves"):
        search.send(np.array([True, True]))
    with pytest.raises(ValueError, match="histogram"):
        above(SITES, SITES[:3], MOST_RANKS, T)
    with pytest.raises(ValueError, match="histogram"):
        Cut(None, 3.0, None).test(SITES, SITES[:3], 1, MOST_RANKS, T)
    with pytest.raises(ValueError, match="rank"):
        Cut(None, 3.0, None).test(SITES, SITES[:3], 0, 10, T)
    assert Beyond(3.0, True).numbers(np.array([3.0, 4.0, 5.0])).tolist() == [2]
