"""Unions of masked sums beside earlier ones, against an oracle that puts all together and looks at all persons."""

from __future__ import annotations

import functools
import itertools
import operator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import evaluated_shares as evaluated
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.demands import Demands
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_atoms import depths
from sojourn.disclosure.joint_clauses import _beyond
from sojourn.disclosure.joint_earlier import vanished
from sojourn.disclosure.joint_families import families, is_label, whole
from sojourn.disclosure.joint_forms import caps, spread
from sojourn.disclosure.joint_unions import Between, beside_earlier
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
from sojourn.statistics.catalogue_comparisons import prevalence
from sojourn.statistics.catalogue_counts import count, crosstab, describe, histogram
from sojourn.statistics.catalogue_models import glm
from sojourn.study.question import Question

T = 5
DEMANDS = Demands(T, 5, 0.33)
SITES = tuple(f"s{number}" for number in range(5))
WIDE = 64
VARIABLES = with_site(
    {
        "ward": Variable(Kind.CATEGORY, tuple("abc")),
        "team": Variable(Kind.CATEGORY, tuple("xy")),
        "day": Variable(Kind.CATEGORY, tuple("1234567")),
        "age": Variable(Kind.NUMBER, low=0, high=120),
    },
    SITES,
)
Told = dict[str, tuple]


def people(rng: np.random.Generator, rows: int) -> list[Population]:
    levels = {"ward": 3, "team": 2, "day": 7}
    found = []
    for site in SITES:
        columns = {name: rng.integers(0, size, rows).astype(np.int32) for name, size in levels.items()}
        columns["age"] = rng.integers(20, 90, rows).astype(float)
        found.append(Population(site, VARIABLES, columns, np.arange(rows, dtype=np.uint32), {}))
    return found


def kept(everybody: list[Population], keep: list[np.ndarray]) -> list[Population]:
    """As a `where` leaves them."""
    return [
        Population(
            one.site, VARIABLES, {name: column[rows] for name, column in one.columns.items()}, one.persons[rows], {}
        )
        for one, rows in zip(everybody, keep, strict=True)
    ]


def layout_of(statistic, told=(), precise=True):
    empty = statistic.support(nobody(SITES[0], VARIABLES))
    return Layout.of(empty, VARIABLES, statistic.rules, told, T, precise)


def released(name, statistic, populations, hidden=0):
    """By site what is told where everything passes, or but for some cells."""
    layout = layout_of(statistic)
    bits = np.ones(len(layout.test(SITES, SITES[:3], DEMANDS).conditions), dtype=bool)
    bits[1 : 1 + hidden] = False
    return {one.site: layout.release(name * 64, bits, statistic.support(one)) for one in populations}


def asked(statistic, populations, told, precise=True):
    """The layout, and its bits by plain arithmetic."""
    by_site = [tuple(one[site] for one in told) for site in SITES]
    layout = layout_of(statistic, by_site[0], precise)
    test = layout.test(SITES, SITES[:3], DEMANDS)
    supports = [statistic.support(one) for one in populations]
    inputs = [layout.numbers(one, Parameters(), (), known) for one, known in zip(supports, by_site, strict=True)]
    return layout, evaluated.plain(test, np.stack(inputs))


def pooled(by_site):
    """Persons of all sites as the bits of one number."""
    return sum(1 << (WIDE * SITES.index(site) + person) for site, part in by_site.items() for person in part)


def all_cells_of(told):
    """Of each family of an earlier release the sets that add up, with who is in none of them."""
    first = told[SITES[0]]
    for chosen in families(first.labels) or ((),):
        cells = [pooled({site: one.persons[place] for site, one in told.items()}) for place in chosen]
        yield [*cells, pooled({site: one.persons[0] for site, one in told.items()}) & ~union(cells)]


def now_cells(layout, statistic, populations):
    own = {one.site: layout.sets(statistic.support(one)) for one in populations}
    places = layout.tables[0].places()
    return [pooled({site: sets[f"cell 0 {cell}"] for site, sets in own.items()}) for cell in places]


def union(cells):
    return functools.reduce(operator.or_, cells, 0)


def unions(cells):
    """Of none of them too."""
    choices = itertools.product((False, True), repeat=len(cells))
    return {union(itertools.compress(cells, choice)) for choice in choices}


