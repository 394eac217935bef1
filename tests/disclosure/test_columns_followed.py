"""Two columns that are alike, over several sets: judged by exact elimination over the persons and their differences."""

from __future__ import annotations

import importlib.util
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.disclosure.alike import Apart
from sojourn.disclosure.differencing import PAIRS, Bounds, Surroundings, find
from sojourn.disclosure.known import Known
from sojourn.disclosure.ledger import Charge
from sojourn.disclosure.span import Span

PLACE = importlib.util.spec_from_file_location("exact", Path(__file__).with_name("exact.py"))
exact = importlib.util.module_from_spec(PLACE)
PLACE.loader.exec_module(exact)

PAIR = ("cost", "capped")
PEOPLE = 12
BLOCKS = [BitMap(range(start, start + 4)) for start in (0, 4, 8)]
Ask = tuple[BitMap, tuple[str, ...]]


def members(least: int) -> st.SearchStrategy[BitMap]:
    return st.sets(st.integers(0, PEOPLE - 1), min_size=least).map(BitMap)


UNIONS = st.sets(st.sampled_from(range(3)), min_size=1).map(lambda chosen: BitMap().union(*(BLOCKS[i] for i in chosen)))
COLUMNS = st.sampled_from([PAIR[:1], PAIR[1:], PAIR, ("age",)])
ASKS = st.lists(st.tuples(UNIONS, COLUMNS), min_size=3, max_size=9) | st.lists(
    st.tuples(members(4) | UNIONS, COLUMNS), min_size=2, max_size=7
)


def passes(asks: list[Ask], apart: Apart | dict[tuple[str, str], Apart], bounds: Bounds) -> list[bool]:
    """Of one ask after the other, whether it is answered."""
    known, answered = Known(span=Span(bounds.threshold)), []
    around = Surroundings(alike=apart if isinstance(apart, dict) else {PAIR: apart})
    for persons, measure in asks:
        more = known.plus([Charge("s", "a", measure, "population", persons)])
        hits, later = find(known, more, "s", bounds, around)
        answered.append(not hits)
        if not hits:
            known = later.followed(bounds.span)
    return answered


def unknowns(asks: list[Ask], apart: BitMap) -> list[BitMap]:
    """What each sum adds up: persons, and from PEOPLE on what they differ by."""
    rows = []
    for persons, measure in asks:
        rows += [persons] if PAIR[0] in measure else []
        rows += [persons | (persons & apart).shift(PEOPLE)] if PAIR[1] in measure else []
    return rows


def small_support(rows: list[BitMap], people: int, threshold: int) -> bool:
    """Whether a combination of the rows is not zero for fewer than T alone: then their columns lose rank."""
    columns = np.array([[place in row for place in range(people)] for row in rows], dtype=float)
    rank = np.linalg.matrix_rank(columns) if len(rows) else 0
    return any(
        np.linalg.matrix_rank(np.delete(columns, list(few), axis=1)) < rank
        for few in combinations(range(people), threshold - 1)
    )


@settings(max_examples=60, deadline=None)
@given(ASKS, members(1))
def test_nothing_of_few_ever_follows_by_two_columns(asks: list[Ask], apart: BitMap) -> None:
    likeness = Apart(apart, BitMap(range(PEOPLE)))  # nobody has what most have: no set of four is let through
    answered = passes(asks, likeness, Bounds(3, share=2.0))
    released = [ask for ask, told in zip(asks, answered, strict=True) if told]
    assert not exact.disclosed(unknowns(released, apart), 2 * PEOPLE, 3)


@settings(max_examples=60, deadline=None)
@given(ASKS, members(1))
def test_nothing_is_refused_without_a_reason(asks: list[Ask], apart: BitMap) -> None:
    answered = passes(asks, Apart(apart, BitMap(range(PEOPLE))), Bounds(3, share=2.0))
    released: list[Ask] = []
    for ask, told in zip(asks, answered, strict=True):
        with_it = [*released, ask]
        sets = [persons for persons, _ in with_it]
        if told:
            released = with_it
            continue
        near = any(exact.near(ask[0], other, 3) for other, _ in released)
        assert near or small_support(sets, PEOPLE, 3) or small_support(unknowns(with_it, apart), 2 * PEOPLE, 3)


ALL, FEW = BitMap(range(400)), BitMap(range(5))
WOMEN = BitMap(range(0, 400, 2))
MANY_APART = Apart(BitMap(range(60)), ALL)
WITHOUT = BitMap(range(5, 400)) - BitMap(range(100, 130))  # no pair with everybody
COST, CAPPED = PAIR[:1], PAIR[1:]


@pytest.mark.parametrize("scale", [1, 50])
def test_both_over_everybody_and_over_all_but_some_of_whom_few_are_apart(scale: int) -> None:
    """In any order the last of the four does not leave; of the sizes no more than T of an atom matter."""
    everybody, apart = BitMap(range(400 * scale)), Apart(BitMap(range(60)), BitMap(range(400 * scale)))
    some = everybody - BitMap([*range(5), *range(100, 130)])
    asks = [(everybody, COST), (everybody, CAPPED), (some, COST), (some, CAPPED)]
    for order in permutations(asks):
        assert passes(list(order), apart, Bounds(10)) == [True, True, True, False]
    wide = everybody - BitMap([*range(12), *range(100, 130)])
    asks = [(everybody, PAIR), (wide, PAIR)]
    assert passes(asks, apart, Bounds(10)) == [True, True]


