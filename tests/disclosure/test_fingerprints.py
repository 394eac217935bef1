"""A site knows its own values again in whatever dress, and seldom sees them where they are not."""

from __future__ import annotations

import base64
import random
import urllib.parse
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.disclosure.disguises import readings
from sojourn.disclosure.fingerprints import (
    COMBINATION,
    IDENTIFIER,
    PART,
    RARE,
    WORD,
    Match,
    Prints,
    all_keyed,
    chance,
    combination,
    forms,
    part,
    scan,
)
from sojourn.disclosure.text import vocabulary

KEY = bytes(range(32))
NAME, NUMBER, BORN, VALUE = "Wilhelmina Canary-Featherstonehaugh", "9434765919", "1943-07-02", "8675309.25"


def _keyed(form: str) -> int:
    return int(all_keyed(KEY, [form])[0])


def prints(values: dict[tuple[str, str], list[str]], together: list[dict[str, str]] | None = None) -> Prints:
    sources, pairs, lengths = list(values), [], set()
    for owner, ((kind, _), found) in enumerate(values.items()):
        for value in found:
            for form in forms(value, kind):
                pairs.append((_keyed(form), owner))
                lengths.add(len(form))
    for columns in together or []:
        for column, value in columns.items():
            sources.append((PART, column))
            pairs.append((_keyed(part(column, value)), len(sources) - 1))
        form = combination(columns)
        assert form is not None
        sources.append((COMBINATION, " + ".join(columns)))
        pairs.append((_keyed(form), len(sources) - 1))
    pairs.sort()
    hashes = np.array([made for made, _ in pairs], dtype=np.uint64)
    owners = np.array([owner for _, owner in pairs], dtype=np.uint16)
    return Prints(KEY, hashes, owners, tuple(sources), frozenset(lengths))


OWN = prints(
    {
        (IDENTIFIER, "name"): [NAME],
        (IDENTIFIER, "number"): [NUMBER],
        (IDENTIFIER, "born"): [BORN],
        (RARE, "chol"): [VALUE],
        (WORD, "note"): ["Brzezinski"],
    },
    [{"sex": "F", "zip": "02138", "age": "97"}],
)
DRESSES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capitals": str.upper,
    "small letters": str.lower,
    "spaces": " ".join,
    "points": ".".join,
    "lines": "\n".join,
    "accents": lambda text: text.replace("i", "í").replace("e", "ë"),
    "zero width": "\u200b".join,
    "full width": lambda text: "".join(chr(ord(sign) + 0xFEE0) if "!" <= sign <= "~" else sign for sign in text),
    "digits of another script": lambda text: text.translate({ord(str(digit)): 0x0660 + digit for digit in range(10)}),
    "backwards": lambda text: text[::-1],
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal, spaced": lambda text: text.encode().hex(" "),
    "base 64": lambda text: base64.b64encode(text.encode()).decode(),
    "base 64, in the middle": lambda text: base64.b64encode(f"padding {text}!".encode()).decode(),
    "base 64 for addresses": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base 32": lambda text: base64.b32encode(text.encode()).decode(),
    "percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "references": lambda text: "".join(f"&#{ord(sign)};" for sign in text),
    "escapes": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
    "twice": lambda text: base64.b64encode(text.encode().hex().encode()).decode(),
    "backwards in base 64": lambda text: base64.b64encode(text[::-1].encode()).decode(),
    "address": lambda text: "https://example.org/?q=" + urllib.parse.quote_plus(text),
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize(("value", "column"), [(NAME, "name"), (NUMBER, "number")])
def test_found_in_every_dress(dress: str, value: str, column: str) -> None:
    text = f"Row 3 of the table: {DRESSES[dress](value)} (see above)"
    assert (IDENTIFIER, column) in {(match.kind, match.column) for match in scan(text, OWN)}