def by_site(persons):
    return [(persons >> (WIDE * number) & (1 << WIDE) - 1).bit_count() for number in range(len(SITES))]


def few(persons):
    """Whether somebody is there, and beyond some site fewer than T."""
    return 0 < sum(by_site(persons)) < T + max(by_site(persons))


def few_or_spread(persons):
    """The same, as it is tested: of sites with few persons each, or with many."""
    return bool(persons) and all(sum(min(n, cap) for n in by_site(persons)) < T + cap for cap in caps(T))


def dangers(old, new, test=few):
    """Whether a union of earlier cells and one of new ones have few persons between them."""
    return any(test(u ^ w) for u in unions(old) for w in unions(new) if w)


BY = {
    "all": count(),
    "ward": count("ward"),
    "team": count("team"),
    "both": crosstab("ward", "team"),
    "day": count("day"),
}


@dataclass(frozen=True)
class Drawn:
    """A table, and one over some of its cells without a few persons; in either order."""

    table: str
    cells: tuple[bool, ...]
    other: str
    gone: tuple[int, int]
    seed: int
    rows: int
    first: bool
    hidden: int

    def both(self):
        """What is told, and then whose persons are asked for, by what."""
        everybody = people(np.random.default_rng(self.seed), self.rows)
        places = [self._places(one) for one in everybody]
        keep = [np.array(self.cells)[place] for place in places]
        for rows, gone in zip(keep, self.gone, strict=False):
            rows[np.flatnonzero(rows)[:gone]] = False
        some = kept(everybody, keep)
        if self.first:
            return released("f", BY[self.table], everybody, self.hidden), some, BY[self.other]
        return released("f", BY[self.other], some, self.hidden), everybody, BY[self.table]

    def _places(self, one):
        ward, team = one.columns["ward"], one.columns["team"]
        return {"ward": ward, "team": team, "both": 2 * ward + team}[self.table]


DRAWN = st.builds(
    Drawn,
    st.sampled_from(["ward", "team", "both"]),
    st.lists(st.booleans(), min_size=6, max_size=6).map(tuple),
    st.sampled_from(["all", "ward", "team"]),
    st.tuples(st.integers(0, 3), st.integers(0, 2)),
    st.integers(0, 10_000),
    st.integers(8, 40),
    st.booleans(),
    st.sampled_from([0, 0, 1]),
)


@settings(deadline=None, max_examples=40)
@given(DRAWN, st.booleans())
def test_what_passes_has_no_union_of_few_persons_beside_an_earlier_one(drawn, precise):
    told, later, statistic = drawn.both()
    layout, bits = asked(statistic, later, [told], precise)
    if bits.all():
        assert not any(dangers(cells, now_cells(layout, statistic, later)) for cells in all_cells_of(told))


def known_unions(layout, statistic, masks, cells):
    """All unions of new cells that follow from what is shown: as whole numbers of a combination of the shown sets."""
    hidden = masks.get("count", np.zeros(layout.tables[0].shape, dtype=bool)).ravel()
    blocks = [[place] for place in range(len(cells)) if not hidden[place]] + [list(np.flatnonzero(hidden))]
    return {
        union(cells[place] for place in itertools.chain(*itertools.compress(blocks, choice)))
        for choice in itertools.product((False, True), repeat=len(blocks))
    }


@settings(deadline=None, max_examples=60)
@given(DRAWN)
def test_what_is_shown_beside_hidden_cells_has_no_union_of_few_persons_beside_an_earlier_one(drawn):
    """Not every union must pass: one that the hidden cells keep unknown does no harm."""
    told, later, statistic = drawn.both()
    layout, bits = asked(statistic, later, [told])
    try:
        masks = layout.masks(
            bits, {name: shape for one in statistic.steps(VARIABLES) for name, shape in one.partial.items()}
        )
    except DisclosureRefused:
        return
    shown = known_unions(layout, statistic, masks, now_cells(layout, statistic, later))
    assert not any(few(u ^ w) for cells in all_cells_of(told) for u in unions(cells) for w in shown if w)