def test_one_over_the_parts_and_the_other_over_the_whole() -> None:
    few = Apart(FEW, ALL)
    asks = [(WOMEN, COST), (ALL - WOMEN, COST), (ALL, CAPPED)]
    for order in permutations(asks):
        assert passes(list(order), few, Bounds(10)) == [True, True, False]
    assert passes([(WOMEN, COST), (ALL - WOMEN, ("age",)), (ALL, CAPPED)], few, Bounds(10)) == [True, True, True]


def test_what_most_have_is_no_likeness() -> None:
    """Of five who have anything at all four are apart: two rare things, of which both may be told."""
    rare = Apart(BitMap(range(4)), BitMap(range(5)))
    assert passes([(ALL, COST), (ALL, CAPPED), (WITHOUT, PAIR)], rare, Bounds(10)) == [True, True, True]


def test_what_may_be_told_as_such_is_no_licence_for_what_follows() -> None:
    """One is apart who is nearly all of a group; that a group's sums may be told, hides nobody elsewhere."""
    sick, everybody = BitMap(range(300)), BitMap(range(1_000))
    apart = Apart(BitMap([600, *range(250, 300)]), sick | BitMap([600]))
    rest = everybody - BitMap([600, *range(100)])
    assert passes([(everybody, PAIR), (rest, PAIR)], apart, Bounds(10)) == [True, False]
    parts = [(sick, COST), (everybody - sick, COST)]
    assert passes([*parts, (everybody, PAIR), (rest, PAIR)], apart, Bounds(10)) == [True, True, True, False]
    assert passes([*parts, (everybody, CAPPED), (rest, PAIR)], apart, Bounds(10)) == [True, True, True, False]


def test_the_difference_of_two_that_may_be_told() -> None:
    """Four of four, and five of nine, who have anything are apart: of either may be told, of the fifth not."""
    first = BitMap([*range(4), *range(1_000, 1_020)])
    second = first | BitMap([*range(4, 9), *range(1_020, 1_040)])
    apart = Apart(BitMap([*range(5), *range(500, 560)]), BitMap(range(600)))
    assert passes([(first, PAIR), (second, PAIR)], apart, Bounds(10)) == [True, False]
    assert passes([(second - first, PAIR)], apart, Bounds(10)) == [False]


def test_three_columns_each_over_another_set() -> None:
    """x over women, y over men and z over all: of no two columns there is anything that cancels."""
    pairs = {("x", "y"): Apart(FEW, ALL), ("x", "z"): Apart(FEW, ALL), ("y", "z"): Apart(BitMap([1, 3]), ALL)}
    asks = [(WOMEN, ("x",)), (ALL - WOMEN, ("y",)), (ALL, ("z",))]
    for chosen in combinations(pairs, 2):
        alike = {pair: pairs[pair] for pair in chosen}
        for order in permutations(asks):
            assert passes(list(order), alike, Bounds(10)) == [True, True, False]
    assert passes(asks, {("x", "y"): Apart(FEW, ALL)}, Bounds(10)) == [True, True, True]


THREE = st.lists(
    st.tuples(members(4) | UNIONS, st.sampled_from([("x",), ("y",), ("z",), ("x", "z"), ("y", "z")])),
    min_size=3,
    max_size=7,
)


@settings(max_examples=40, deadline=None)
@given(THREE, members(1), members(1))
def test_nothing_of_few_ever_follows_by_three_columns(asks: list[Ask], of_y: BitMap, of_z: BitMap) -> None:
    everybody = BitMap(range(PEOPLE))
    alike = {
        pair: Apart(apart, everybody)
        for pair, apart in {("x", "y"): of_y, ("x", "z"): of_z, ("y", "z"): of_y | of_z}.items()
    }
    answered = passes(asks, alike, Bounds(3, share=3.0))
    rows = []
    for (persons, measure), told in zip(asks, answered, strict=True):
        for name in measure if told else ():
            rests = (persons & of_y).shift(PEOPLE) if name == "y" else (persons & of_z).shift(2 * PEOPLE)
            rows.append(persons if name == "x" else persons | rests)
    assert not exact.disclosed(rows, 3 * PEOPLE, 3)


def test_a_group_of_whom_too_much_is_told_is_refused_as_a_group() -> None:
    """Sums of what 100 persons differ by, over random sets: each about many, and together about each."""
    random, everybody = np.random.default_rng(3), BitMap(range(1_000))
    apart = Apart(BitMap(range(100)), everybody)
    sets = [BitMap(np.flatnonzero(random.random(1_000) < 0.5).astype(np.uint32)) for _ in range(30)]
    told = sum(passes([(persons, PAIR) for persons in sets], apart, Bounds(10)))
    assert 18 <= told <= 22
    assert sum(passes([(persons, COST) for persons in sets], apart, Bounds(10))) == 30


def test_beyond_the_bound_nothing_is_vouched_for() -> None:
    asks = [(ALL, COST), (WOMEN, COST), (WITHOUT, CAPPED)]
    assert passes(asks, MANY_APART, Bounds(10)) == [True, True, True]
    assert passes(asks, MANY_APART, Bounds(10, span=12)) == [True, True, False]
    assert passes(asks, MANY_APART, Bounds(10, span=12, beyond=PAIRS)) == [True, True, True]


def test_data_of_nobody_apart_cost_nothing() -> None:
    """Where one of the columns was never told of there is nothing to follow."""
    asks = [(ALL, COST), (WITHOUT, COST), (WOMEN, COST)]
    assert passes(asks, Apart(FEW, ALL), Bounds(10)) == [True, True, True]
