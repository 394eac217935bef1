"""The rounds of an overlap: what the joint test asks of lists, and what terms and numbers are none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evaluated_shares import plain, protocol
from sojourn.disclosure.demands import Demands
from sojourn.secrecy.intersection import MADE_UP
from sojourn.secrecy.masks import Place
from sojourn.statistics.catalogue_counts import overlap
from sojourn.study.joint_rounds import Evaluating
from sojourn.study.overlapping import Overlapping, Pair, Terms, counting

SITES = ("a", "b", "c")
PAIR = Pair("a", "b", "c", Place("5" * 32, "overlap", "a" * 64, "b" * 64))
T = 10
lots = st.integers(0, MADE_UP)


def passes(common: int, persons: tuple[int, int], added: tuple[int, int], matches: int) -> bool:
    test = counting(SITES, SITES, [PAIR], T)
    inputs = np.array([[added[0], persons[0]], [added[1], persons[1]], [matches, 0]])
    return bool(plain(test, inputs)[0])


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), lots)
def test_a_number_passes_where_it_is_large_and_leaves_many_of_both(
    common: int, left: int, right: int, added: int
) -> None:
    told = passes(common, (common + left, common + right), (added, added), common + added)
    assert told == (common >= T and left >= T and right >= T)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, T - 1), lots, lots, st.integers(0, MADE_UP), st.booleans())
@example(1, 500, 500, 500, True)  # all made-up persons left out: matches are fewer than they
@example(3, 500, 400, 0, False)  # a number of made-up persons that is too small
def test_few_in_common_do_not_pass_whatever_one_of_the_two_says(
    common: int, added: int, said: int, left_out: int, first: bool
) -> None:
    """One leaves made-up persons out and lies on how many there are; the other, and the third, are honest."""
    matches = common + max(0, added - left_out)
    words = (said, added) if first else (added, said)
    assert not passes(common, (2**20, 2**20), words, matches)


def test_the_protocol_says_the_same() -> None:
    test = counting(SITES, SITES, [PAIR], T)
    for common, told in ((T - 1, False), (T, True)):
        inputs = np.array([[7, common + T], [7, common + T], [common + 7, 0]])
        assert protocol(test, inputs).tolist() == [told]


def terms(**words: Any) -> dict[str, Any]:
    plain_terms = Terms(Demands(T, T - 1, 0.33), "national_id", ("b",), "a" * 64, {}).to_dict()
    return {**plain_terms, **words}


@pytest.mark.parametrize(
    "words",
    [
        {"list": "a" * 63},
        {"list": None},
        {"linkage": "NL id"},
        {"linkage": 3},
        {"partners": "b"},
        {"partners": [3]},
        {"met": ["b"]},
        {"met": {"b": "x"}},
        {"more": 1},
        {"demands": {}},
    ],
)
def test_what_are_no_terms_is_refused(words: dict[str, Any]) -> None:
    assert Terms.from_dict(terms()).to_dict() == terms()
    with pytest.raises(ValueError, match="not"):
        Terms.from_dict(terms(**words))


def asked(**of: dict[str, Any]) -> Overlapping:
    keys = {site: (f"{number:064x}", f"{number + 9:064x}") for number, site in enumerate(SITES)}
    circle = SimpleNamespace(sites=SITES, members="a" * 64, keys=keys)
    question = SimpleNamespace(circle=circle, evaluators=SITES)
    matching = Overlapping(question, overlap(most=100))  # type: ignore[arg-type]
    everyone = {site: terms(partners=[other for other in SITES if other != site], **of.get(site, {})) for site in SITES}
    matching._agree({site: Terms.from_dict(document) for site, document in everyone.items()})
    return matching


def test_pairs_are_of_those_who_agreed_both_and_a_third_compares() -> None:
    assert isinstance(asked(), Evaluating)
    assert {(*pair.sites, pair.third) for pair in asked().pairs} == {("a", "b", "c"), ("a", "c", "b"), ("b", "c", "a")}
    assert [pair.sites for pair in asked(a={"linkage": "other"}).pairs] == [("b", "c")]
    assert not asked(a={"linkage": ""}, b={"linkage": ""}).pairs
    met = asked(a={"met": {"b": "c" * 64}})
    assert met.met == (("a", "b"),) and ("a", "b") not in [pair.sites for pair in met.pairs]
    places = {asked(a={"list": each * 64}).pairs[0].place for each in "de"}
    assert len(places) == 2  # a new list has points of its own