def test_the_same_table_again_is_not_refused_for_a_cell_of_few():
    everybody = people(np.random.default_rng(10), 40)
    for number, one in enumerate(everybody):
        one.columns["ward"][:] = np.arange(40) % 2
        one.columns["ward"][:1] = 2 if number < 4 else 0
    table = count("ward")
    told = released("f", table, everybody, hidden=0)
    told = {
        site: type(one)(one.name, ("population", "cell 0 1"), (one.persons[0], one.persons[2]))
        for site, one in told.items()
    }
    layout, bits = asked(table, everybody, [told])
    masks = layout.masks(bits, {name: shape for one in table.steps(VARIABLES) for name, shape in one.partial.items()})
    assert masks["count"].tolist() == [True, False, True]  # the same as before, and no cell more


@pytest.mark.parametrize("second", [count("ward"), crosstab("ward", "team")])
def test_a_cell_of_few_keeps_no_other_table_of_the_plan_back(second):
    """Also where the few are T in all, but not beyond each site."""
    everybody = people(np.random.default_rng(11), 60)
    for number, one in enumerate(everybody):
        one.columns["ward"][:] = np.arange(60) % 2
        one.columns["ward"][:4] = 2 if number < 2 else 0
    told = {
        site: type(one)("first", one.labels, one.persons)
        for site, one in released("f", count("ward"), everybody).items()
    }
    planned = (("first", (("ward",),)),)
    empty = second.support(nobody(SITES[0], VARIABLES))
    for tables, passes in ((planned, True), ((), False)):
        layout = Layout.of(empty, VARIABLES, second.rules, (told[SITES[0]],), T, True, tables)
        inputs = [layout.numbers(second.support(one), Parameters(), (), (told[one.site],)) for one in everybody]
        bits = evaluated.plain(layout.test(SITES, SITES[:3], DEMANDS), np.stack(inputs))
        assert bits[0] == passes


@settings(deadline=None, max_examples=20)
@given(DRAWN)
def test_what_fails_has_one_or_is_too_few_by_itself(drawn):
    """Beside what is asked anyhow of sets and pairs of sets, unions refuse nothing without a reason.

    That is so where each is compared with each; of one set beside five cells it is more than needs be.
    """
    told, later, statistic = drawn.both()
    layout, bits = asked(statistic, later, [told])
    assume(not layout.unions.splits)
    before = list(all_cells_of(told))
    assume(
        all(cells[1:] and not any(few(one) or not one for one in cells[:-1]) for cells in before)
    )  # or nothing was told
    new = now_cells(layout, statistic, later)
    if bits.all() or any(dangers(cells, new, few_or_spread) for cells in before):
        return
    small = any(few(one) or not one for one in (*new, union(new)))
    near = any(
        0 < sum(by_site(a ^ b)) < 2 * T + max(by_site(a ^ b))
        for cells in before
        for a in unions(new)
        for b in unions(cells)
    )
    assert small or near


@given(st.lists(st.integers(0, 12), min_size=3, max_size=8), st.integers(2, 8), st.booleans())
def test_as_many_as_sites_with_few_or_many_persons_have_are_T_beyond_each(persons, threshold, nobody):
    for cap in caps(threshold):
        form = spread(threshold, 0, cap, nobody)
        if not form.low <= sum(min(n, cap) for n in persons) <= form.high:
            assert sum(persons) - max(persons) >= threshold or (nobody and not any(persons))
    capped = [min(n, threshold) for n in persons]
    forms = _beyond("x", threshold, {"many x": 0}, len(persons), nobody)
    values = [sum(capped) - sum(capped[site] for site, _, _ in form.own) for form in forms]
    exact = all(not form.low <= value <= form.high for form, value in zip(forms, values, strict=True))
    assert exact == (sum(persons) - max(persons) >= threshold or (nobody and not any(persons)))


def max_of(persons):
    return max(sum(site == own for site, _ in persons) for own in SITES)


def one_less(everybody, row=0):
    keep = [
        np.arange(one.rows) != row if number == 0 else np.ones(one.rows, bool) for number, one in enumerate(everybody)
    ]
    return kept(everybody, keep)


