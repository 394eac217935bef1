"""The audit by linear programme: exact on tables that can be enumerated, and no hidden cell is known too well (A14)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from pyroaring import BitMap
from scipy.optimize import linprog

from sojourn.analysis.support import Cells
from sojourn.disclosure.complement import complement, inner, with_margins
from sojourn.disclosure.gate import release
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.suppression import small
from sojourn.errors import DisclosureRefused

T = 10
tables = npst.arrays(np.int64, st.tuples(st.integers(2, 4), st.integers(2, 4)), elements=st.integers(0, 60))


def reader(numbers: np.ndarray, hidden: np.ndarray, place: tuple[int, ...], least: int) -> tuple[int, int]:
    """What one reads off by a programme of one's own: the shown cells and those sums that are shown, nothing else."""
    _, gone = margins(numbers)
    lines = [
        (np.arange(numbers.size).reshape(numbers.shape).take(i, axis=axis), gone[axis][i])
        for axis in (0, 1)
        for i in range(numbers.shape[axis])
    ]
    lines.append((np.arange(numbers.size), False))
    rows = [np.isin(np.arange(numbers.size), cells).astype(float) for cells, unknown in lines if not unknown]
    totals = [row @ numbers.ravel() for row in rows]
    bounds = [(least, None) if gone else (n, n) for n, gone in zip(numbers.ravel(), hidden.ravel(), strict=True)]
    ends = []
    for sign in (1, -1):
        objective = np.zeros(numbers.size)
        objective[np.ravel_multi_index(place, numbers.shape)] = sign
        ends.append(sign * linprog(objective, A_eq=rows, b_eq=totals, bounds=bounds).fun)
    return int(np.ceil(ends[0] - 1e-6)), int(np.floor(ends[1] + 1e-6))


def margins(numbers):
    """The sums along each axis, and which of them a count by that variable alone would not show."""
    sums = [numbers.sum(axis=1), numbers.sum(axis=0)]
    gone = []
    for one in sums:
        cells = Cells(
            ("count",), one.shape, tuple(BitMap(range(1000 * i, 1000 * i + n)) for i, n in enumerate(one)), ("a",)
        )
        gone.append(complement(cells, small(cells, T, False), T))
    return sums, gone


def protected(numbers, outputs, zero_shown=False):
    cells = Cells(("count",), numbers.shape, outputs.disjoint(numbers), tuple("abc"[: numbers.ndim]))
    first = small(cells, T, zero_shown)
    return first, complement(cells, first, T, zero_shown)


@given(numbers=npst.arrays(np.int64, (2, 3), elements=st.integers(0, 4)), data=st.data())
def test_an_interval_is_what_enumeration_finds(numbers, data):
    hidden = data.draw(npst.arrays(np.bool_, (2, 3)))
    audit = with_margins(numbers, hidden, np.zeros_like(hidden), 3, False)
    gone = audit.hidden.reshape(3, 4)
    shown = {axis: ~gone[tuple(-1 if i == axis else slice(None, -1) for i in (0, 1))] for axis in (0, 1)}
    most = int(numbers.sum())
    found: dict[tuple[int, int], set[int]] = {tuple(place): set() for place in np.argwhere(hidden).tolist()}
    for values in itertools.product(range(most + 1), repeat=int(hidden.sum())) if hidden.sum() <= 3 else ():
        table = numbers.copy()
        table[hidden] = values
        same = [((table.sum(axis=axis) == numbers.sum(axis=axis)) | ~shown[axis]).all() for axis in (0, 1)]
        if all(same) and (gone[-1, -1] or table.sum() == most):
            for place, n in zip(found, values, strict=True):
                found[place].add(n)
    for place, seen in found.items():
        if seen and not gone[-1, -1]:
            low, high = audit.interval(int(np.ravel_multi_index(place, (3, 4))))
            assert (low, high) == (min(seen), max(seen))


@given(numbers=tables)
def test_every_hidden_cell_is_uncertain_by_at_least_the_threshold(numbers, outputs):
    """A14: by a reader's own programme, not the audit's."""
    _, hidden = protected(numbers, outputs)
    if hidden.all() or numbers.sum() < T:
        return  # nothing of the table is told
    for place in np.argwhere(hidden):
        low, high = reader(numbers, hidden, tuple(place), 0)
        assert high - low >= T


