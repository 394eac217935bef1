"""Overlaps of sites: what the pairs tell together is true of all sets of persons."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import PlanError
from sojourn.statistics.overlap import again_at_least, pairs_of
from sojourn.study.catalogue import Dataset, check, complete

SITES = ("a", "b", "c", "d", "e")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sets(st.integers(0, 15)), min_size=5, max_size=5),
    st.sets(st.sampled_from(list(combinations(SITES, 2)))),
)
def test_persons_are_counted_again_as_often_as_said(sets: list[set[int]], known: set[tuple[str, str]]) -> None:
    of = dict(zip(SITES, sets, strict=True))
    told = {(one, other): len(of[one] & of[other]) for one, other in pairs_of(SITES)}
    again = sum(map(len, sets)) - len(set().union(*sets))
    assert again_at_least({pair: number for pair, number in told.items() if pair in known}) <= again
    assert again_at_least(told) <= again <= sum(told.values())


def test_two_sites_are_told_exactly() -> None:
    assert again_at_least({("a", "b"): 7}) == 7
    assert again_at_least({("a", "b"): 7, ("a", "c"): 5, ("b", "c"): 6}) == 13  # c's may be among those of a and b
    assert again_at_least({}) == 0


def plan(**words: object) -> sj.Plan:
    analyses = {"o": sj.overlap()}
    return sj.Plan(**{"table": "t", "analyses": analyses, **words})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "words",
    [
        {"aggregation": "clear"},
        {"where": "age >= 90", "variables": {"age": Variable(Kind.NUMBER)}},
        {"analyses": {"o": sj.overlap(), "p": sj.overlap(most=200)}},
        {
            "analyses": {"o": sj.overlap(), "n": sj.count(by="ward")},
            "variables": {"ward": Variable(Kind.CATEGORY, ("x",))},
        },
    ],
)
def test_an_overlap_is_of_whole_tables_and_asked_once(words: dict[str, object]) -> None:
    """Whoever chose persons, by values or by what is missing, could try single ones."""
    check(plan(), ("a", "b", "c"))
    check(plan(analyses={"o": sj.overlap(), "n": sj.count()}), ("a", "b", "c"))
    with pytest.raises(PlanError):
        check(plan(**words), ("a", "b", "c"))


def test_two_sites_must_name_persons_by_the_same() -> None:
    def dataset(site: str, linkage: str) -> Dataset:
        document = {"table": "t", "columns": {}, **({"linkage": linkage} if linkage else {})}
        return Dataset.from_dict(site, document)

    complete(plan(), [dataset("a", "national_id"), dataset("b", "national_id"), dataset("c", "")])
    with pytest.raises(PlanError, match="same identifier"):
        complete(plan(), [dataset("a", "national_id"), dataset("b", "insurance_number"), dataset("c", "")])
    for most in (99, 50_001, 100.5):
        with pytest.raises(PlanError):
            sj.overlap(most=most)  # type: ignore[arg-type]