@pytest.mark.parametrize("precise", [True, False])
@pytest.mark.parametrize("before", ["ward", "day"])
def test_two_wards_but_one_person_after_a_table_by_ward_and_the_other_way_round(before, precise):
    """Also of seven days, of which not every union is compared with every other."""
    everybody = people(np.random.default_rng(3), 210)
    for one in everybody:
        one.columns["ward"][:], one.columns["day"][:] = np.arange(210) % 3, np.arange(210) % 7
    two = kept(everybody, [one.columns[before] < 2 for one in everybody])
    fewer = one_less(two)
    table, single = BY[before], count()
    told, alone = released("f", table, everybody), released("e", single, fewer)
    assert not asked(single, fewer, [told], precise)[1][0]
    layout, bits = asked(table, everybody, [alone], precise)
    with pytest.raises(DisclosureRefused):
        layout.masks(bits, {name: shape for step in table.steps(VARIABLES) for name, shape in step.partial.items()})
    if precise and before == "ward":
        assert asked(single, two, [told])[1].all()  # exactly two wards: what is known already
    others = kept(everybody, [one.columns["age"] < 50 for one in everybody])
    for statistic in (single, BY["team"], table, glm("age ~ C(team)")):
        assert asked(statistic, others, [told], precise)[1].all()  # a group by another variable
    assert asked(table, everybody, [told], precise)[1].all()  # the same again


def test_what_is_left_beside_hidden_cells_is_known_as_well():
    """Of three wards one is shown, and everybody: so are the other two together."""
    everybody = people(np.random.default_rng(8), 60)
    two = kept(everybody, [one.columns["ward"] < 2 for one in everybody])
    told = released("f", count("ward"), everybody, hidden=1)
    assert told[SITES[0]].labels == ("population", "cell 0 2")
    assert asked(count(), two, [told])[1].all()
    assert not asked(count(), one_less(two), [told])[1][0]


@pytest.mark.parametrize("persons", [0, T - 1])
def test_a_cell_of_few_in_the_same_plan_is_shown_to_nobody(persons):
    """As if all that a plan asks before were shown; of fewer than T persons it is not, so that nothing follows."""
    everybody = people(np.random.default_rng(9), 210)
    for number, one in enumerate(everybody):
        one.columns["ward"][:] = np.where(np.arange(210) % 2, 0, 1)
        one.columns["ward"][:persons] = 2 if number == 0 else one.columns["ward"][:persons]
    told = released("f", count("ward"), everybody)
    planned = {site: type(one)("first", one.labels, one.persons) for site, one in told.items()}
    assert asked(count("day"), everybody, [planned])[1].all()
    assert not asked(count("day"), everybody, [told])[1].all()  # of another study it would have been shown


def test_only_tables_of_everybody_by_the_same_levels_are_sums_of_the_same_cells():
    """Two histograms of one column have bins of other edges: those between the edges may be few."""
    bins = [histogram("age", [0, *edges, 120]) for edges in ((20, 40, 50, 70), (20, 30, 49, 70))]
    other = [*bins, describe("age", by="ward"), prevalence("team", by="ward"), glm("age ~ C(ward)")]
    for first, second in itertools.permutations([count("ward"), *other], 2):
        assert not Question("s", "b", second, VARIABLES, None, (("a", first),)).tables_before()
    parted = Question("s", "b", crosstab("ward", "team"), VARIABLES, None, (("a", count("ward")), ("h", bins[0])))
    assert parted.tables_before() == (("a", (("ward",),)),)


def test_levels_of_a_model_add_up_too():
    everybody = people(np.random.default_rng(4), 60)
    told = released("f", glm("age ~ C(ward)"), everybody)
    two = kept(everybody, [one.columns["ward"] < 2 for one in everybody])
    assert asked(count(), two, [told])[1].all()
    assert not asked(count(), one_less(two), [told])[1][0]
    alone = released("e", count(), one_less(two))
    assert not asked(glm("age ~ C(ward)"), everybody, [alone])[1].all()


def test_two_earlier_populations_and_one_that_is_nearly_both():
    """The same by three plans: each ward, then both but one person; and everybody, one part, and the rest but one."""
    everybody = people(np.random.default_rng(5), 60)
    wards = [kept(everybody, [one.columns["ward"] == ward for one in everybody]) for ward in range(3)]
    both = kept(everybody, [one.columns["ward"] < 2 for one in everybody])
    first, second = (released(name, count(), one) for name, one in zip("ab", wards, strict=False))
    assert asked(count(), both, [first, second])[1].all()
    assert not asked(count(), one_less(both), [first, second])[1][0]
    third, whole_ = released("c", count(), wards[2]), released("d", count(), everybody)
    assert asked(count(), both, [third, whole_])[1].all()
    assert not asked(count(), one_less(both), [third, whole_])[1][0]


