"""Squares about a mean: hidden alone where they are nearly one person's, and not to be had from what is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import evaluated_shares as evaluated
from sojourn.analysis.partial import Partial
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.statistic import Ask, Gathered, Statistic
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.families.dominance import percent_of_squares
from sojourn.disclosure.gate import Header, release
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_squares import LEVELS, Squares
from sojourn.disclosure.output import Output
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import DisclosureRefused
from sojourn.statistics.catalogue_comparisons import balance, correlation, t_test
from sojourn.statistics.catalogue_counts import describe
from sojourn.statistics.catalogue_models import elastic_net, glm, lmm

HEADER = Header("s", "p", "a", 0, "q", "Avon", "f", "", "", 0, "test", "")
SITES = ("Avon", "Brent", "Cam")
WARDS = ("a", "b", "c", "d")
VARIABLES = with_site(
    {
        "len": Variable(Kind.NUMBER, low=0, high=500),
        "age": Variable(Kind.NUMBER, low=0, high=120),
        "ill": Variable(Kind.BOOLEAN),
        "ward": Variable(Kind.CATEGORY, levels=WARDS),
        "sex": Variable(Kind.CATEGORY, levels=("F", "M")),
    },
    SITES,
)


def people(lengths: Any, ward: Any = 0, site: str = "Avon", persons: Any = None) -> Population:
    n = len(lengths)
    random = np.random.default_rng(n)
    columns = {
        "len": np.asarray(lengths, dtype=float),
        "age": random.integers(20, 90, n).astype(float),
        "ill": (np.arange(n) % 2).astype(np.int8),
        "ward": np.broadcast_to(np.asarray(ward, dtype=np.int32), (n,)).copy(),
        "sex": (np.arange(n) // 2 % 2).astype(np.int32),
    }
    who = np.arange(n) if persons is None else persons
    return Population(site, VARIABLES, columns, np.asarray(who, dtype=np.uint32), {})


def told(statistic: Statistic, population: Population) -> list[Partial]:
    """What a site gives away in each step, to an asker that follows its own sums."""
    support, steps = statistic.support(population), {step.name: step for step in statistic.steps(VARIABLES)}
    coordinator, found = statistic.coordinator(VARIABLES), []
    ask = next(coordinator)
    while len(found) < 2:
        partial = statistic.local(ask.step, population, ask.broadcast)
        output = Output(statistic.name, steps[ask.step], partial, support, VARIABLES, statistic.rules)
        found.append(release(output, StandardPolicy(), HEADER).partial)
        if len(found) < 2:
            ask = coordinator.send(Gathered(found[-1], {"Avon": found[-1]}, {"Avon": 9}))
    return found


def one_persons(parts: Any) -> bool:
    """Whether one or two of these squares are nearly all: by the two rules as they are written."""
    ordered = [*sorted((float(part) for part in parts), reverse=True), 0.0, 0.0]
    whole, largest, second = sum(ordered), *ordered[:2]
    if whole < 1e-9 * largest or whole == 0:
        return False
    return largest + second > 0.9 * whole * (1 + 1e-9) or whole - largest - second < 0.21 * largest * (1 - 1e-9)


@st.composite
def wards(draw: Any) -> list[np.ndarray]:
    """Groups of different means and spreads, some with one or two values far out."""
    groups = []
    for _ in WARDS[: draw(st.integers(2, 4))]:
        random = np.random.default_rng(draw(st.integers(0, 10**6)))
        values = draw(st.sampled_from([50, 100, 200])) + random.normal(0, draw(st.sampled_from([0.1, 1, 10])), 40)
        for place in range(draw(st.integers(0, 2))):
            values[place] += draw(st.sampled_from([5, 40, 200]))
        groups.append(values[: draw(st.sampled_from([4, 15, 40]))])
    return groups


@given(wards())
@settings(max_examples=25)
def test_nothing_that_is_shown_tells_of_one_persons_distance(groups: list[np.ndarray]) -> None:
    places = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    everybody, parts = np.concatenate(groups), [(group - group.mean()) ** 2 for group in groups]
    try:
        sums, squares = told(describe("len", by="ward"), people(everybody, places))
    except DisclosureRefused:
        return  # so few that nothing leaves
    hidden = squares.hidden("group_squares.len")[: len(groups)]
    assert not any(one_persons(part) for part, gone in zip(parts, hidden, strict=True) if not gone)
    if not squares.hidden("all_squares.len")[0]:
        assert not one_persons((everybody - everybody.mean()) ** 2)
        if hidden.any():  # the squares of all less those that are shown, and less what lies between
            assert not one_persons(np.concatenate([parts[place] for place in np.flatnonzero(hidden)]))
    # Numbers and means are as they would be without this rule.
    bare = replace(describe("len", by="ward").support(people(everybody, places)), squares=())
    step = describe("len", by="ward").steps(VARIABLES)[0]
    output = Output("describe", step, sums, bare, VARIABLES, describe("len").rules)
    plain = release(output, StandardPolicy(), HEADER).partial
    assert all((plain.hidden(name) == sums.hidden(name)).all() for name in sums.arrays)


ASKS = (describe("len"), describe("len", by="sex"), t_test("len", by="sex"), balance("len", "ward", by="sex"))


@pytest.mark.parametrize("ask", ASKS)
def test_one_value_far_out_hides_squares_alone(ask: Statistic) -> None:
    usual = 40 + np.random.default_rng(1).normal(0, 1, 400)
    for lengths, gone in ((usual, False), (np.r_[430.0, usual[1:]], True)):
        sums, squares = told(ask, people(lengths, np.random.default_rng(4).integers(0, 4, 400)))
        assert set(sums.suppressed) <= {"missing"}
        assert {name for name, mask in squares.suppressed.items() if mask.all()} == {
            name for name in squares.arrays if gone and name.endswith("_squares.len")
        }


@pytest.mark.parametrize("percent", [1.0, 10.0, 90.0])
def test_p_percent_of_a_distance_is_more_of_its_square(percent: float) -> None:
    """Who knows all squares but the largest bounds the distance no closer than by p percent, at the very edge."""
    left = percent_of_squares(percent) / 100
    assert (1 + left) ** 0.5 == pytest.approx(1 + percent / 100)


@pytest.mark.parametrize(("left", "gone"), [(0.15, True), (0.25, False)])
def test_p_percent_is_asked_of_the_distance(left: float, gone: bool) -> None:
    """Of all squares but the largest there are 15 or 25 percent of it: the distance is known to within 7 or 12."""
    out = (100 / left) ** 0.5
    lengths = np.r_[np.full(50, 49.0), np.full(49, 51.0), 50 + out]
    parts = np.sort((lengths - lengths.mean()) ** 2)
    assert parts[:-2].sum() / parts[-1] == pytest.approx(left, rel=0.2)
    assert told(describe("len"), people(lengths))[1].hidden("all_squares.len").all() == gone


def test_rows_of_one_person_count_together() -> None:
    """Ten visits far out of one person are nearly all squares, though each of them is a tenth."""
    lengths = np.r_[np.full(10, 300.0), 40 + np.random.default_rng(2).normal(0, 1, 200)]
    persons = np.r_[np.zeros(10), np.arange(1, 201)]
    assert told(describe("len"), people(lengths, persons=persons))[1].hidden("all_squares.len").all()
    assert not told(describe("len"), people(lengths))[1].suppressed


@pytest.mark.parametrize("ask", [glm("len ~ sex"), lmm("len ~ age"), elastic_net("len ~ age + sex"), glm("len ~ 1")])
def test_a_model_that_leaves_the_squares_of_one_is_refused(ask: Statistic) -> None:
    """With so many rows one value is no great part of the terms, and nearly all of their squares."""
    usual = 40 + np.random.default_rng(3).normal(0, 1, 3000)
    step = ask.steps(VARIABLES)[0]
    for lengths, gone in ((usual, False), (np.r_[430.0, usual[1:]], True)):
        support, partial = ask.support(people(lengths)), ask.local(step.name, people(lengths), {})
        output = Output(ask.name, step, partial, support, VARIABLES, ask.rules)
        if gone:
            with pytest.raises(DisclosureRefused, match="squares about a mean"):
                release(output, StandardPolicy(), HEADER)
        else:
            release(output, StandardPolicy(), HEADER)


# ---- under masks


def joint(ask: Statistic, sites: list[Population], parameters: Parameters | None = None) -> tuple[Squares, np.ndarray]:
    """The test of squares of these sites' persons, evaluated in the open."""
    parameters = parameters or Parameters()
    layout = Layout.of(ask.support(nobody("Avon", VARIABLES)), VARIABLES, ask.rules)
    parts = [ask.local(ask.steps(VARIABLES)[0].name, one, {}) for one in sites]
    summed = Partial({name: sum(part[name] for part in parts) for name in parts[0].arrays})
    coordinator = ask.coordinator(VARIABLES)
    next(coordinator)
    waiting: Ask = coordinator.send(Gathered(summed, {}))
    empty = ask.distances(nobody("Avon", VARIABLES), waiting.broadcast)
    squares = Squares.of(layout, empty, {})
    found = [squares.numbers(ask.support(one), ask.distances(one, waiting.broadcast), parameters, ()) for one in sites]
    test = squares.test(SITES, SITES)
    assert test is not None and not squares.nothing().any()
    assert not evaluated.plain(test, np.stack([squares.unknown()] * 3)).any()
    return squares, evaluated.plain(test, np.stack(found))


