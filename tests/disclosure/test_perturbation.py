"""Rounding, significant digits and cell keys: pure changes of the numbers, told in the header, the seed in nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import stats

from sojourn.analysis.support import Cells
from sojourn.disclosure.cell_key import KEYS, LAST, CellKey, perturbation_table, perturbed, record_keys
from sojourn.disclosure.families.rounding import Rounded
from sojourn.disclosure.gate import Header, judge, release
from sojourn.disclosure.output import Verdict
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.perturbation import BASE_5, MIDPOINT_6, Rounding, Significant, rounded, significant
from sojourn.disclosure.policy import StandardPolicy

SEED = 20_261_128
TABLE = perturbation_table(SEED)
counts = npst.arrays(np.int64, st.integers(1, 6), elements=st.integers(0, 3000))


def test_the_table_is_unbiased_bounded_and_never_negative():
    assert TABLE.shape == (LAST + 1, KEYS)
    assert not TABLE.sum(axis=1).any()
    assert np.abs(TABLE).max() == 5
    assert (TABLE**2).mean(axis=1).max() <= 2.0
    assert (TABLE**2).mean(axis=1)[1:].min() > 1.5  # noise enough in every row
    assert (np.arange(LAST + 1)[:, None] + TABLE).min() == 0
    assert not TABLE[0].any()


def test_the_seed_orders_the_table_and_nothing_else():
    other = perturbation_table(7)
    assert (np.sort(other, axis=1) == np.sort(TABLE, axis=1)).all()
    assert (other != TABLE).any()
    assert (perturbation_table(7) == other).all()


@given(numbers=counts, data=st.data())
def test_the_same_persons_get_the_same_noise(numbers, data, outputs):
    once = CellKey(TABLE, SEED).apply(outputs.table(numbers)).partial["count"]
    assert (CellKey(TABLE, SEED).apply(outputs.table(numbers)).partial["count"] == once).all()
    assert (once >= 0).all() and (np.abs(once - numbers) <= 5).all() and not once[numbers == 0].any()
    order = np.array(data.draw(st.permutations(range(len(numbers)))))
    output = outputs.table(numbers[order])
    (cells,) = output.support.cells
    persons = [outputs.table(numbers).support.cells[0].persons[place] for place in order]
    output = replace(output, support=replace(output.support, cells=(replace(cells, persons=tuple(persons)),)))
    assert (CellKey(TABLE, SEED).apply(output).partial["count"] == once[order]).all()


def test_a_person_keeps_her_record_key_and_keys_are_spread_evenly():
    few, many = record_keys(SEED, 300), record_keys(SEED, 100_000)
    assert (few == many[: len(few)]).all() and len(few) > 300
    found = np.bincount(many, minlength=KEYS)
    assert stats.chisquare(found).pvalue > 1e-6
    other = record_keys(SEED + 1, 100_000)
    assert abs((other == many).mean() - 1 / KEYS) < 6 / np.sqrt(KEYS * len(many))


def test_one_person_more_is_hidden_by_the_noise():
    """The noise of a set and of the same set without one person are as those of two sets."""
    keys = record_keys(SEED, 10_000)[:10_000].astype(np.int64)
    all_keys = np.full(10_000, keys.sum())
    gap = perturbed(np.full(10_000, 10_000), all_keys, TABLE) - perturbed(
        np.full(10_000, 9_999), all_keys - keys, TABLE
    )
    assert (gap != 1).mean() > 0.7


def test_large_counts_take_the_rows_from_501_in_turn():
    rows = np.arange(LAST + 1)[:, None] * np.ones((1, 2), dtype=np.int64)
    seen = perturbed(np.array([750, 751, 1000, 1001]), np.zeros(4, dtype=np.int64), rows) - [750, 751, 1000, 1001]
    assert seen.tolist() == [750, 501, 750, 501]


def test_cell_keys_are_for_tables_of_counts_and_refuse_beside_sums(outputs):
    policy = StandardPolicy(Parameters(cell_key=7))
    assert judge(outputs.table([40, 30]), policy).verdict is Verdict.RELEASE
    assert judge(outputs.table([40, 30], sum=[1.0, 2.0]), policy).family == "check failed"


@given(numbers=counts, how=st.sampled_from([BASE_5, MIDPOINT_6]))
def test_rounding_is_near_and_stays(numbers, how, outputs):
    once = rounded(numbers, how)
    assert (np.abs(once - numbers) <= (2 if how == BASE_5 else 3)).all()
    assert (rounded(once, how) == once).all()
    assert not once[numbers == 0].any()
    output = Rounding(how).apply(outputs.table(numbers))
    assert Rounded(how).judge(output).verdict is Verdict.RELEASE
    assert (Rounded(how).judge(outputs.table(numbers)).verdict is Verdict.RELEASE) == (once == numbers).all()


def test_rounding_leaves_sums_and_decides_nothing_about_small_cells(outputs):
    output = outputs.table([40, 8, 30, 30], sum=[1.25, 2.5, 3.75, 4.25])
    plain, round_ = (
        release(output, StandardPolicy(Parameters(rounding=how)), outputs.HEADER) for how in ("off", BASE_5)
    )
    assert (plain.partial.hidden("count") == round_.partial.hidden("count")).all()
    assert (plain.partial["sum"] == round_.partial["sum"]).all()


def test_a_total_is_the_sum_of_the_rounded_cells(outputs):
    """A total that was rounded for itself would tell in which direction its cells were."""
    for how in (BASE_5, MIDPOINT_6):
        output = outputs.table([13, 13, 16], twice=[1.0, 2.0, 3.0])
        (cells,) = output.support.cells
        everyone = Cells(("all_n",), (1,), (output.support.population,))
        support = replace(output.support, cells=(cells, everyone))
        both = outputs.output({**output.partial.arrays, "all_n": np.array([42])}, support, output.rules)
        partial = release(both, StandardPolicy(Parameters(rounding=how)), outputs.HEADER).partial
        assert partial["all_n"].tolist() == [partial["count"].sum()]
        assert partial["all_n"].tolist() != rounded(np.array([42]), how).tolist()


def test_a_treated_release_says_so_and_an_old_header_is_read(outputs):
    treated = release(outputs.table([42, 33]), StandardPolicy(Parameters(rounding=MIDPOINT_6)), outputs.HEADER)
    document = treated.header.to_dict()
    assert document["treatment"] == "counts rounded: midpoint 6"
    assert Header.from_dict(document) == treated.header
    plain = release(outputs.table([42, 33]), StandardPolicy(), outputs.HEADER).header.to_dict()
    assert "treatment" not in plain
    assert Header.from_dict(plain).treatment == ""
    with pytest.raises(ValueError, match="canonical"):
        Header.from_dict({**plain, "treatment": ""})


@given(numbers=npst.arrays(np.float64, 4, elements=st.floats(-1e12, 1e12)))
def test_six_significant_digits_carry_no_more(numbers, outputs):
    few = significant(numbers, 6)
    assert (np.abs(few - numbers) <= np.abs(numbers) * 5.1e-6).all()
    assert (significant(few, 6) == few).all()
    output = Significant().apply(outputs.output({"x": numbers}, outputs.table([40]).support, ("capacity",)))
    assert output.support.capacity.digits == 6
    assert (output.partial["x"] == few).all()