@given(*(st.sets(st.integers(0, 9)) for _ in range(3)), st.sampled_from([(1, 1), (1, -1), (-1, 1)]))
def test_between_is_where_a_sum_is_not_zero(now, one, other, signs):
    found = Between((0, 1), signs, "x").persons(BitMap(now), BitMap(one), BitMap(other))
    wanted = {p for p in range(10) if signs[0] * (p in one) + signs[1] * (p in other) != (p in now)}
    assert set(found) == wanted


@settings(deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=4),
    st.lists(st.integers(0, 3), min_size=12, max_size=12),
)
def test_no_sum_of_known_sets_is_nearer_to_new_cells_than_they_cut(known, cells):
    """Also where cells are weighed otherwise: each of -1 .. 2 for known sets, 1 and 2 for two new cells."""
    new = [BitMap(p for p in range(12) if cells[p] == number) for number in (1, 2)]
    depth = dict(zip(("one", "two", "both"), depths([*new, new[0] | new[1]], list(map(BitMap, known))), strict=True))
    members = np.array([[p in one for p in range(12)] for one in known], dtype=int)
    for weights, least in (((1, 0), depth["one"]), ((0, 1), depth["two"]), ((1, 1), depth["both"])):
        wanted = sum(
            weight * np.array([p in one for p in range(12)], dtype=int)
            for weight, one in zip(weights, new, strict=True)
        )
        apart = min(
            int((np.array(signs) @ members != wanted).sum())
            for signs in itertools.product((-1, 0, 1, 2), repeat=len(known))
        )
        assert apart >= least
    both = np.array([cells[p] if cells[p] in (1, 2) else 0 for p in range(12)])
    apart = min(
        int((np.array(signs) @ members != both).sum()) for signs in itertools.product((-1, 0, 1, 2), repeat=len(known))
    )
    assert apart >= min(depth["one"], depth["two"])


def test_a_site_that_lacks_or_has_left_puts_in_what_it_should():
    everybody = people(np.random.default_rng(6), 60)
    told = released("f", BY["ward"], everybody)
    for precise in (True, False):
        layout = layout_of(count("team"), (told[SITES[0]],), precise)
        support = count("team").support(everybody[0])
        forgot = type(told[SITES[0]])(told[SITES[0]].name, told[SITES[0]].labels, ())
        numbers = dict(zip(layout.labels(), layout.numbers(support, Parameters(), (), (forgot,)), strict=True))
        of_earlier = {label: n for label, n in numbers.items() if {"beside", "cut", "same"} & set(label.split())}
        assert of_earlier and not any(of_earlier.values())
        gone = dict(zip(layout.labels(), vanished(layout, (told[SITES[0]],), ()), strict=True))
        words = ("less", "many beside") if precise else ("some same",)
        assert all(any(n for label, n in gone.items() if label.startswith(word)) for word in words)


def test_families_are_told_from_labels_alone():
    labels = (
        "population",
        "level sex=F",
        "level sex=M",
        "level sex=F & ward=a & b",
        "level sex=M & ward=c",
        "level age part 0",
    )
    labels += (
        "cell 0 0",
        "cell 0 2",
        "cell 1 0",
        "margin 1 -1",
        "stretch 0 0 0 1",
        "stretch 0 0 0 2",
        "stretch 0 0 1 2",
    )
    assert families(labels) == ((1, 2), (3, 4), (5,), (6, 7), (8,), (10, 12))
    assert [whole(labels, one) for one in families(labels)] == [True, True, True, False, True, True]
    assert all(map(is_label, labels))
    for word in (
        "",
        "cell 0",
        "cell 0 x",
        "cell 0 -1",
        "margin 0",
        "level",
        "level ",
        "stretch 0 0 1",
        "other 1",
        "cell 0 ²",
    ):
        assert not is_label(word)


def test_too_many_unions_are_counted_before_they_are_laid_out():
    labels = ("population", *(f"cell 0 {place}" for place in range(300)))
    assert beside_earlier(labels, {}, [("f" * 64, labels)], 10_000) is None