@given(
    st.integers(0, 10**6),
    st.sampled_from([(4, 300, 300), (60, 60, 60), (0, 300, 300), (4, 300, 4)]),
    st.sampled_from([0, 10, 60, 400]),
)
@settings(max_examples=30)
def test_no_deviation_over_all_sites_passes_that_is_one_persons(seed: int, sizes: tuple[int, ...], out: int) -> None:
    random = np.random.default_rng(seed)
    lengths = [40 + random.normal(0, 1, n) for n in sizes]
    lengths[int(random.choice(np.flatnonzero(sizes)))][0] += out
    sites = [people(one, site=site) for one, site in zip(lengths, SITES, strict=True)]
    _, bits = joint(describe("len"), sites)
    mean = np.concatenate(lengths).mean()
    parts = [(one - mean) ** 2 for one in lengths]
    if bits[0]:
        largest = max(part.max(initial=0.0) for part in parts)
        assert not one_persons(np.concatenate(parts))
        for site in range(3):  # which knows its own part, and everybody's mean
            others = np.concatenate([part for place, part in enumerate(parts) if place != site])
            if others.max() == largest:
                assert others.sum() >= 1.21 * largest
    else:
        assert out or min(sizes) < 60  # of ordinary values of many persons nothing is hidden


def test_each_table_has_one_bit_and_a_failing_one_hides_all_its_squares() -> None:
    usual = [40 + np.random.default_rng(n).normal(0, 1, 200) for n in range(3)]
    sites = [people(one, np.arange(200) % 4, site=site) for one, site in zip(usual, SITES, strict=True)]
    squares, bits = joint(describe("len", by="ward"), sites)
    assert bits.all() and len(bits) == len(squares.parts) == 3  # everybody, within the groups, each group
    assert squares.masks(bits) == {}
    masks = squares.masks(np.array([True, True, False]))
    assert list(masks) == ["group_squares.len"] and masks["group_squares.len"].all()
    assert set(squares.masks(None)) == {"all_squares.len", "group_squares.len"}


