"""Populations of earlier masked sums together with a new one, against an oracle that knows whose sums follow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import evaluated_shares as evaluated
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure import joint_populations
from sojourn.disclosure.demands import Demands
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_clauses import CAPS
from sojourn.disclosure.joint_populations import Between, populations, weights
from sojourn.disclosure.joint_unions import beside_earlier
from sojourn.disclosure.parameters import Parameters
from sojourn.statistics.catalogue_counts import count

T = 5
SITES = tuple(f"s{number}" for number in range(4))
VARIABLES = with_site({"ward": Variable(Kind.CATEGORY, tuple("ab"))}, SITES)
SETS = 4
CODES = np.array(list(itertools.product((0, 1), repeat=SETS)))[1:]  # who is in which of the four, but for nobody
BOTH, X, Z, NEITHER = (1, 1, 1, 1), (1, 1, 0, 0), (1, 0, 1, 0), (1, 0, 0, 0)  # of all, with x, with z, with both


def asked(of_codes, order, threshold=T):
    """The bits of the four populations one after the other, each told that passes; of_codes: persons by site and code.

    The last are those of the last one, with its layout; None where an earlier one is refused.
    """
    told = dict.fromkeys(SITES, ())
    for place, number in enumerate(order):
        by_site = {site: members(of_codes[at], number) for at, site in enumerate(SITES)}
        layout, bits = bits_of(by_site, told, threshold)
        if not bits.all() and place < SETS - 1:
            return None
        name = str(place) * 64
        told = {site: (*told[site], layout.release(name, bits, count().support(by_site[site]))) for site in SITES}
    return layout, bits


def members(codes, number):
    persons = np.flatnonzero(np.repeat(CODES[:, number], codes)).astype(np.uint32)
    return Population("s0", VARIABLES, {"ward": np.zeros(len(persons), np.int32)}, persons, {})


def bits_of(by_site, told, threshold, statistic=None):
    statistic = statistic or count()
    empty = statistic.support(nobody(SITES[0], VARIABLES))
    layout = Layout.of(empty, VARIABLES, statistic.rules, told[SITES[0]], threshold, True)
    test = layout.test(SITES, SITES[:3], Demands(threshold, 5, 0.33))
    inputs = [layout.numbers(statistic.support(by_site[site]), Parameters(), (), told[site]) for site in SITES]
    return layout, evaluated.plain(test, np.stack(inputs))


def few(by_site, threshold=T):
    """Whether somebody is there, and beyond some site fewer than T."""
    return 0 < sum(by_site) < threshold + max(by_site)


def revealed(of_codes):
    """All sets of persons, by site, whose sum follows from the four: boolean combinations in the span of their rows."""
    held = np.flatnonzero(of_codes.sum(axis=0))
    members = CODES[held].T  # set × group
    _, values, rows = np.linalg.svd(members.astype(float))
    beyond = rows[int((values > 1e-9).sum()) :]  # what every vector that follows is orthogonal to
    choices = np.array(list(itertools.product((0, 1), repeat=len(held))))
    follow = choices[np.abs(choices @ beyond.T).max(axis=1, initial=0) < 1e-9]
    return [of_codes[:, held] @ choice for choice in follow]


@st.composite
def groups(draw):
    """Persons by site and code: many in those that some sum of the four leaves out, few in one or two others.

    Of codes drawn at random hardly ever anything follows about few.
    """
    factors, times = draw(st.sampled_from(weights(SETS - 1, 2)))
    nothing = np.flatnonzero(CODES @ [*factors, -times] == 0)
    found = np.zeros((len(SITES), len(CODES)), dtype=int)
    found[:, nothing] = draw(st.lists(st.integers(7, 12), min_size=len(nothing), max_size=len(nothing)))
    rare = draw(
        st.lists(
            st.sampled_from(sorted(set(range(len(CODES))) - set(nothing.tolist()))), min_size=1, max_size=2, unique=True
        )
    )
    for code in rare:
        found[:, code] = draw(st.lists(st.integers(0, 4), min_size=len(SITES), max_size=len(SITES)))
    return found


@pytest.mark.long
@settings(deadline=None, max_examples=100)
@given(groups(), st.permutations(range(SETS)), st.sampled_from([0, 150_000]))
def test_no_boolean_combination_of_four_populations_that_follows_is_of_few(of_codes, order, exact):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sojourn.disclosure.joint_clauses.MOST_EXACT", exact)
        found = asked(of_codes, order)
    assume(found is not None)
    if found[1].all():
        assert not any(map(few, revealed(of_codes)))


@pytest.mark.long
@settings(deadline=None, max_examples=50)
@given(groups(), st.permutations(range(SETS)))
def test_what_is_refused_has_a_sum_of_four_for_few(of_codes, order):
    """Of populations that no other question refuses; a sum may count a person more than once."""
    found = asked(of_codes, order)
    assume(found is not None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint_populations, "TOGETHER", 2)
        assume(asked(of_codes, order)[1].all())
    factors = itertools.product(range(-2, 3), repeat=SETS)
    sums = (of_codes @ (CODES @ one != 0) for one in factors if any(one))
    assert found[1].all() == (not any(map(few, sums)))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 2, 3, 0), (2, 0, 3, 1)])
@pytest.mark.parametrize(
    ("lacking", "passes"), [((2, 1, 1, 1), False), ((9, 0, 0, 0), False), ((0,) * 4, True), ((5,) * 4, True)]
)
def test_those_who_lack_both_of_two_variables(lacking, passes, order, monkeypatch):
    """In whichever order the four are asked; also where all of the few are one site's."""
    codes = [CODES.tolist().index(list(one)) for one in (BOTH, X, Z, NEITHER)]
    of_codes = np.zeros((len(SITES), len(CODES)), dtype=int)
    of_codes[:, codes[:3]] = 60, 20, 20
    of_codes[:, codes[3]] = lacking
    assert asked(of_codes, order)[1].all() == passes
    monkeypatch.setattr(joint_populations, "TOGETHER", 2)
    assert asked(of_codes, order)[1].all()  # no two earlier ones show it


