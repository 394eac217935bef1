"""Masks cancel over the whole roster and nowhere else, and belong to one place."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import KEYS, PLACE, others, roster, share

from sojourn.errors import IdentityError
from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.masks import LEAST, Place, mask_key, masked
from sojourn.secrecy.ring import RANGE, add, decode, encode, to_bytes
from sojourn.secrecy.uniformity import plausible


@settings(max_examples=8, deadline=None)
@given(st.permutations(range(50)), st.integers(3, 50), st.randoms(use_true_random=False))
def test_masks_cancel_over_any_roster_in_any_order(order: list[int], sites: int, random: object) -> None:
    keys = {f"site {number}": KEYS[number] for number in order[:sites]}
    numbers = np.random.default_rng(order[0]).normal(size=(sites, 3)) * [1, 1e6, 1e-6]
    whole = np.random.default_rng(order[1]).integers(-RANGE // sites + 1, RANGE // sites, size=(sites, 2))
    floats = [share(keys, site, row) for site, row in zip(keys, numbers, strict=True)]
    integers = [share(keys, site, row) for site, row in zip(keys, whole, strict=True)]
    assert (add(floats) == add(encode(row, sites) for row in numbers)).all()
    assert decode(add(integers), np.int64).tolist() == [sum(map(int, column)) for column in whole.T]
    assert (add(floats[1:]) != add(encode(row, sites) for row in numbers[1:])).all()
    random.shuffle(floats)  # type: ignore[attr-defined]
    assert (add(floats) == add(encode(row, sites) for row in numbers)).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=3, max_size=8))
def test_masked_sums_are_the_clear_ones_to_thirteen_digits(rows: list[list[float]]) -> None:
    keys = roster(len(rows))
    total = decode(add(share(keys, site, np.array(row)) for site, row in zip(keys, rows, strict=True)), np.float64)
    for number, column in zip(total, zip(*rows, strict=True), strict=True):
        exact = sum(map(Fraction, column))
        # Half a unit of the ring for each party, and one rounding to float64.
        assert abs(Fraction(float(number)) - exact) <= Fraction(len(rows), 2**65) + abs(exact) / 2**53
        if abs(exact) > 1e-5:
            assert math.isclose(number, math.fsum(column), rel_tol=1e-13)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["study", "analysis", "ask", "roster"]), st.data())
def test_another_place_has_other_masks(field: str, data: st.DataObject) -> None:
    text = st.text(min_size=1) if field == "analysis" else st.binary(min_size=32, max_size=32).map(bytes.hex)
    other = replace(PLACE, **{field: data.draw(text.filter(lambda word: word != getattr(PLACE, field)))})
    keys = roster(3)
    numbers = np.zeros(8)
    assert not (share(keys, "site 0", numbers) == share(keys, "site 0", numbers, other)).any()
    mixed = [share(keys, site, numbers, other if site == "site 0" else PLACE) for site in keys]
    assert not (add(mixed) == 0).any()


def test_a_place_has_one_spelling() -> None:
    """Words do not run together: (ab, c) is not (a, bc)."""
    one, other = (Place("5" * 32, analysis, "a" * 64, "b" * 64) for analysis in ('m","ask":"', "m"))
    keys = roster(2)
    assert len({mask_key(KEYS[0], "site 0", "site 1", keys["site 1"].public, place) for place in (one, other)}) == 2
    assert mask_key(KEYS[0], "a", "bc", KEYS[1].public, PLACE) != mask_key(KEYS[0], "ab", "c", KEYS[1].public, PLACE)


def test_two_sites_derive_one_key_and_a_third_another() -> None:
    a, b, c = KEYS[:3]
    assert mask_key(a, "a", "b", b.public, PLACE) == mask_key(b, "b", "a", a.public, PLACE)
    assert mask_key(a, "a", "b", b.public, PLACE) != mask_key(c, "a", "b", b.public, PLACE)


def test_one_wrong_key_makes_the_sum_garbage() -> None:
    keys = roster(4)
    wrong = {**others(keys, "site 0"), "site 2": ExchangeKey.generate().public}
    shares = [share(keys, site, np.ones(64)) for site in list(keys)[1:]]
    shares.append(masked(encode(np.ones(64), 4), keys["site 0"], "site 0", wrong, PLACE))
    assert not (add(shares) == encode(np.full(64, 4.0), 4)).any()
    assert plausible(to_bytes(add(shares)))
    with pytest.raises(ValueError, match="out of range"):
        decode(add(shares), np.float64)


def test_a_long_vector_is_masked_to_its_end() -> None:
    keys = roster(3)
    numbers = np.arange(20_000.0)
    shares = [share(keys, site, numbers) for site in keys]
    assert decode(add(shares), np.float64).tolist() == (3 * numbers).tolist()
    assert all(plausible(to_bytes(one[start : start + 500])) for one in shares for start in range(0, 20_000, 500))


def test_rosters_that_hide_nothing_are_refused() -> None:
    ring, keys = encode(np.ones(2), 3), roster(5)
    peers = others(keys, "site 0")
    own = keys["site 0"]
    for bad in (
        {},
        {"site 1": peers["site 1"]},  # two sites: each knows the other's part
        {**peers, "site 2": peers["site 1"]},  # one key under two names
        {**peers, "site 2": own.public},
        {**peers, "site 0": KEYS[7].public},  # itself, with another key
    ):
        with pytest.raises(ValueError, match="roster"):
            masked(ring, own, "site 0", bad, PLACE)
    with pytest.raises(ValueError, match="roster"):
        masked(ring, own, "site 0", {}, PLACE, least=0)
    assert LEAST == 3 and len(masked(ring, own, "site 0", {"site 1": peers["site 1"]}, PLACE, least=2)) == 2
    for public in ("", "00", "0" * 64, "zz" * 32, peers["site 1"].upper()):
        with pytest.raises(IdentityError):
            masked(ring, own, "site 0", {**peers, "site 1": public}, PLACE)


def test_the_examples_of_the_manual_run() -> None:
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "secrecy.md").read_text(encoding="utf-8")
    examples = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    assert len(examples) >= 2 and "masked(" in examples[0]
    for example in examples:
        exec(compile(example, "secrecy.md", "exec"), {})