def test_what_is_left_of_a_margin_beside_hidden_cells_is_asked_too() -> None:
    layout = Layout.of(describe("len", by="ward").support(nobody("Avon", VARIABLES)), VARIABLES, ("minimum frequency",))
    empty = describe("len", by="ward").distances(nobody("Avon", VARIABLES), _centres())
    gone = np.array([True, True, False, False])
    squares = Squares.of(layout, empty, {"group_squares.len": gone})
    assert squares.parts[-1].cells == ((2,), (3,), (0, 1))
    everything = Squares.of(layout, empty, {"group_squares.len": np.ones(4, dtype=bool)})
    assert [part.output for part in everything.parts] == [("all_squares.len",)] * 2


def _centres() -> dict[str, np.ndarray]:
    return {"all_centre": np.zeros((1, 1)), "group_centre": np.zeros((1, 4))}


def test_a_correlation_or_model_is_refused_as_a_whole() -> None:
    usual = [40 + np.random.default_rng(n).normal(0, 1, 300) for n in range(3)]
    for ask in (correlation("len", "age", "ill"), elastic_net("len ~ age")):
        sites = [people(one, site=site) for one, site in zip(usual, SITES, strict=True)]
        squares, bits = joint(ask, sites)
        assert bits.all() and squares.masks(bits) == {}
        sites[0].columns["len"][0] = 430.0
        squares, bits = joint(ask, sites)
        with pytest.raises(DisclosureRefused):
            squares.masks(bits)
        sites[0].columns["len"][0] = 40.0


