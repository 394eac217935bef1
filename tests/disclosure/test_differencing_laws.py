"""The laws of differencing, judged by exact elimination and by trying everything."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from itertools import combinations, pairwise, permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.disclosure.differencing import PAIRS, Bounds, Surroundings, control, find, kept
from sojourn.disclosure.gate import judge
from sojourn.disclosure.known import Known, Sets
from sojourn.disclosure.ledger import TELLS, Charge, charges, comparable, digest, hidden_cells
from sojourn.disclosure.modular import eliminate, random_prime, times
from sojourn.disclosure.output import Finding, Tier, Verdict
from sojourn.disclosure.pairs import near
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.span import Span
from sojourn.disclosure.trackers import TooMany, trackers

PLACE = importlib.util.spec_from_file_location("exact", Path(__file__).with_name("exact.py"))
exact = importlib.util.module_from_spec(PLACE)
PLACE.loader.exec_module(exact)

PEOPLE = 9
SMALL = st.lists(
    st.sets(st.integers(0, PEOPLE - 1), min_size=3).map(lambda persons: BitMap(persons)), min_size=1, max_size=9
)


def charged(persons: BitMap, measure: tuple[str, ...] = (), snapshot: str = "s", label: str = "population") -> Charge:
    return Charge(snapshot, "a", measure, label, persons)


def nothing(threshold: int) -> Known:
    return Known(span=Span(threshold))


def told(known: Known, persons: BitMap, bounds: Bounds) -> Known | None:
    """What is known after one more set; None where it is refused."""
    hits, later = find(known, known.plus([charged(persons)]), "s", bounds)
    return None if hits else later.followed(bounds.span)


@settings(max_examples=40, deadline=None)
@given(SMALL, st.sampled_from([3, 4]))
def test_no_small_set_ever_follows_from_what_was_released(asked, threshold):
    known, bounds, released = nothing(threshold), Bounds(threshold, share=1.0), []
    for persons in asked:
        if len(persons) >= threshold and (later := told(known, persons, bounds)) is not None:
            known = later
            released.append(persons)
    assert not exact.disclosed(released, PEOPLE, threshold)
    assert not any(exact.near(a, b, threshold) for a in released for b in released)


@settings(max_examples=40, deadline=None)
@given(SMALL, st.sampled_from([3, 4]))
def test_nothing_is_refused_but_for_a_pair_or_what_follows_anew(asked, threshold):
    """No hit without a reason that the judge sees: few persons for whom some combination is not zero."""
    known, bounds, released = nothing(threshold), Bounds(threshold, share=1.0), []
    for persons in asked:
        later = told(known, persons, bounds)
        if later is not None:
            known = later
            released.append(persons)
            continue
        pair = any(exact.near(persons, other, threshold) for other in released)
        rows = exact.basis([*released, persons], PEOPLE)
        assert pair or _small_support(rows, threshold)


def _small_support(rows, threshold):
    """Whether a combination of the rows is not zero for fewer than T persons only: then their columns lose rank."""
    columns = np.array(rows, dtype=float)
    for few in _few(threshold):
        others = np.delete(columns, list(few), axis=1)
        if np.linalg.matrix_rank(others) < len(rows):
            return True
    return False


def _few(threshold):
    return combinations(range(PEOPLE), threshold - 1)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(10, 60), min_size=2, max_size=5), st.permutations(range(4)), st.integers(1, 4))
def test_one_partition_in_any_order_and_any_number_of_times_always_passes(sizes, order, times_asked):
    ends = np.cumsum([0, *sizes])
    cells = [BitMap(range(a, b)) for a, b in pairwise(ends)]
    known, bounds = nothing(10), Bounds(10)
    for _ in range(times_asked):
        for place in order:
            if place < len(cells):
                known = told(known, cells[place], bounds)
                assert known is not None
        known = told(known, BitMap(range(ends[-1])), bounds)
        assert known is not None


ATOMS = (3, 4, 5, 20, 20, 30, 30, 40)  # persons whom no set below tells apart; of the small ones two together are few


def test_what_follows_from_many_sets_that_are_no_pairs():
    """Unions of atoms, most of them large, so that pairs alone would let small sets through: they do, and the span
    does not. The judge works on the atoms."""
    ends = np.cumsum([0, *ATOMS])
    atoms = [BitMap(range(a, b)) for a, b in pairwise(ends)]
    few = [chosen for size in (1, 2) for chosen in combinations(range(3), size)]
    random, let_through = np.random.default_rng(2), 0
    for _ in range(40):
        known, bounds, released, by_pairs = nothing(10), Bounds(10, share=1.0), [], []
        for chosen in random.random((12, len(ATOMS))) < 0.5:
            persons = BitMap.union(BitMap(), *(atoms[place] for place in np.flatnonzero(chosen)))
            of_atoms = BitMap(np.flatnonzero(chosen).astype(np.uint32))
            if len(persons) < 10:
                continue
            if not any(exact.near(persons, other, 10) for _, other in by_pairs):
                by_pairs.append((of_atoms, persons))
            if (later := told(known, persons, bounds)) is not None:
                known = later
                released.append(of_atoms)
        assert not _follow(released, few)
        let_through += bool(_follow([of_atoms for of_atoms, _ in by_pairs], few))
    assert let_through >= 10


def test_four_populations_that_tell_of_the_few_who_lack_two_variables():
    """All persons, those with x, those with z and those with both, in any order: the last one is refused."""
    everybody, no_x, bounds = BitMap(range(900)), BitMap(range(180)), Bounds(10)
    for lacking, passes in ((5, False), (50, True)):
        no_z = BitMap(range(180 - lacking, 360 - lacking))
        for order in permutations([everybody, everybody - no_x, everybody - no_z, everybody - no_x - no_z]):
            known = nothing(10)
            for persons in order[:3]:
                known = told(known, persons, bounds)
            assert (told(known, order[3], bounds) is not None) == passes


def _follow(sets, few):
    """Those of the small sets of atoms that follow."""
    rows, places = exact.basis(sets, len(ATOMS)), range(len(ATOMS))
    return [chosen for chosen in few if not any(exact.reduced([Fraction(i in chosen) for i in places], rows))]


def test_what_was_disclosed_before_is_not_blamed_on_the_next():
    known = nothing(10).plus([charged(BitMap(range(100))), charged(BitMap(range(99)))]).followed(10**6)
    assert told(known, BitMap(range(40)), Bounds(10)) is not None
    assert told(known, BitMap(range(98)), Bounds(10)) is None


def test_the_same_set_about_another_column_is_compared_again():
    """Where checkers let both counts out, the sums are another matter."""
    known = nothing(10).plus([charged(BitMap(range(100)), ("age",)), charged(BitMap(range(99)))]).followed(10**6)
    assert not find(known, known.plus([charged(BitMap(range(99)))]), "s", Bounds(10))[0]
    assert find(known, known.plus([charged(BitMap(range(99)), ("age",))]), "s", Bounds(10))[0]


def test_one_of_two_large_differences_is_no_pair():
    """A \\ B of 3 and B \\ A of 50: of f(A) - f(B) nobody can tell the three apart; with the common part one can."""
    known = nothing(10).plus([charged(BitMap(range(100)))]).followed(10**6)
    known = told(known, BitMap(range(3, 150)), Bounds(10))
    assert known is not None
    assert told(known, BitMap(range(3, 100)), Bounds(10)) is None


class TestSearch:
    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.sets(st.integers(0, 60), min_size=1), min_size=2, max_size=12), st.integers(1, 12))
    def test_pairs_are_those_of_the_rule(self, sets, threshold):
        persons = [BitMap(members) for members in {frozenset(members) for members in sets}]
        known = Sets().plus(persons)
        for place, one in enumerate(persons):
            expected = {i for i, other in enumerate(persons) if exact.near(one, other, threshold)}
            assert set(near(known, place, threshold)) == expected

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.sets(st.integers(0, 20), min_size=1), min_size=3, max_size=7), st.integers(2, 6))
    def test_trackers_are_all_combinations_of_three(self, sets, threshold):
        persons = [BitMap(members) for members in {frozenset(members) for members in sets}]
        if len(persons) < 3:
            return
        fresh = [len(persons) - 1]
        found = {places for places, _ in trackers(Sets().plus(persons), fresh, threshold, 10**6)}
        for a in range(len(persons)):
            for b in range(a + 1, len(persons)):
                for c in range(len(persons)):
                    if c in (a, b) or fresh[0] not in (a, b, c):
                        continue
                    sums = [(p in persons[a]) + (p in persons[b]) - (p in persons[c]) for p in range(21)]
                    assert ((a, b, c) in found) == (0 < sum(value != 0 for value in sums) < threshold)

    def test_a_person_may_stand_in_a_tracker_twice(self):
        sets = Sets().plus([BitMap([0, 1]), BitMap([0, 1, 2, 3]), BitMap([0])])
        assert (0, 1, 2) in {places for places, _ in trackers(sets, [2], 5, 10**6)}

    def test_too_many_triples_are_not_searched_in_part(self):
        sets = Sets().plus([BitMap(range(i, i + 20)) for i in range(40)])
        with pytest.raises(TooMany):
            list(trackers(sets, list(range(40)), 30, 10))

    @settings(max_examples=30, deadline=None)
    @given(st.sets(st.integers(0, 200_000), max_size=50), st.integers(0, 1000), st.integers(0, 9000))
    def test_one_set_has_one_digest(self, members, start, length):
        one = BitMap(members)
        one.add_range(start, start + length)
        other = BitMap(sorted(set(members) | set(range(start, start + length)), reverse=True))
        other.run_optimize()
        assert digest(one) == digest(other | BitMap()) == digest(BitMap.deserialize(one.serialize()))


class TestArithmetic:
    @settings(max_examples=30, deadline=None)
    @given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32))
    def test_products(self, n, m, k, seed):
        prime, random = random_prime(), np.random.default_rng(seed)
        a, b = random.integers(0, prime, (n, m)), random.integers(0, prime, (m, k)).astype(np.int32)
        expected = (a.astype(object) @ b.astype(object)) % prime
        assert (times(a, b, prime) == expected).all()

    def test_a_long_product_stays_exact(self):
        prime = random_prime()
        a = np.full((1, 40_000), prime - 1)
        assert times(a, np.full((40_000, 1), prime - 1, dtype=np.int32), prime)[0, 0] == 40_000 % prime

    @settings(max_examples=40, deadline=None)
    @given(st.integers(1, 30), st.integers(1, 20), st.integers(0, 2**32))
    def test_reduction(self, n, m, seed):
        prime, random = random_prime(), np.random.default_rng(seed)
        rows = random.integers(0, 2, (n, m))
        reduced, pivots = eliminate(rows, np.arange(m), prime)
        assert len(pivots) == np.linalg.matrix_rank(rows)
        assert (reduced[:, pivots] == np.eye(len(pivots), dtype=int)).all()
        assert not ((rows - times(rows[:, pivots], reduced, prime)) % prime).any()


class TestBounds:
    KNOWN = nothing(10).plus([charged(BitMap(range(start, 400))) for start in (0, 100, 200)])

    def test_beyond_the_span_everything_is_held(self):
        bounds = Bounds(10, span=5)
        assert told(self.KNOWN.followed(bounds.span), BitMap(range(50, 300)), bounds) is None

    def test_or_goes_by_pairs_and_trackers_where_the_site_says_so(self):
        bounds = Bounds(10, span=5, beyond=PAIRS)
        known = self.KNOWN.followed(bounds.span)
        assert told(known, BitMap(range(50, 300)), bounds) is not None
        assert told(known, BitMap(range(103, 400)), bounds) is None
        part = told(known, BitMap(range(105)), bounds)  # a tracker: 1_A + 1_B - 1_all is five persons
        assert part is None

    def test_too_much_about_a_group(self):
        """Independent numbers about 128 persons: from a fifth on they are refused."""
        random = np.random.default_rng(5)
        known, bounds, passed = nothing(10), Bounds(10), 0
        for _ in range(60):
            later = told(known, BitMap(np.flatnonzero(random.random(128) < 0.5).astype(np.uint32)), bounds)
            if later is not None:
                known, passed = later, passed + 1
        assert 22 <= passed <= 25


def tables(counts: list[int], outputs):
    """A table of counts over the first persons."""
    return outputs.table(counts, rules=("minimum frequency",))


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 6), min_size=2, max_size=4),
    earlier=st.lists(st.sets(st.integers(0, 13), min_size=3), max_size=3),
)
def test_hiding_cells_leaves_nothing_that_follows(counts, earlier, outputs):
    """Whatever cells a table loses, of what it still shows no small set follows, and no pair is near."""
    threshold, people = 3, 24
    bounds, known, released = Bounds(threshold, share=1.0), nothing(threshold), []
    for persons in earlier:
        if (later := told(known, BitMap(persons), bounds)) is not None:
            known = later
            released.append(BitMap(persons))
    output = tables(counts, outputs)
    finding = judge(output, StandardPolicy(Parameters(threshold=threshold)))
    judged = control(output, finding, known, ("s", "a"), bounds)
    if judged.finding.verdict is Verdict.REFUSE or judged.finding.tier is Tier.HIGH:
        assert not judged.charges and judged.known is known
        return
    [cells] = output.support.cells
    hidden = hidden_cells(output.partial, cells, judged.finding.cells)
    assert (hidden | ~hidden_cells(output.partial, cells, finding.cells)).all()  # never loosened
    shown = [persons for persons, gone in zip(cells.persons, hidden.flat, strict=True) if persons and not gone]
    everything = [*released, *shown, output.support.population]
    assert not exact.disclosed(everything, people, threshold)
    assert not any(exact.near(a, b, threshold) for a in everything for b in everything)
    assert {charge.digest for charge in judged.charges} >= {digest(persons) for persons in shown}


def test_a_near_cell_is_hidden_with_a_complement_and_stays_so(outputs):
    """Ward 2 of 30 is a known set but for one person: it goes, another one with it, and in later rounds too."""
    output = outputs.table([50, 30, 40, 60], rules=("minimum frequency",), **{"sum": [1.0, 2.0, 3.0, 4.0]})
    known = nothing(10).plus([charged(BitMap(range(50, 79)))]).followed(10**6)
    finding = judge(output, StandardPolicy())
    judged = control(output, finding, known, ("s", "a"), Bounds(10))
    hidden = hidden_cells(output.partial, output.support.cells[0], judged.finding.cells)
    assert hidden.tolist() == [False, True, True, False]
    assert judged.finding.family == "differencing" and judged.finding.verdict is Verdict.SUPPRESS
    assert {charge.label for charge in judged.charges} >= {"population", "count+sum[0]", "hidden of count+sum"}
    marks = frozenset(charge.digest for charge in judged.charges)
    again = kept(output, finding, marks)
    assert hidden_cells(output.partial, output.support.cells[0], again.cells).tolist() == hidden.tolist()


def test_a_model_that_is_near_is_held_or_refused_as_a_whole(outputs):
    output = outputs.model(rules=("events",), levels={"sex=male": 120})
    known = nothing(10).plus([charged(BitMap(range(121)))]).followed(10**6)
    held = control(output, Finding(Verdict.RELEASE), known, ("s", "a"), Bounds(10))
    assert (held.finding.tier, held.finding.family, held.charges) == (Tier.HIGH, "differencing", ())
    refused = control(output, Finding(Verdict.RELEASE), known, ("s", "a"), Bounds(10, hit="refuse"))
    assert refused.finding.verdict is Verdict.REFUSE


def test_all_but_a_few_where_the_number_of_all_is_no_secret(outputs):
    output = outputs.model(rules=("events",), persons=200)

    def tier(everybody: int) -> Tier:
        around = Surroundings(everybody=BitMap(range(everybody)))
        return control(output, Finding(Verdict.RELEASE), nothing(10), ("s", "a"), Bounds(10), around).finding.tier

    assert (tier(203), tier(230)) == (Tier.HIGH, Tier.LOW)


class TestSnapshots:
    """The same persons in another snapshot."""

    def judged(self, outputs, changed, unripe=False):
        output = outputs.model(rules=("events",), persons=200)
        known = nothing(10).plus(charges("old", "a", output.support)).followed(10**6)
        around = Surroundings(changed={"old": changed}, unripe=unripe)
        return control(output, Finding(Verdict.RELEASE), known, ("new", "a"), Bounds(10), around).finding.tier

    def test_nobody_changed(self, outputs):
        assert self.judged(outputs, BitMap()) is Tier.LOW

    def test_a_few_changed(self, outputs):
        assert self.judged(outputs, BitMap([7, 900])) is Tier.HIGH

    def test_many_changed(self, outputs):
        assert self.judged(outputs, BitMap(range(50))) is Tier.LOW

    def test_nobody_can_say(self, outputs):
        assert self.judged(outputs, None) is Tier.HIGH

    def test_a_few_came_or_went(self, outputs):
        assert self.judged(outputs, BitMap(), unripe=True) is Tier.HIGH


def test_something_that_nobody_knows_the_sets_of_stops_everything(outputs):
    lost = charged(BitMap([1]), label="restored: everyone, as the snapshot is gone")
    known = nothing(10).plus([lost])
    output = outputs.model(rules=("events",))
    assert control(output, Finding(Verdict.RELEASE), known, ("s", "a"), Bounds(10)).finding.tier is Tier.HIGH


def test_every_kind_is_compared_by_its_number_at_least():
    assert all("n" in comparable(one, other) for one in TELLS for other in TELLS)
    assert comparable("cell", "level") == ("n", "sums") and comparable("cell", "missing") == ("n",)
