"""Sums of numbers over levels against the rows themselves, and their joint test against the rules on all rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from federated import BOOLEAN, category, population
from hypothesis import given, settings
from hypothesis import strategies as st

import evaluated_shares as evaluated
from sojourn.analysis.formula import parse
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.families.dominance import Dominance, PPercent
from sojourn.disclosure.joint_levels import WORDS, labels, of_levels, safe_alone, undominated_in_level
from sojourn.disclosure.parameters import Parameters
from sojourn.secrecy.joint import JointTest
from sojourn.statistics.families import family
from sojourn.statistics.level_sums import level_contributions
from sojourn.statistics.rows import Rows

NUMBER = Variable(Kind.NUMBER, low=0, high=9)
VARIABLES = {"y": NUMBER, "z": NUMBER, "a": category("k", "l", "m"), "b": category("f", "g"), "t": BOOLEAN}
NUMBERS = {"z": lambda of: of["z"], "I(z ** 2)": lambda of: of["z"] ** 2, "y": lambda of: of["y"]}
# Formula → which numbers are summed over the cells of which factors
TOLD = {
    "y ~ a + z": [("z", "a"), ("y", "a")],
    "y ~ a + t + z + I(z**2)": [(n, f) for n in NUMBERS for f in ("a", "t")],
    "y ~ a * b + z": [("z", "ab"), ("y", "ab")],
    "y ~ a * z + t": [("z", "at"), ("y", "a"), ("y", "t")],
    "y ~ b + a:z": [("z", "ab"), ("y", "b")],
}
ROWS = st.tuples(*(st.integers(0, n) for n in (2, 1, 1, 9, 9, 7)))  # a, b, t, z, y, the person


def made(drawn: list[tuple[int, ...]], formula: str) -> tuple[Rows, dict[str, np.ndarray]]:
    a, b, t, z, y, persons = np.array(drawn).T
    z, y = np.maximum(z - 4, 0) ** 2.0 / 3, np.maximum(y - 6, 0) * 2.0  # most have none
    of = {"a": a, "b": b, "t": t, "z": z, "y": y, "persons": persons}
    columns = {"a": np.array(list("klm"))[a], "b": np.array(list("fg"))[b], "t": t, "z": z, "y": y}
    site = population("Avon", VARIABLES, columns, persons)
    return Rows.of(parse(formula), None, family("gaussian", "identity"), site), of


def unsafe(sizes: list[float]) -> bool:
    """The rules on the contributions themselves: (2, 90) and p = 10 %."""
    first, second, total = (*sorted([0.0, 0.0, *sizes])[:-3:-1], sum(sizes))
    return 100 * (first + second) > 90 * total or 100 * (total - first - second) < 10 * first


@settings(max_examples=150, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=40), st.sampled_from(sorted(TOLD)))
def test_each_sum_over_a_level_is_judged_as_a_sum(drawn: list[tuple[int, ...]], formula: str) -> None:
    rows, of = made(drawn, formula)
    expected = set()
    for number, factors in TOLD[formula]:
        for cell in itertools.product(*(range(3 if name == "a" else 2) for name in factors)):
            inside = np.all([of[name] == level for name, level in zip(factors, cell, strict=True)], axis=0)
            values = NUMBERS[number](of)
            sizes = [values[inside & (of["persons"] == who)].sum() for who in set(of["persons"].tolist())]
            top = sorted([0.0, 0.0, *sizes])[:-3:-1]
            who = tuple(sorted(set(of["persons"][inside].tolist())))
            expected.add((tuple(round(one, 6) for one in (*top, sum(sizes))), who, unsafe(sizes)))
    found = set()
    rules = Dominance(2, 90.0, 10), PPercent(10.0, 10)
    for sums in (one for one in level_contributions(rows, parse(formula).outcome, "gaussian") if not one.local):
        hidden = np.logical_or.reduce([rule._unsafe(sums) for rule in rules])
        for line, place in np.ndindex(sums.total.shape):
            sizes = tuple(round(float(one[line, place]), 6) for one in (sums.largest, sums.second, sums.total))
            found.add((sizes, tuple(sums.behind[place]), bool(hidden[line, place])))
    assert found == expected


@settings(max_examples=50, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=40), st.sampled_from(sorted(TOLD)))
def test_no_cross_product_of_a_level_is_left_out(drawn: list[tuple[int, ...]], formula: str) -> None:
    """Each entry of X'X and X'y of a level and a number is a sum of judged ones: all are, as none is negative here."""
    rows, _ = made(drawn, formula)
    totals = [sums.total for sums in level_contributions(rows, parse(formula).outcome, "gaussian") if not sums.local]
    reached = {0.0}
    for line in (one for total in totals for one in total):
        reached |= {round(sum(part), 6) for n in range(len(line) + 1) for part in itertools.combinations(line, n)}
    level = [all(piece.factor.name in "abt" for piece in column) for column in rows.layout.columns]
    for i, j in itertools.product(range(len(level)), range(len(level) + 1)):
        other = rows.y if j == len(level) else rows.x[:, j]
        if level[i] and rows.layout.columns[i] and (j == len(level) or not level[j]):
            assert round(float(rows.x[:, i] @ other), 6) in reached


VALUES = st.lists(st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 5.0, 30.0, 100.0]), max_size=7), min_size=3, max_size=4)


@settings(max_examples=400, deadline=None)
@given(VALUES)
def test_what_passes_jointly_is_safe_for_all_and_beyond_each_site(sites: list[list[float]]) -> None:
    assert not passes(sites) or all(map(safe_beyond, [sites] * (len(sites) + 1), [None, *range(len(sites))]))


@pytest.mark.parametrize(
    ("sites", "shown"),
    [
        ([[5.0] * 4] * 3, True),
        ([[5.0]] * 10, True),  # one person at each: by the sum alone
        ([[30.0, 5.0, 5.0, 5.0, 5.0]] + [[5.0] * 5] * 3, True),
        ([[100.0], [0.0] * 9, [0.0] * 9], False),
        ([[100.0, 1.0], [1.0] * 3, [1.0] * 3], False),
        ([[30.0] * 9, [], []], False),  # of one site
        ([[0.0] * 5] * 3, True),  # there is no sum
    ],
)
def test_sums_that_pass_jointly(sites: list[list[float]], shown: bool) -> None:
    assert passes(sites) == shown


def passes(sites: list[list[float]]) -> bool:
    """Whether the joint test of one sum over these persons' values passes, each site's own."""
    names = labels("0 0")
    places = [[names.index(f"{word} 0 0 {level}") for level in range(8)] for word in WORDS]
    roster = tuple(f"s{number:02}" for number in range(len(sites)))
    clause = undominated_in_level(places, names.index("there 0 0"), len(sites))
    test = JointTest(roster, roster[:3], len(names), ((clause,),))
    numbers = []
    for values in sites:
        rows, _ = _alone(values)
        [sums] = [one for one in level_contributions(rows, None, "gaussian") if one.behind and not one.local]
        found = of_levels(0, sums, [128.0, 128.0], Parameters(), ())
        numbers.append([found[name] for name in names])
    return bool(evaluated.plain(test, np.array(numbers)).all())


def _alone(values: list[float]) -> tuple[Rows, dict[str, float]]:
    """Persons of one level with these values; the other level is empty."""
    columns = {"z": np.array(values), "y": np.zeros(len(values)), "t": np.zeros(len(values), dtype=np.int8)}
    site = population("Avon", VARIABLES, columns)
    return Rows.of(parse("y ~ t + z"), None, family("gaussian", "identity"), site), {}


def safe_beyond(sites: list[list[float]], site: int | None) -> bool:
    """By the rules of all values; beyond a site nobody knows a second one, so that p % is asked of the largest."""
    values = [one for number, own in enumerate(sites) for one in own if number != site]
    first, second, total = (*sorted([0.0, 0.0, *values])[:-3:-1], sum(values))
    if site is None:
        return safe_alone(first, second, total, Parameters())
    return 100 * (total - first) >= 10 * first
