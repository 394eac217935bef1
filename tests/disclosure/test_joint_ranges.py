"""Quantiles under masks: what is told apart follows from bits; beyond every site there are enough persons."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

import evaluated_shares as evaluated
from sojourn.analysis.partial import Partial, total
from sojourn.analysis.population import Population, nobody
from sojourn.analysis.statistic import Gathered, Suppressed
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure.demands import Demands
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
from sojourn.statistics.catalogue_counts import quantiles

T = 10
SITES = ("a", "b", "c", "d")
PARAMETERS = Parameters()
VARIABLES = with_site(
    {"age": Variable(Kind.NUMBER, low=20, high=90), "sex": Variable(Kind.CATEGORY, ("F", "M"))}, SITES
)
MEDIAN = quantiles("age", q=[0.5], precision=1, bins=12)


def federation(seed, sizes):
    draw = np.random.default_rng(seed)
    columns = [
        {"age": draw.integers(20, 91, rows).astype(float), "sex": draw.integers(0, 2, rows).astype(np.int32)}
        for rows in sizes
    ]
    numbers = [np.arange(rows, dtype=np.uint32) for rows in sizes]
    return [
        Population(site, VARIABLES, values, persons, {})
        for site, values, persons in zip(SITES, columns, numbers, strict=True)
    ]


def layout_of(statistic):
    return Layout.of(statistic.support(nobody("a", VARIABLES)), VARIABLES, statistic.rules)


def masks(statistic, sites):
    """What the joint test hides, by plain arithmetic over the sites' numbers."""
    layout = layout_of(statistic)
    test = layout.test(SITES, SITES[:3], Demands.of(PARAMETERS))
    bits = evaluated.plain(test, np.stack([layout.numbers(statistic.support(site), PARAMETERS) for site in sites]))
    [step] = statistic.steps(VARIABLES)
    return layout.masks(bits, step.partial)


def estimated(statistic, sites, hidden):
    coordinator = statistic.coordinator(VARIABLES)
    ask = next(coordinator)
    sums = total(statistic.local(ask.step, site, {}) for site in sites)
    with pytest.raises(StopIteration) as end:
        coordinator.send(Gathered(Partial(sums.arrays, hidden), {}))
    return end.value.value


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 40), min_size=4, max_size=4))
def test_between_two_values_are_enough_persons_beyond_every_site(seed, sizes):
    sites = federation(seed, sizes)
    try:
        hidden = masks(MEDIAN, sites).get("below.age", np.zeros((1, 11, 1), dtype=bool))
    except DisclosureRefused:
        assert sum(sizes) - max(sizes) < T / 0.5
        return
    ends = [0, *(np.flatnonzero(~hidden.ravel()) + 1).tolist(), 12]
    parts = [MEDIAN.support(site).thresholds[0].persons for site in sites]
    for first, end in pairwise(ends) if len(ends) > 2 else ():
        of_site = [len(BitMap.union(BitMap(), *part[first:end])) for part in parts]
        assert sum(of_site) - max(of_site) >= T
    pooled = np.quantile(np.concatenate([site.numeric("age") for site in sites]), 0.5)
    [row] = estimated(MEDIAN, sites, masks(MEDIAN, sites)).rows
    if not isinstance(row[-1], Suppressed):
        assert row[-2] <= pooled <= row[-1]


def test_fifty_thin_patients_have_a_median():
    hidden = masks(MEDIAN, federation(1, (13, 12, 13, 12)))
    assert not hidden["below.age"].all()
    assert "rows.0.5" not in hidden


def test_a_group_that_few_have_is_hidden_with_all_its_counts():
    statistic = quantiles("age", by="sex", q=[0.5], precision=1, bins=6)
    sites = federation(2, (30, 30, 30, 30))
    one = np.r_[np.ones(1), np.zeros(29)].astype(np.int32)
    few = [replace(site, columns={**site.columns, "sex": one}) for site in sites]
    try:
        hidden = masks(statistic, few)
    except DisclosureRefused:
        return
    assert hidden["below.age"][1].all()
    assert hidden["rows.0.5"][1].all()


def test_a_range_of_many_parts_is_refused():
    with pytest.raises(DisclosureRefused) as refused:
        layout_of(quantiles("age", precision=1))
    assert refused.value.family == "capacity"


@pytest.mark.parametrize("fraction", [0.1, 0.9, 0.99])
def test_other_positions_would_wait_for_a_checker_and_are_refused(fraction):
    with pytest.raises(DisclosureRefused) as refused:
        layout_of(quantiles("age", q=[fraction], precision=1, bins=12))
    assert refused.value.family == "positions"


def test_evidence_of_another_range_puts_in_nothing():
    layout, other = layout_of(MEDIAN), quantiles("age", q=[0.5], precision=1, bins=11)
    with pytest.raises(DisclosureRefused):
        layout.numbers(other.support(federation(3, (9, 9, 9, 9))[0]), PARAMETERS)
