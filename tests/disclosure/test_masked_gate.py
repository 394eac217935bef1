"""The gate of masked plans: what it lets out is masked, of one form, or random with a veto."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from disclosure.outputs import HEADER
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Step
from sojourn.analysis.support import Support
from sojourn.disclosure.masked_gate import (
    MaskedRelease,
    ReceivedMasked,
    masked,
    matched,
    numbers_of,
    shares,
    summed,
)
from sojourn.disclosure.output import Output
from sojourn.disclosure.policy import StandardPolicy
from sojourn.secrecy import ring as rings
from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.masks import Place
from sojourn.secrecy.masks import masked as under_masks

STEP = Step("sums", {}, {"count": (2,), "sum": (3,)})
MASKED_HEADER = replace(HEADER, roster="b" * 64, transcript="c" * 64)
POLICY = StandardPolicy()
SITES = ("Avon", "Brent", "Cam")
KEYS = {site: ExchangeKey.generate() for site in SITES}
PLACE = Place("5" * 32, "sums", "a" * 64, "b" * 64)


def output(count: Any, total: Any) -> Output:
    partial = Partial({"count": np.asarray(count), "sum": np.asarray(total, dtype=float)})
    return Output("describe", STEP, partial, Support(BitMap(), ()), {}, ("minimum frequency",))


def out(site: str, what: Output | Step, cells: Any = None, veto: bool = False) -> MaskedRelease:
    peers = {other: key.public for other, key in KEYS.items() if other != site}

    def mask(vector: rings.Ring) -> rings.Ring:
        return under_masks(vector, KEYS[site], site, peers, PLACE)

    return masked(what, POLICY, MASKED_HEADER, cells or {}, len(SITES), mask, veto=veto)


counts = st.lists(st.integers(0, 10**9), min_size=2, max_size=2)
sums = st.lists(st.floats(-(2.0**40), 2.0**40, width=64), min_size=3, max_size=3)


@settings(max_examples=25, deadline=None)
@given(st.tuples(counts, counts, counts), st.tuples(sums, sums, sums))
def test_the_sum_is_that_of_the_parts_and_failed_cells_are_zero_in_it(own: Any, totals: Any) -> None:
    cells = {"count": np.array([False, True])}
    vectors = [out(site, output(n, x), cells).ring for site, n, x in zip(SITES, own, totals, strict=True)]
    total = summed(STEP, vectors, cells)
    assert total is not None
    assert total["count"].tolist() == [sum(n[0] for n in own), 0]
    assert total.hidden("count").tolist() == [False, True]
    exact = np.array(totals).sum(axis=0)
    assert np.allclose(total["sum"].astype(float), exact, rtol=1e-13, atol=1e-3 * 2**-30)


def test_of_an_overlap_only_pairs_that_passed_are_told() -> None:
    told = {"matches": {"0": 31}, "added": {}}
    assert matched(POLICY, MASKED_HEADER, ["0"], told).told == told
    with pytest.raises(ValueError, match="did not pass"):
        matched(POLICY, MASKED_HEADER, ["1"], told)


@pytest.mark.parametrize(
    "wrong",
    [
        output([1, 2], [np.nan, 0, 0]),
        output([1, 2], [2.0**62, 0, 0]),
        output([2**60, 2], [0, 0, 0]),
        output([1, 2, 3], [0, 0, 0]),
        output([1.0, 2.0], [0, 0]),
    ],
    ids=["not finite", "too large", "too large a whole number", "another shape", "one fewer"],
)
def test_what_may_not_leave_is_random_with_a_veto(wrong: Output) -> None:
    vectors = [out("Avon", wrong).ring, *(out(site, output([1, 2], [1, 2, 3])).ring for site in SITES[1:])]
    assert {len(vector) for vector in vectors} == {rings.ELEMENT * (numbers_of(STEP) + 1)}
    assert summed(STEP, vectors, {}) is None


def test_a_site_with_nothing_adds_zeros_and_looks_the_same() -> None:
    vectors = [out("Avon", STEP).ring, *(out(site, output([5, 6], [1.5, 0, -1])).ring for site in SITES[1:])]
    total = summed(STEP, vectors, {})
    assert total is not None and total["count"].tolist() == [10, 12] and total["sum"].tolist() == [3, 0, -2]
    assert total["count"].dtype == np.int64


def test_a_vector_that_nobody_masked_makes_no_sum() -> None:
    plain = masked(output([5, 6], [1.5, 0, -1]), POLICY, MASKED_HEADER, {}, len(SITES), lambda vector: vector).ring
    vectors = [plain, *(out(site, STEP).ring for site in SITES[1:])]
    with pytest.raises(ValueError, match="not masked"):
        summed(STEP, vectors, {})


def test_nobody_else_makes_copies_or_changes_one() -> None:
    made = out("Avon", STEP)
    with pytest.raises(TypeError, match="only the disclosure gate"):
        MaskedRelease(MASKED_HEADER, b"", {}, {}, object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no other kinds"):
        type("Mine", (MaskedRelease,), {})
    with pytest.raises(AttributeError):
        made.ring = b""
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="not copied"):
            copied(made)  # type: ignore[operator]


WORDS = ["header", "ring", "told", "sealed", "more"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=2)
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["header", "ring", "told", "sealed", "more"]),
    anything | st.dictionaries(st.text(max_size=5), anything),
)
def test_a_document_is_read_as_it_was_written_or_not_at_all(word: str, value: Any) -> None:
    document = shares(POLICY, MASKED_HEADER, {"opening": "AAAA"}, {"Avon": b"abc"}).to_dict()
    read = ReceivedMasked.from_dict(json.loads(json.dumps(document)))
    assert read.to_dict() == document and read.digest() == shares(POLICY, read.header, read.told, read.sealed).digest()
    bent = {**document, word: value}
    with contextlib.suppress(ValueError):
        assert ReceivedMasked.from_dict(bent).to_dict() == bent
