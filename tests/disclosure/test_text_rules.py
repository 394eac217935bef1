"""Labels, hidden characters and identifiers: what is seen, and that a finding never holds the text."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.disclosure.identifiers import PATTERNS, identifier_spots
from sojourn.disclosure.text import (
    HIDDEN,
    MIXED,
    NOT_NORMAL,
    TOO_LONG,
    UNREGISTERED,
    Spot,
    Vocabulary,
    character_spots,
    label_spots,
    vocabulary,
)

KNOWN = vocabulary({"sex": Variable(Kind.CATEGORY, levels=("Männer", "Frauen"))}, ("model",))


def kinds(text: str) -> set[str]:
    return {spot.kind for spot in identifier_spots(text)}


def seen(label: str) -> set[str]:
    return {spot.kind for spot in label_spots(label, KNOWN)}


@pytest.mark.parametrize("label", ["sex", "Männer", "MODEL", "n", "minimum frequency"])
def test_a_registered_word_passes(label: str) -> None:
    assert seen(label) == set()


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("Wilhelmina", UNREGISTERED),
        ("sex" * 30, TOO_LONG),
        ("se\u200bx", HIDDEN),  # zero width
        ("sex\u202e", HIDDEN),  # direction
        ("sex\ufe0f", HIDDEN),  # variation
        ("sex\U000e0041", HIDDEN),  # tag
        ("sex\U000e0100", HIDDEN),
        ("s\u00adex", HIDDEN),  # soft hyphen
        ("sex\u2003", HIDDEN),  # a space of another width
        ("sex\ue000", HIDDEN),  # private
        ("s\u0301\u0301\u0301ex", HIDDEN),  # marks piled up
        ("s\u0435x", MIXED),  # a Cyrillic e
        ("ｓｅｘ", NOT_NORMAL),
        ("ﬁx", NOT_NORMAL),
    ],
)
def test_what_a_label_may_not_be(label: str, kind: str) -> None:
    assert kind in seen(label)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_places_are_inside_the_text_and_nothing_else_is_told(text: str) -> None:
    for spot in (*label_spots(text, KNOWN), *identifier_spots(text)):
        assert 0 <= spot.start <= spot.end <= max(len(text), spot.end - spot.start)
        assert {field.name for field in dataclasses.fields(spot)} == {"kind", "start", "end"}


@settings(deadline=None)
@given(
    st.text(alphabet=st.characters(codec="utf-8", categories=("Cf", "Co", "Cc")), min_size=1).map(
        lambda t: t.strip("\n\r\t")
    )
)
def test_no_format_character_passes(hidden: str) -> None:
    assert not hidden or HIDDEN in {spot.kind for spot in character_spots("plain" + hidden)}


@settings(deadline=None)
@given(st.text(min_size=1, max_size=100))
def test_only_registered_words_pass(text: str) -> None:
    assert bool(label_spots(text, Vocabulary(frozenset({"yes"})))) or text.strip().casefold() == "yes"


# Numbers that their issuers or standards publish as examples; the second of each pair has a wrong check.
VECTORS = [
    ("NHS number", "943 476 5919", "943 476 5918"),
    ("US social security number", "078-05-1120", "666-05-1120"),
    ("Spanish DNI or NIE", "12345678Z", "12345678A"),
    ("Spanish DNI or NIE", "X1234567L", "X1234567M"),
    ("French NIR", "2 55 08 14 168 025 38", "2 55 08 14 168 025 39"),
    ("German KVNR", "A123456780", "A123456781"),
    ("Swedish personal number", "811228-9874", "811228-9875"),
    ("Danish CPR number", "070761-4285", "990761-4285"),
    ("Finnish personal identity code", "131052-308T", "131052-308U"),
    ("Norwegian identity number", "01010750160", "01010750161"),
    ("Dutch BSN", "111222333", "111222334"),
    ("payment card", "4111 1111 1111 1111", "4111 1111 1111 1112"),
    ("IBAN", "GB82 WEST 1234 5698 7654 32", "GB82 WEST 1234 5698 7654 33"),
    ("e-mail address", "ada@example.org", "ada at example.org"),
    ("telephone number", "+44 20 7946 0958", "+44"),
    ("telephone number", "(555) 010-9999", "555"),
    ("date", "1943-07-02", "1943-13-42"),
    ("date", "02/07/1943", "42/13/1943"),
    ("date", "2 July 1943", "2 Juli"),
    ("postcode", "SW1A 1AA", "SW1A"),
    ("postcode", "K1A 0B1", "K1A"),
    ("record number", "MRN: 00482913", "MRN: none"),
    ("network address", "192.0.2.44", "192.0.2"),
    ("network address", "2001:db8::8a2e:370:7334", "2001:db8"),
    ("web address", "https://example.org/p?id=7", "example"),
    ("GUID", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
    ("position", "52.51628, 13.37770", "52.5, 13.4"),
]


@pytest.mark.parametrize(("kind", "right", "wrong"), VECTORS)
def test_identifiers_and_their_checks(kind: str, right: str, wrong: str) -> None:
    assert kind in kinds(f"seen: {right}.")
    assert kind not in kinds(f"seen: {wrong}.")


def test_every_kind_of_pattern_has_a_vector() -> None:
    assert {pattern.kind for pattern in PATTERNS} == {kind for kind, _, _ in VECTORS}


def test_digits_of_other_scripts_are_read() -> None:
    arabic = "943 476 5919".translate({ord(str(digit)): 0x0660 + digit for digit in range(10)})
    assert "NHS number" in kinds(arabic)


def test_the_place_is_where_it_stands() -> None:
    text = "write to ada@example.org today"
    [spot] = [spot for spot in identifier_spots(text) if spot.kind == "e-mail address"]
    assert spot == Spot("e-mail address", 9, 24) and text[spot.start : spot.end] == "ada@example.org"


@settings(deadline=None)
@given(st.text(alphabet="0123456789-. /@abcXYZ:+()", max_size=400))
def test_no_text_makes_the_patterns_fail(text: str) -> None:
    assert all(0 <= spot.start < spot.end <= len(text) for spot in identifier_spots(text))