def test_no_range_no_sum_and_a_test_too_large_is_none() -> None:
    ask = describe("len")
    layout = Layout.of(ask.support(nobody("Avon", VARIABLES)), VARIABLES, ask.rules)
    open_ended = {**VARIABLES, "len": Variable(Kind.NUMBER)}
    with pytest.raises(DisclosureRefused):
        Squares.of(layout, ask.distances(nobody("Avon", open_ended), {"all_centre": np.zeros((1, 1))}), {})
    one = Squares.of(layout, ask.distances(nobody("Avon", VARIABLES), {"all_centre": np.zeros((1, 1))}), {})
    assert one.inputs == 1 + 2 * LEVELS
    many = replace(one, parts=one.parts * 500)
    assert many.test(SITES, SITES) is None and set(many.masks(None)) == {"all_squares.len"}


def test_evidence_of_other_squares_is_no_evidence() -> None:
    squares, _ = joint(describe("len"), [people(40 + np.random.default_rng(n).normal(0, 1, 60)) for n in range(3)])
    with pytest.raises(ValueError, match="other squares"):
        squares.numbers(describe("len").support(people([1.0])), (), Parameters(), ())


def test_what_clear_answers_hid_is_not_taken_for_told() -> None:
    """All persons' number is known: a site's part is nothing new where it might leave by itself, and else must hide."""
    usual = 40 + np.random.default_rng(6).normal(0, 1, 300)
    everybody = people(usual).persons
    clear = [BitMap(everybody)]
    for lengths, told_already in ((usual, True), (np.r_[430.0, usual[1:]], False)):
        one = people(lengths)
        squares, _ = joint(describe("len"), [one, people(usual), people(usual)])
        about = describe("len").distances(one, {"all_centre": np.full((1, 1), 40.0)})
        put_in = squares.numbers(describe("len").support(one), about, Parameters(), clear)
        assert put_in.any() != told_already
        assert not put_in.reshape(-1, 1 + 2 * LEVELS)[:, 1 + LEVELS :].any()  # and nobody hides behind it
    ask = describe("len")
    layout = Layout.of(ask.support(nobody("Avon", VARIABLES)), VARIABLES, ask.rules)
    for lengths, told_already in ((usual, True), (np.r_[430.0, np.full(299, 0.01)], False)):
        numbers = dict(
            zip(layout.labels(), layout.numbers(ask.support(people(lengths)), Parameters(), clear), strict=True)
        )
        assert numbers["there 0 0"] == (0 if told_already else 1)