@pytest.mark.parametrize("lacking", [1, 5])
def test_those_with_either_with_one_and_with_all_of_both_but_few(lacking, monkeypatch):
    """X + Z less those with one alone is twice those with both: a factor of two tells of the few who are left out."""
    codes = [CODES.tolist().index(list(one)) for one in ((1, 0, 1, 0), (0, 1, 1, 0), (1, 1, 0, 1), (1, 1, 0, 0))]
    of_codes = np.zeros((len(SITES), len(CODES)), dtype=int)
    of_codes[:, codes] = 30, 40, 50, lacking
    assert asked(of_codes, range(SETS))[1].all() == (lacking == T)
    monkeypatch.setattr(joint_populations, "GREATEST", 1)
    assert asked(of_codes, range(SETS))[1][0]


def test_factors_are_all_that_hang_on_independent_choices():
    """Any four of so many sets: each sum of them that is not zero for few has one of these within it, or one of two."""
    assert [len(weights(size, most)) for size, most in ((2, 1), (2, 2), (3, 1), (3, 2))] == [3, 3, 7, 23]
    assert ((1, 1, -1), 1) in weights(3, 1)  # x and z, less all, beside both
    assert weights(3, 2) == weights(3, 3)


@given(*(st.sets(st.integers(0, 9)) for _ in range(4)), st.sampled_from(weights(3, 2)))
def test_who_is_left_is_for_whom_the_sum_is_not_zero(now, one, two, three, weight):
    factors, times = weight
    found = Between((0, 1, 2), factors, "x", times).persons(BitMap(now), *map(BitMap, (one, two, three)))
    added = list(zip(factors, (one, two, three), strict=True))
    wanted = {p for p in range(10) if sum(f * (p in those) for f, those in added) != times * (p in now)}
    assert set(found) == wanted


@pytest.mark.parametrize(("lacking", "passes"), [(0, True), (1, False), (5, True)])
def test_a_cell_beside_three_populations(lacking, passes):
    """Those with both are a cell of a table of the fourth plan."""
    everybody, both = range(275 + lacking), range(140)
    told = told_of((everybody, range(200), [*both, *range(200, 275)]))
    layout, bits = bits_of({site: wards(everybody, both) for site in SITES}, told, T, count("ward"))
    found = layout._passed(bits)
    assert found["cell 0 0"] and found["near cell 0 1"] and found["near cell 0 0"] == passes


def told_of(persons):
    """By site, of three plans of which each passes."""
    told = dict.fromkeys(SITES, ())
    for name, those in zip("abc", persons, strict=True):
        by_site = {site: wards(those, range(140)) for site in SITES}
        layout, bits = bits_of(by_site, told, T)
        assert bits.all()
        told = {site: (*told[site], layout.release(name * 64, bits, count().support(by_site[site]))) for site in SITES}
    return told


def wards(persons, first):
    found = np.array(list(persons), dtype=np.uint32)
    return Population("s0", VARIABLES, {"ward": (~np.isin(found, list(first))).astype(np.int32)}, found, {})


def test_more_earlier_plans_than_are_compared_are_too_many():
    """Then only sets that cut deep through all of them, or are known, pass."""
    told = [(f"{number:064}", ("population",)) for number in range(15)]
    assert len(beside_earlier(("population",), {}, told, 12_000).pairs) == 455 * 23 + 105 * 3
    assert beside_earlier(("population",), {}, [*told, ("f" * 64, ("population",))], 12_000) is None
    kinds = {number: [one for _, one in populations(("population",), number, told)] for number in range(3)}
    assert [len(kinds[number]) for number in range(3)] == [0, 3, 6 + 23]


def test_a_site_that_forgot_one_of_three_puts_in_nobody():
    told = told_of((range(280), range(200), range(100, 280)))["s0"]
    forgot = (*told[:2], type(told[2])(told[2].name, told[2].labels, ()))
    empty = count().support(nobody(SITES[0], VARIABLES))
    layout = Layout.of(empty, VARIABLES, count().rules, told, T, True)
    support = count().support(wards(range(120), range(140)))
    for known, some in ((told, True), (forgot, False)):
        numbers = dict(zip(layout.labels(), layout.numbers(support, Parameters(), (), known), strict=True))
        of_three = [n for label, n in numbers.items() if label.startswith(f"{CAPS[1]} between (0, 1, 2)")]
        assert len(of_three) == 23 + 7 and any(of_three) == some
        assert any(n for label, n in numbers.items() if label.startswith(f"{CAPS[1]} between (0, 1)"))
