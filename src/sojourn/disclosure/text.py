"""Text that would leave: what its characters hide, and whether its words are registered.

A finding is a kind and a place, never the text. Nothing here lets a text out: free text is for people to review; these
findings tell them where to look. The rule and its default (80 characters) are in disclosure-rules, "text and logs".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sojourn.analysis.declaration import LONGEST_LABEL
from sojourn.analysis.variable import Variables
from sojourn.errors import REASONS

TOO_LONG = "longer than a label"
NOT_NORMAL = "not in its plain form"  # Unicode's NFKC
HIDDEN = "hidden character"
MIXED = "letters of two scripts in one word"
UNREGISTERED = "not a registered word"

# Letters that are drawn as nothing, though Unicode does not call them format characters.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_VARIATIONS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_TAGS = range(0xE0000, 0xE0080)
_MOST_MARKS = 2  # combining signs on one letter; no living language needs more
# What a release's own documents say, beside the plan's names and levels.
_PRODUCT = (
    "sojourn site study plan analysis round ask snapshot policy policy_version hidden_max software watermark header "
    "tier partial arrays suppressed dtype shape data low medium high default contributed released missing n mean sd "
    "term estimate std_error statistic p_value ci_low ci_high count total sum numbers rows persons true false null"
)
PRODUCT: Final = frozenset(_PRODUCT.split())


@dataclass(frozen=True)
class Spot:
    """Something seen in a text: what kind of thing, and where (start and end of a slice). Never what it says."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class Vocabulary:
    """The words that are known before any record is read; compared in their plain form, capitals apart."""

    words: frozenset[str] = PRODUCT

    def __contains__(self, word: object) -> bool:
        return isinstance(word, str) and word_form(word) in self.words


def vocabulary(variables: Variables, names: Iterable[str] = ()) -> Vocabulary:
    """Registered words: the product's own, every reason of `errors.REASONS`, columns, their declared levels and units.

    names: further names that a signed plan declares, of analyses say. Values of records can never come in here.
    """
    declared: list[str] = [*PRODUCT, *REASONS, *names]
    for name, variable in variables.items():
        declared += [name, variable.unit, *variable.levels]
    return Vocabulary(frozenset(word_form(word) for word in declared if word))


def word_form(word: str) -> str:
    """How words are compared: NFKC, capitals apart, without space around."""
    return unicodedata.normalize("NFKC", word).casefold().strip()


def label_spots(label: str, known: Vocabulary) -> tuple[Spot, ...]:
    """Why a label may not stand in an output; empty where it may: short, plain and registered."""
    spots = list(character_spots(label))
    if len(label) > LONGEST_LABEL:
        spots.append(Spot(TOO_LONG, LONGEST_LABEL, len(label)))
    if label not in known:
        spots.append(Spot(UNREGISTERED, 0, len(label)))
    return tuple(spots)


def character_spots(text: str) -> tuple[Spot, ...]:
    """Characters that carry what no reader sees: zero width, direction, variation, tags, controls, look-alikes."""
    spots = [Spot(HIDDEN, place, place + 1) for place, sign in enumerate(text) if _is_hidden(sign)]
    spots += _piled_marks(text)
    spots += [Spot(MIXED, start, end) for start, end in words(text) if len(_scripts(text[start:end])) > 1]
    if unicodedata.normalize("NFKC", text) != text:
        spots += [
            Spot(NOT_NORMAL, place, place + 1)
            for place, sign in enumerate(text)
            if unicodedata.normalize("NFKC", sign) != sign
        ] or [Spot(NOT_NORMAL, 0, len(text))]
    return tuple(sorted(set(spots), key=lambda spot: (spot.start, spot.end, spot.kind)))


def words(text: str) -> Iterable[tuple[int, int]]:
    """Where each run of letters, marks and digits begins and ends."""
    start = -1
    for place, sign in enumerate(text + " "):
        inside = sign.isalnum() or (start >= 0 and unicodedata.combining(sign) > 0)
        if inside and start < 0:
            start = place
        elif not inside and start >= 0:
            yield start, place
            start = -1


def _is_hidden(sign: str) -> bool:
    if sign in "\n\t\r":
        return False
    number = ord(sign)
    drawn_as_nothing = sign in _BLANK or number in _TAGS or any(number in signs for signs in _VARIATIONS)
    # Cc Cf Cs Co Cn: controls, format characters, halves of pairs, private and unassigned ones; other spaces than " ".
    return drawn_as_nothing or unicodedata.category(sign)[0] == "C" or (sign != " " and sign.isspace())


def _piled_marks(text: str) -> list[Spot]:
    spots, run = [], 0
    for place, sign in enumerate(text):
        run = run + 1 if unicodedata.combining(sign) else 0
        if run > _MOST_MARKS:
            spots.append(Spot(HIDDEN, place, place + 1))
    return spots


def _scripts(word: str) -> set[str]:
    """The alphabets of a word's letters: the first word of each letter's Unicode name."""
    found = {unicodedata.name(sign, "?").split(" ")[0] for sign in word if sign.isalpha()}
    japanese = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}
    return (found - japanese) | ({"CJK"} if found & japanese else set())
