"""Laws that hold for every table and model, found by Hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pyroaring import BitMap

from sojourn.analysis.support import Cells
from sojourn.disclosure.complement import complement
from sojourn.disclosure.families.class_disclosure import ClassDisclosure
from sojourn.disclosure.families.minimum_frequency import MinimumFrequency
from sojourn.disclosure.gate import judge, release
from sojourn.disclosure.output import Verdict, strictness
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import ALWAYS, RULES, StandardPolicy
from sojourn.disclosure.rules import AllOf, AnyOf, by_itself, refuse
from sojourn.disclosure.suppression import small, spread
from sojourn.errors import REASONS, DisclosureRefused

T = 10
counts = npst.arrays(
    np.int64, npst.array_shapes(max_dims=3, max_side=4), elements=st.integers(0, 60) | st.integers(0, 12)
)
zero_shown = st.booleans()
names = st.lists(st.sampled_from(sorted(RULES)), min_size=1, unique=True).map(tuple)


@dataclass(frozen=True)
class Hides:
    """A rule that hides small cells below its own threshold, fails or refuses."""

    what: str
    name: str = "hides"
    family: str = "histogram"
    scope: str = "site"

    def judge(self, output):
        if self.what == "fails":
            raise ZeroDivisionError("Mr X is 47")
        return refuse(self.family) if self.what == "refuses" else MinimumFrequency(int(self.what)).judge(output)


parts = st.lists(st.sampled_from(["3", "5", "10", "20", "refuses", "fails"]).map(Hides), min_size=1, max_size=4)


def cleared(outputs, numbers, **settings):
    """The cleared counts and their mask; None where all is refused."""
    policy = StandardPolicy(Parameters(**settings))
    try:
        partial = release(outputs.table(numbers, twice=2.5 * numbers), policy, outputs.HEADER).partial
    except DisclosureRefused:
        return None
    assert (partial.hidden("twice") == partial.hidden("count")).all()
    assert not partial["twice"][partial.hidden("twice")].any()
    return partial["count"], partial.hidden("count")


@given(numbers=counts, zero=zero_shown)
def test_no_shown_cell_holds_one_to_nine_persons(numbers, zero, outputs):
    if (result := cleared(outputs, numbers, zero_shown=zero)) is None:
        assert numbers.sum() < T
        return
    shown, hidden = result
    few = (numbers < T) & ((numbers > 0) | (not zero))
    assert hidden[few].all()
    assert not shown[hidden].any()
    assert (shown[~hidden] == numbers[~hidden]).all()


@given(numbers=counts, zero=zero_shown)
def test_the_complement_law(numbers, zero, outputs):
    """No line has one hidden cell and a shown one, and at least T persons stand behind all hidden cells together."""
    if (result := cleared(outputs, numbers, zero_shown=zero)) is None:
        return
    _, hidden = result
    shown = ~hidden & (numbers > 0)
    for axis in range(numbers.ndim):
        assert not ((hidden.sum(axis=axis) == 1) & shown.any(axis=axis)).any()
    if hidden.any() and shown.any():
        assert numbers[hidden].sum() >= T


@given(numbers=counts)
def test_the_complement_takes_no_more_than_it_needs_in_one_dimension(numbers, outputs):
    numbers = numbers.ravel()
    cells = Cells(("count",), numbers.shape, outputs.disjoint(numbers), ("a",))
    first = small(cells, T, True)
    extra = complement(cells, first, T) & ~first
    for last in np.flatnonzero(extra & (numbers == numbers[extra].max(initial=0))):
        without = (first | extra) & (np.arange(numbers.size) != last)
        assert without.sum() == 1 or numbers[without].sum() < T


@given(parts=parts, more=parts, numbers=counts)
def test_a_further_rule_never_loosens(parts, more, numbers, outputs):
    output = outputs.table(numbers)
    few, many = AllOf(tuple(parts)).judge(output), AllOf((*parts, *more)).judge(output)
    assert strictness(many.verdict) >= strictness(few.verdict)
    assert strictness(many.tier) >= strictness(few.tier)
    if many.verdict is not Verdict.REFUSE:
        for name, mask in few.cells.items():
            assert (many.cells[name] | ~mask).all()


@given(first=names, more=names, numbers=counts)
def test_a_further_name_never_loosens(first, more, numbers, outputs):
    few = judge(outputs.table(numbers, rules=first), StandardPolicy())
    many = judge(outputs.table(numbers, rules=tuple({*first, *more})), StandardPolicy())
    assert strictness(many.verdict) >= strictness(few.verdict)
    if many.verdict is not Verdict.REFUSE:
        assert all((many.cells[name] | ~mask).all() for name, mask in few.cells.items())


@given(data=st.data(), shape=npst.array_shapes(max_dims=3, max_side=4))
def test_permuting_cells_permutes_the_verdict(data, shape, outputs):
    size = int(np.prod(shape))
    numbers = np.array(data.draw(st.lists(st.integers(0, 400), min_size=size, max_size=size, unique=True))).reshape(
        shape
    )
    orders = [data.draw(st.permutations(range(n))) for n in shape]
    one, other = cleared(outputs, numbers), cleared(outputs, numbers[np.ix_(*orders)])
    assert (one is None) == (other is None)
    if one is not None:
        assert (one[1][np.ix_(*orders)] == other[1]).all()


@given(numbers=counts)
def test_rows_and_columns_may_change_places(numbers, outputs):
    rows = np.unique(numbers)  # distinct, so that no tie is broken by place
    one, other = cleared(outputs, rows[:, None] + np.array([0, 1000])), cleared(outputs, (rows[:, None] + [0, 1000]).T)
    assert (one is None) == (other is None)
    if one is not None:
        assert (other[1] == one[1].T).all()


@given(parts=parts, numbers=counts)
def test_an_exception_is_a_refusal(parts, numbers, outputs):
    finding = AllOf((*parts, Hides("fails"))).judge(outputs.table(numbers))
    assert finding.verdict is Verdict.REFUSE
    alone = AllOf((Hides("fails"),)).judge(outputs.table(numbers))
    assert (alone.verdict, alone.family) == (Verdict.REFUSE, "check failed")
    assert "47" not in alone.note
    either = AnyOf((Hides("fails"), Hides("fails"))).judge(outputs.table(numbers))
    assert (either.verdict, either.family) == (Verdict.REFUSE, "check failed")


@given(rules=names, numbers=counts)
def test_a_refusal_has_a_family_that_may_be_told(rules, numbers, outputs):
    finding = judge(outputs.table(numbers, rules=rules), StandardPolicy())
    assert finding.verdict is not Verdict.REFUSE or finding.family in REASONS


@given(
    persons=st.integers(0, 200),
    parameters=st.integers(1, 200),
    events=st.none() | st.integers(0, 100),
    level=st.integers(0, 40),
    leverage=st.floats(0, 1) | st.just(float("nan")),
)
def test_no_unsafe_model_is_released(persons, parameters, events, level, leverage, outputs):
    rules = ("residual freedom", "parameters to observations", "events", "design support")
    evidence = {"persons": persons, "parameters": parameters, "events": events, "leverage": leverage}
    output = outputs.model(rules=rules, levels={"level": level}, **evidence)
    safe = persons - parameters >= 10 and parameters <= 0.33 * persons and (level == 0 or level >= T)
    safe = safe and leverage <= 1 / T and (events is None or events >= max(T, 2 * parameters))
    finding = by_itself(judge(output, StandardPolicy()), StandardPolicy().automatic)
    assert (finding.verdict is Verdict.RELEASE) == (safe and persons >= T)


@given(numbers=npst.arrays(np.int64, st.tuples(st.integers(2, 5), st.integers(2, 5)), elements=st.integers(0, 60)))
@settings(max_examples=50)
def test_no_shown_line_is_all_of_one_level(numbers, outputs):
    levels = {f"axis {axis}": outputs.category([f"{i}" for i in range(n)]) for axis, n in enumerate(numbers.shape)}
    output = outputs.table(numbers, rules=("class disclosure",), variables=levels, dimensions=tuple(levels))
    finding = ClassDisclosure(T).judge(output)
    hidden = finding.cells.get("count", np.zeros(numbers.shape, dtype=bool))
    for axis in (0, 1):
        margins = numbers.sum(axis=axis, keepdims=True)
        full = (numbers == margins) & (margins >= T)
        assert hidden[full].all()


@pytest.mark.parametrize("word", ["largest", "total"])
def test_contributions_that_are_no_numbers_are_a_refusal(word, outputs):
    output = outputs.sums([[1.0] * 20, [2.0] * 20])
    getattr(output.support.contributions[0], word)[0] = np.nan
    assert judge(output, StandardPolicy()).family == "check failed"


# Those that judge by the population, by declarations or by the output's own numbers, which are always there.
WITHOUT_EVIDENCE = {*ALWAYS, "class disclosure", "residual freedom"}


@pytest.mark.parametrize("name", sorted(set(RULES) - WITHOUT_EVIDENCE))
def test_a_rule_without_its_evidence_refuses(name, outputs):
    bare = outputs.output({"count": np.array([40])}, outputs.model(rules=(name,)).support, (name,))
    bare = outputs.output({"count": np.array([40])}, type(bare.support)(BitMap(range(40)), ()), (name,))
    assert judge(bare, StandardPolicy()).family == "check failed"


@pytest.mark.parametrize(
    ("cells", "array", "where"),
    [
        ((2, 3), (2, 3), [(0, 1)]),
        ((2, 3), (2, 3, 2), [(0, 1, 0), (0, 1, 1)]),
        ((2, 3), (4, 2, 3), [(i, 0, 1) for i in range(4)]),
        ((), (2,), [(0,), (1,)]),
    ],
)
def test_a_mask_lies_over_the_axes_of_its_cells(cells, array, where):
    hidden = np.zeros(cells, dtype=bool)
    hidden[(0, 1) if cells else ()] = True
    laid = spread(hidden, array)
    assert [tuple(int(i) for i in place) for place in np.argwhere(laid)] == where


def test_where_first_and_last_axes_both_fit_both_are_hidden():
    laid = spread(np.array([True, False]), (2, 2))
    assert laid.tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("array", [(3,), (), (3, 4)])
def test_a_mask_that_fits_nowhere_is_an_error(array):
    with pytest.raises(ValueError, match="shape"):
        spread(np.array([True, False]), array)


def test_a_dominated_lone_sum_looks_like_any_small_one(outputs):
    """One or two persons with a yes among many look the same as nine: hidden, not refused for another reason."""
    said = set()
    for yes in range(1, 10):
        output = outputs.sums([[1.0] * yes + [0.0] * (60 - yes)], rules=("dominance", "p percent"))
        support = output.support
        few = Cells(("sum",), (1,), (BitMap(range(yes)),), (), ("smoker",))
        output = outputs.output(
            output.partial.arrays,
            type(support)(support.population, support.measures, (*support.cells, few), support.contributions),
            output.rules,
        )
        finding = judge(output, StandardPolicy())
        said.add((finding.verdict, tuple(finding.cells)))
    assert said == {(Verdict.SUPPRESS, ("sum",))}


def test_another_site_s_empty_column_is_no_hidden_cell(outputs):
    numbers = np.array([[0, 40], [0, 30], [0, 3], [0, 25]])
    output = outputs.table(numbers, dimensions=("stage", "site"))
    hidden = release(output, StandardPolicy(), outputs.HEADER).partial.hidden("count")
    assert hidden.tolist() == [[False, False], [False, False], [False, True], [False, True]]


def test_more_than_three_dimensions_do_not_leave_by_themselves(outputs):
    numbers = np.full((2, 2, 2, 2), 40)
    assert judge(outputs.table(numbers), StandardPolicy()).family == "minimum frequency"
    assert judge(outputs.table(numbers[0]), StandardPolicy()).verdict is Verdict.RELEASE


def test_a_rare_level_is_refused_in_the_same_words_whatever_its_size(outputs):
    """One or two persons also dominate their column's sum; the refusal must not tell them from nine."""
    said = set()
    for n in range(1, 10):
        evidence = outputs.sums([[1.0] * n + [0.0] * (200 - n)]).support.contributions
        bare = outputs.model(rules=("dominance", "p percent", "design support"), levels={"rare": n})
        output = replace(bare, support=replace(bare.support, contributions=evidence))
        said.add(judge(output, StandardPolicy()).family)
    assert said == {"design support"}


def test_the_complement_of_one_cell_is_a_rectangle(outputs):
    """A cell that serves a row and a column is taken before smaller ones that serve one of them."""
    numbers = np.array([[4, 20, 90], [30, 95, 50], [80, 40, 70]])
    hidden = release(outputs.table(numbers), StandardPolicy(), outputs.HEADER).partial.hidden("count")
    assert hidden.tolist() == [[True, True, False], [True, True, False], [False, False, False]]