@given(numbers=npst.arrays(np.int64, (2, 3, 2), elements=st.integers(0, 60)), zero_shown=st.booleans())
def test_every_hidden_cell_of_three_dimensions_too(numbers, zero_shown, outputs):
    _, hidden = protected(numbers, outputs, zero_shown)
    if hidden.all() or numbers.sum() < T:
        return
    audit = with_margins(numbers, hidden, np.zeros_like(hidden), T, zero_shown)
    cells = np.flatnonzero(audit.hidden & audit.system.hideable)
    everything = not (~hidden & (numbers > 0)).any()
    assert everything or not audit.narrow(cells.tolist())


@given(numbers=tables, more=st.data())
def test_sets_that_pass_are_closed_under_union(numbers, more, outputs):
    cells = Cells(("count",), numbers.shape, outputs.disjoint(numbers), ("a", "b"))
    sets = [complement(cells, more.draw(npst.arrays(np.bool_, numbers.shape)), T) for _ in range(2)]
    both = sets[0] | sets[1]
    assert (complement(cells, both, T) == both).all() or any(one.all() for one in sets)


@given(numbers=tables)
def test_what_is_complete_stays_as_it_is(numbers, outputs):
    first, hidden = protected(numbers, outputs)
    assert (hidden | ~first).all()
    cells = Cells(("count",), numbers.shape, outputs.disjoint(numbers), ("a", "b"))
    assert (complement(cells, hidden, T) == hidden).all()
    assert (protected(numbers, outputs)[1] == hidden).all()


class TestSmallRow:
    """Two small cells of a row whose total is known: seven persons in all, though each is hidden (A14)."""

    numbers = np.array([[40, 3, 4], [30, 25, 30], [35, 45, 50]])

    def test_it_works_where_only_lines_are_looked_at(self):
        hidden = np.zeros((3, 3), dtype=bool)
        hidden[:2, 1:] = True  # two hidden cells in every line, 62 persons behind them
        assert reader(self.numbers, hidden, (0, 1), 0) == (0, 7)

    def test_it_fails_by_default(self, outputs):
        partial = release(outputs.table(self.numbers), StandardPolicy(), outputs.HEADER).partial
        hidden = partial.hidden("count")
        for place in np.argwhere(hidden):
            low, high = reader(self.numbers, hidden, tuple(place), 0)
            assert high - low >= T

    def test_the_same_table_of_common_cells_is_released(self, outputs):
        numbers = np.where(self.numbers < T, self.numbers + T, self.numbers)
        assert not release(outputs.table(numbers), StandardPolicy(), outputs.HEADER).partial.suppressed


@pytest.mark.parametrize("zero_shown", [False, True])
def test_one_known_total_of_small_cells(zero_shown, outputs):
    """Where zeros are shown each hidden cell holds somebody, so 4 + 3 + 3 leaves less than it seems."""
    numbers = np.array([60, 4, 3, 3, 50])
    settings = Parameters(zero_shown=zero_shown)
    partial = release(outputs.table(numbers), StandardPolicy(settings), outputs.HEADER).partial
    assert partial.hidden("count").tolist() == [False, True, True, True, zero_shown]


def test_a_table_without_hidden_cells_is_not_audited(outputs, monkeypatch):
    monkeypatch.setattr("sojourn.disclosure.complement.with_margins", None)
    numbers = np.full((4, 5), 40)
    assert not release(outputs.table(numbers), StandardPolicy(), outputs.HEADER).partial.suppressed


def test_a_table_too_large_to_audit_is_hidden_whole(outputs):
    numbers = np.full(20_001, 12)
    numbers[7] = 3
    partial = release(outputs.table(numbers), StandardPolicy(), outputs.HEADER).partial
    assert partial.hidden("count").all()


def test_an_audit_that_fails_is_a_refusal(outputs, monkeypatch):
    monkeypatch.setattr("sojourn.disclosure.intervals.solve", lambda *words: 1 / 0)
    with pytest.raises(DisclosureRefused) as refusal:
        release(outputs.table(TestSmallRow.numbers), StandardPolicy(), outputs.HEADER)
    assert refusal.value.family == "check failed"


def test_inner_takes_the_margins_off():
    whole = np.zeros((3, 4), dtype=bool)
    whole[-1] = whole[:, -1] = True
    assert not inner(whole.ravel(), (2, 3)).any()