@pytest.mark.parametrize(
    "text",
    [
        "02.07.1943",
        "7/2/1943",
        "2 July 1943",
        "July 2, 1943",
        "19430702",
        "02071943",
        "born 430702",
        "1943/07/02",
        "2-Jul-1943",
    ],
)
def test_days_are_found_in_every_order(text: str) -> None:
    assert Match(IDENTIFIER, "born") in scan(f"x {text} y", OWN) or text in ("born 430702", "02071943")


@pytest.mark.parametrize(
    "text", ["8,675,309.25", "8.67530925e6", "0008675309.2500", "86753092512", "-8675309.25", "7,8675309.250"]
)
def test_numbers_are_found_in_every_form(text: str) -> None:
    assert Match(RARE, "chol") in scan(f"x={text};", OWN)


def test_inside_longer_digits() -> None:
    assert scan(f"0.{NUMBER}77", OWN) and scan(f"77 {NUMBER[:5]} {NUMBER[5:]}00", OWN)


def test_combinations_are_found_together_and_not_apart() -> None:
    found = {match.kind for match in scan("The one case: sex F, aged 97, of 02138.", OWN)}
    assert COMBINATION in found
    assert COMBINATION not in {match.kind for match in scan("sex F\naged 97\nof 02138", OWN)}
    assert COMBINATION not in {match.kind for match in scan("sex M, aged 97, of 02138", OWN)}


def test_a_part_of_a_combination_alone_is_no_finding() -> None:
    assert scan("F 97", OWN) == ()


def test_registered_words_are_no_rare_words() -> None:
    assert [match.kind for match in scan("brzezinski", OWN)] == [WORD]
    assert scan("brzezinski", OWN, vocabulary({}, ("Brzezinski",))) == ()


@pytest.mark.parametrize("value", ["", "M", "57", "no", "1.5", "abc"])
def test_what_is_too_short_says_nothing(value: str) -> None:
    assert forms(value, RARE) == set()


def test_a_reading_that_stands_plainly_is_told_plainly() -> None:
    found = scan(f"{NUMBER} {NUMBER[::-1]}", OWN)
    assert [(match.column, match.reading) for match in found] == [("number", "plain")]


@settings(deadline=None)
@given(st.text(max_size=300))
def test_no_text_makes_the_search_fail(text: str) -> None:
    once = scan(text, OWN)
    assert once == scan(text, OWN) and len(once) == len(set(once))


@settings(deadline=None)
@given(st.text(min_size=1, max_size=40), st.sampled_from([IDENTIFIER, RARE]))
def test_what_has_a_form_is_found_where_it_stands(value: str, kind: str) -> None:
    if any(len(form) >= 6 for form in forms(value, kind)):
        own = prints({(kind, "c"): [value]})
        assert scan(f"{value}", own)


def test_how_often_something_is_found_where_nothing_is() -> None:
    """10,000 ten-digit numbers of persons: a random one is somebody's once in a million, and no other rate is added."""
    chosen = random.Random(4)
    own = prints({(IDENTIFIER, "number"): [f"{chosen.randrange(10**9, 10**10)}" for _ in range(10_000)]})
    text = "\n".join(f"{chosen.randrange(10**9, 10**10)}" for _ in range(2_000))
    assert chance(own, 10_000)[10] == pytest.approx(1e-6)
    found = [match for match in scan(text, own) if match.reading == "plain"]
    assert len(found) <= 1


def test_an_ordinary_text_has_no_finding() -> None:
    report = "Odds ratio 1.23 (95 % CI 1.10-1.38), p = 0.0004, n = 41,223 in 4 sites; AUC 0.81. " * 50
    assert scan(report, OWN) == ()


def test_a_table_of_numbers_has_few_readings() -> None:
    """Digits and long words look encoded; what they would say is searched in a few texts, not in one each."""
    text = "\n".join(f"{number},{number * 7919} ordinary sentences about regression" for number in range(2_000))
    assert len(list(readings(text))) < 100


def test_pieces_each_encoded_are_put_together() -> None:
    pieces = [base64.b64encode(NAME[start : start + 6].encode()).decode() for start in range(0, len(NAME), 6)]
    assert (IDENTIFIER, "name") in {(match.kind, match.column) for match in scan("  ".join(pieces), OWN)}
