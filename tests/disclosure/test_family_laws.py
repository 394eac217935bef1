"""Laws of every family: nothing on empty evidence, never looser with T or with more rules, blind to order."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from sojourn.analysis.support import Cells, Pairs, Positions, RiskSets, Steps, Support
from sojourn.analysis.table import Table
from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.families.survival_steps import merged, unsafe
from sojourn.disclosure.gate import judge
from sojourn.disclosure.output import Tier, Verdict, strictness
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import ALWAYS, RULES, StandardPolicy
from sojourn.disclosure.rules import AllOf
from sojourn.errors import REASONS

T = 10
OF_THE_WHOLE = ("positions", "survival steps", "risk sets", "correlation")


@st.composite
def evidences(draw):
    """An output with evidence for all the families that judge without cells."""
    groups = draw(st.integers(1, 4))
    left = np.array(draw(st.lists(st.integers(0, 40), min_size=groups, max_size=groups)))
    at_risk = np.cumsum(left[::-1])[::-1] + draw(st.integers(0, 30))
    persons = int(at_risk[0]) + draw(st.integers(0, 30))
    times = tuple(float(i) for i in range(groups))
    fractions = draw(st.lists(st.sampled_from([0.25, 0.5, 0.75, 0.1, 0.0, 1.0]), min_size=1, max_size=3, unique=True))
    columns = draw(st.integers(2, 6))
    pairs = np.array([persons] * (columns * (columns - 1) // 2))
    levels = {"level": BitMap(range(draw(st.integers(0, 30))))}
    return (
        persons,
        Support(
            BitMap(range(persons)),
            ("a",),
            positions=(Positions(("q",), tuple(fractions), np.array(persons)),),
            steps=(Steps(("s",), left, at_risk),),
            risk_sets=RiskSets(times, times if draw(st.booleans()) else (0.0,), left, at_risk),
            pairs=Pairs(pairs, columns, draw(st.integers(0, columns)), levels),
        ),
        len(fractions),
    )


def output_of(drawn, rules, outputs):
    _, support, size = drawn
    return outputs.output({"q": np.zeros(size)}, support, rules)


@given(
    drawn=evidences(), rules=st.lists(st.sampled_from(OF_THE_WHOLE), min_size=1, unique=True), low=st.integers(3, 30)
)
def test_a_higher_threshold_never_loosens(drawn, rules, low, outputs):
    output = output_of(drawn, tuple(rules), outputs)
    mild, strict = (judge(output, StandardPolicy(Parameters(threshold=t))) for t in (low, low + 5))
    assert strictness(strict.verdict) >= strictness(mild.verdict)
    if strict.verdict is Verdict.SUPPRESS:
        assert all((strict.cells[name] | ~mask).all() for name, mask in mild.cells.items())


@given(drawn=evidences(), rules=st.permutations(OF_THE_WHOLE), split=st.integers(1, 3))
def test_a_further_family_never_loosens(drawn, rules, split, outputs):
    few = judge(output_of(drawn, tuple(rules[:split]), outputs), StandardPolicy())
    many = judge(output_of(drawn, tuple(rules), outputs), StandardPolicy())
    assert strictness(many.verdict) >= strictness(few.verdict)
    assert strictness(many.tier) >= strictness(few.tier)
    assert many.verdict is not Verdict.REFUSE or many.family in REASONS


@given(counts=st.lists(st.integers(0, 60), min_size=2, max_size=5), zero=st.booleans(), low=st.integers(3, 30))
def test_what_is_small_is_hidden_under_every_higher_threshold(counts, zero, low, outputs):
    """The choice of the complement may differ from one T to another; what is small may not."""
    mild, strict = (
        judge(outputs.table(counts), StandardPolicy(Parameters(threshold=t, zero_shown=zero))) for t in (low, low + 5)
    )
    assert strictness(strict.verdict) >= strictness(mild.verdict)
    few = (np.array(counts) < low) & ((np.array(counts) > 0) | (not zero))
    for finding in (mild, strict):
        assert finding.verdict is Verdict.REFUSE or not few.any() or finding.cells["count"][few].all()


@given(drawn=evidences(), name=st.sampled_from(OF_THE_WHOLE), shift=st.integers(1, 1000))
def test_who_the_persons_are_changes_nothing(drawn, name, shift, outputs):
    output = output_of(drawn, (name,), outputs)
    others = BitMap(n + shift for n in output.support.population)
    levels = {label: BitMap(n + shift for n in level) for label, level in output.support.pairs.levels.items()}
    support = replace(output.support, population=others, pairs=replace(output.support.pairs, levels=levels))
    one, other = judge(output, StandardPolicy()), judge(replace(output, support=support), StandardPolicy())
    assert (one.verdict, one.family, one.tier) == (other.verdict, other.family, other.tier)


@pytest.mark.parametrize("names", [names for n in (1, 2) for names in itertools.combinations(sorted(RULES), n)])
def test_no_family_releases_without_its_evidence(names, outputs):
    """Alone or in pairs; those of ALWAYS judge what is always there, and an empty population is what they refuse."""
    nobody = outputs.output({"count": np.array([0])}, Support(BitMap(), ()), names)
    assert judge(nobody, StandardPolicy()).verdict is Verdict.REFUSE
    assert AllOf(()).judge(nobody).verdict is Verdict.REFUSE
    needs = set(names) - {*ALWAYS, "class disclosure", "residual freedom"}
    many = outputs.output({"count": np.array([40])}, Support(BitMap(range(40)), ()), names)
    assert (judge(many, StandardPolicy()).verdict is Verdict.REFUSE) == bool(needs)


@given(left=st.lists(st.integers(0, 20), min_size=1, max_size=12), beyond=st.integers(0, 30), t=st.integers(3, 15))
def test_merged_steps_are_safe_and_as_many_as_can_be(left, beyond, t):
    at_risk = np.cumsum(left[::-1])[::-1] + beyond
    kept = merged(np.array(left), at_risk, t)
    ends = [-1, *kept]
    together = np.array([sum(left[a + 1 : b + 1]) for a, b in itertools.pairwise(ends)])
    before = np.array([at_risk[b] for b in kept])
    assert not unsafe(together, before, t, False).any()
    for more in set(range(len(left))) - set(kept):
        finer = sorted([*kept, more])
        sums = [sum(left[a + 1 : b + 1]) for a, b in itertools.pairwise([-1, *finer])]
        assert unsafe(np.array(sums), at_risk[finer], t, False).any()


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_extremes_are_of_high_risk_however_many_persons_there_are(fraction, outputs):
    positions = Positions(("q",), (0.5, fraction), np.array(100_000))
    support = Support(BitMap(range(100_000)), ("a",), positions=(positions,))
    output = outputs.output({"q": np.zeros(2)}, support, ("positions",))
    finding = judge(output, StandardPolicy(Parameters(automatic=Tier.MEDIUM)))
    assert (finding.verdict, finding.tier) == (Verdict.REFUSE, Tier.HIGH)


def test_few_at_risk_are_too_few_where_nobody_leaves(outputs):
    """Where zeros are shown a step at which nobody leaves is no small one, but nine at risk are."""
    for at_risk, verdict in ((9, Verdict.REFUSE), (10, Verdict.RELEASE)):
        steps = Steps(("s",), np.array([30, 0]), np.array([30 + at_risk, at_risk]))
        support = Support(BitMap(range(60)), ("a",), steps=(steps,))
        output = outputs.output({"s": np.zeros(2)}, support, ("survival steps",))
        assert judge(output, StandardPolicy(Parameters(zero_shown=True))).verdict is verdict


class TestStructuralZeros:
    """No man is pregnant: everybody knows, so the zero need not be hidden and hides nobody."""

    variables = {  # noqa: RUF012
        "sex": Variable(Kind.CATEGORY, ("f", "m")),
        "state": Variable(Kind.CATEGORY, ("not", "pregnant"), never=(("pregnant", "sex", "m"),)),
    }
    numbers = np.array([[70, 40], [60, 0]])

    def output(self, outputs, empty, numbers=numbers):
        output = outputs.table(
            numbers,
            dimensions=("sex", "state"),
            variables=self.variables,
            rules=("minimum frequency", "class disclosure"),
        )
        (cells,) = output.support.cells
        return replace(output, support=replace(output.support, cells=(replace(cells, empty=empty),)))

    def test_the_table_knows_its_cells(self):
        table = Table.of(("sex", "state"), self.variables)
        assert table.empty(self.variables) == (3,)
        assert Table.of(("state", "sex"), self.variables).empty(self.variables) == (3,)
        assert Table.of(("state",), self.variables).empty(self.variables) == ()

    def test_an_undeclared_zero_is_hidden_and_its_line_with_it(self, outputs):
        assert judge(self.output(outputs, ()), StandardPolicy()).verdict is Verdict.SUPPRESS

    def test_a_declared_one_is_exempt(self, outputs):
        assert judge(self.output(outputs, (3,)), StandardPolicy()).verdict is Verdict.RELEASE

    def test_it_never_serves_as_a_complement(self, outputs):
        numbers = np.array([[70, 4], [60, 0]])
        finding = judge(self.output(outputs, (3,), numbers), StandardPolicy())
        assert finding.verdict is Verdict.SUPPRESS
        assert finding.cells["count"].tolist() == [[True, True], [True, False]]

    def test_one_that_holds_a_person_after_all_refuses(self, outputs):
        numbers = np.array([[70, 40], [60, 3]])
        assert judge(self.output(outputs, (3,), numbers), StandardPolicy()).family == "check failed"


def test_cells_that_a_declaration_names_are_in_range():
    with pytest.raises(IndexError):
        Cells(("count",), (2,), (BitMap(), BitMap()), ("a",), empty=(2,)).structural()
