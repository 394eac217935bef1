"""Two sites' persons in common are counted, by a third, where they are many; lists tell nothing by themselves."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosters import KEYS, PLACE

from sojourn.secrecy.intersection import MADE_UP, POINT, _point, blinded, doubled, made_up, matches, pseudonyms
from sojourn.secrecy.masks import Place
from sojourn.secrecy.uniformity import plausible

A, B = KEYS[:2]
FIELD = 2**255 - 19


def lists(one: set[bytes], other: set[bytes], size: int, place: Place = PLACE) -> tuple[bytes, bytes]:
    """Both sites' doubled lists, as the third gets them."""
    mine = pseudonyms(one, A, B.public, place)
    yours = pseudonyms(other, B, A.public, place)
    return doubled(blinded(mine, A, place, size), B, place, size), doubled(
        blinded(yours, B, place, size), A, place, size
    )


def person(number: int) -> bytes:
    return b"person %d" % number


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_the_number_in_common_is_that_of_the_sets(one: set[int], other: set[int]) -> None:
    assert matches(*lists(set(map(person, one)), set(map(person, other)), 21), 21) == len(one & other)


def test_made_up_persons_are_the_same_for_two_sites_and_no_others() -> None:
    places = [replace(PLACE, study=f"{number:032x}") for number in range(60)]
    counts = []
    for place in places:
        mine = made_up(A, B.public, place)
        assert mine == made_up(B, A.public, place)
        assert not mine & made_up(A, KEYS[2].public, place)
        counts.append(len(mine))
    assert max(counts) <= MADE_UP
    assert min(counts) < MADE_UP / 4 < 3 * MADE_UP / 4 < max(counts)
    assert len(set(counts)) > 50  # another place, another lot


def test_the_third_sees_the_number_only_with_the_made_up_ones() -> None:
    added = made_up(A, B.public, PLACE)
    size = 30 + MADE_UP
    mine = pseudonyms(map(person, range(20)), A, B.public, PLACE) | added
    yours = pseudonyms(map(person, range(12, 40)), B, A.public, PLACE) | added
    one, other = blinded(mine, A, PLACE, size), blinded(yours, B, PLACE, size)
    assert matches(doubled(one, B, PLACE, size), doubled(other, A, PLACE, size), size) == 8 + len(added)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(12, 20), st.integers(12, 20))
def test_two_lists_under_one_name_share_no_number(one: int, other: int, small: int, large: int) -> None:
    """A partner may have got a list of nobody first, of a table that was not approved, or a plan for fewer persons."""

    def points(count: int, size: int) -> set[bytes]:
        data = blinded(pseudonyms(map(person, range(count)), A, B.public, PLACE), A, PLACE, size)
        return {data[start : start + POINT] for start in range(0, len(data), POINT)}

    shared = len(points(one, small) & points(other, large))
    assert shared == (min(small, large) if one == other else min(one, other))  # all of the smaller; persons in both


def test_lists_tell_neither_persons_nor_how_many() -> None:
    few, many = (blinded(pseudonyms(map(person, range(n)), A, B.public, PLACE), A, PLACE, 40) for n in (2, 40))
    assert len(few) == len(many) == 40 * POINT
    assert plausible(few) and plausible(many)
    points = [many[start : start + POINT] for start in range(0, len(many), POINT)]
    assert points == sorted(points)
    assert few == blinded(pseudonyms(map(person, [1, 0]), A, B.public, PLACE), A, PLACE, 40)  # sent again: the same
    # On the curve, every one: a point of the twist would say so for ever, and halve the persons whom it may be.
    for point in points:
        u = int.from_bytes(point, "little")
        assert pow(u * (u * u + 486662 * u + 1), (FIELD - 1) // 2, FIELD) == 1


def test_a_dictionary_finds_nobody() -> None:
    """Naive: hashes of identifiers, which whoever guesses them recognises. Here the hub, and the other site, do not."""
    here, guesses = set(map(person, range(5, 15))), [person(n) for n in range(30)]
    naive = {hashlib.sha256(one).digest() for one in here}
    assert {guess for guess in guesses if hashlib.sha256(guess).digest() in naive} == here
    sent = blinded(pseudonyms(here, A, B.public, PLACE), A, PLACE, 10)
    points = {sent[start : start + POINT] for start in range(0, len(sent), POINT)}
    known = pseudonyms(guesses, B, A.public, PLACE)  # the other site can make pseudonyms and points, not A's number
    assert not points & {_point(one) for one in known}
    mine = blinded(known, B, PLACE, 30)
    assert not points & {mine[start : start + POINT] for start in range(0, len(mine), POINT)}


def test_another_place_has_other_points() -> None:
    some = set(map(person, range(12)))
    for other in (replace(PLACE, study="6" * 32), replace(PLACE, ask="c" * 64), replace(PLACE, roster="d" * 64)):
        one, _ = lists(some, some, 12)
        _, two = lists(some, some, 12, other)
        assert matches(one, two, 12) == 0
    assert pseudonyms(some, A, B.public, PLACE) == pseudonyms(some, B, A.public, PLACE)
    assert not pseudonyms(some, A, B.public, PLACE) & pseudonyms(some, A, KEYS[2].public, PLACE)


def test_lists_of_another_form_are_refused() -> None:
    sent = blinded(set(map(person, range(4))), A, PLACE, 4)
    points = [sent[start : start + POINT] for start in range(0, len(sent), POINT)]
    again = bytearray(points[3])
    again[31] |= 0x80  # the same point, for X25519 does not look at this bit
    for bad in (
        sent[:-1],
        sent[:-POINT],
        sent + bytes(POINT),
        b"".join(reversed(points)),
        b"".join([points[0], *points[:3]]),  # one twice
        b"".join([*points[:3], bytes(again)]),
        b"".join([*points[:3], (FIELD + 1).to_bytes(POINT, "little")]),
        bytes(POINT) + b"".join(points[1:]),  # of small order
        b"",
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            doubled(bad, B, PLACE, 4)
    with pytest.raises(ValueError, match="more persons"):
        blinded(set(map(person, range(5))), A, PLACE, 4)
    with pytest.raises(ValueError, match="twice"):
        blinded([person(1), person(1)], A, PLACE, 4)
    with pytest.raises(ValueError, match="agreed size"):
        matches(sent, sent[:-POINT], 4)
