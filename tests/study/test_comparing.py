"""Comparisons as rounds: what may be asked about, what a veto leaves, what the coordinator is told."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evaluated_shares import plain, protocol
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask, Compared
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.demands import stride
from sojourn.errors import DisclosureRefused, PlanError
from sojourn.statistics.catalogue_counts import at_least, count
from sojourn.study.comparing import Comparing
from sojourn.study.question import Question

SITES = ("a", "b", "c", "d")
VARIABLES = with_site({"ward": Variable(Kind.CATEGORY, ("e", "n", "s", "w"))}, SITES)


def question(k: int, by: str | None = "ward") -> Question:
    circle = SimpleNamespace(sites=SITES, members="a" * 64)
    return Question("study", "analysis", at_least(k, by=by), VARIABLES, circle)  # type: ignore[arg-type]


def comparing(k: int, threshold: int, hidden: list[int]) -> Comparing:
    asked = question(k)
    mask = np.isin(np.arange(4), hidden)
    assert isinstance(asked.statistic, Compared)
    return Comparing(asked, asked.statistic, Ask("count"), {"count": mask}, threshold)


@given(st.integers(3, 5000), st.integers(3, 5000))
def test_strides_are_not_below_T_and_divide_one_another(one: int, other: int) -> None:
    assert stride(one) >= one
    assert max(stride(one), stride(other)) % min(stride(one), stride(other)) == 0


def test_k_is_of_the_stride_of_the_strictest_site_and_not_too_large() -> None:
    question(40).demand_comparable(20)
    for k, threshold, reason in ((30, 20, "comparison"), (40, 41, "comparison"), (10_000, 10, None), (50, 10, None)):
        if reason is None:
            question(k).demand_comparable(threshold)
            continue
        with pytest.raises(DisclosureRefused) as caught:
            question(k).demand_comparable(threshold)
        assert caught.value.family == reason
    with pytest.raises(PlanError, match="number of persons"):
        at_least(15)
    assert not isinstance(count(), Compared)


counts = st.lists(st.lists(st.integers(0, 40), min_size=4, max_size=4), min_size=4, max_size=4)


@settings(deadline=None, max_examples=40)
@example([[10, 10, 13, 0]] * 3 + [[10, 9, 11, 40]], set(), 40)  # 40, 39, 50 and 40 of one site
@given(counts, st.sets(st.integers(0, 3), max_size=3), st.sampled_from([10, 40, 50]))
def test_only_cells_that_pass_are_told_and_rightly(sites: list[list[int]], hidden: set[int], k: int) -> None:
    one = comparing(k, 5, sorted(hidden))
    assert one.test is not None
    own = np.array(sites)
    inputs = np.stack([one.numbers(Partial({"count": row})) for row in own])
    one.bits = plain(one.test, inputs)
    sums = one.sums()
    assert sums is not None
    total, most = own.sum(axis=0), own.max(axis=0)
    expected = np.where((total >= k) & (total - most >= 5), k, 0)
    expected[sorted(hidden)] = 0
    assert sums["count"].tolist() == expected.tolist()
    assert np.flatnonzero(sums.hidden("count")).tolist() == sorted(hidden)
    assert len(one.bits) == 1 + 4 - len(hidden)  # of a hidden cell there is no bit


def test_a_veto_leaves_no_bit_in_the_protocol_itself() -> None:
    one = comparing(10, 5, [])
    assert one.test is not None
    inputs = np.stack([one.numbers(Partial({"count": np.full(4, 20)})) for _ in SITES])
    assert protocol(one.test, inputs).all()
    inputs[2] = one.nothing(veto=True)
    one.bits = protocol(one.test, inputs)
    assert not one.bits.any()
    assert one.sums() is None
    inputs[2] = one.nothing()
    assert protocol(one.test, inputs).all()  # who takes part with nothing does not veto
