"""Fingerprints: keyed hashes by which a site knows its own identifiers, rare values and rare combinations again.

They are found in any text without being kept in clear: forms of values (capitals, accents and separators apart) are
hashed with the node's secret key, cut to 64 bits and sorted; so are all parts of a text that could be one. Hashes stay
at the node, and the key in a file of its own: 64 bits of a guessable value are no secret to who has the key.

Chance: a text gives at most 64 candidates a character, so with n fingerprints a finding by a collision of hashes has a
probability below 64 · characters · n / 2^64, 3.5e-5 for a megabyte and ten million. What is left is chance of the
values themselves: `chance` says how likely a random number is to be somebody's.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sojourn.disclosure.disguises import PLAIN, readings
from sojourn.disclosure.identifiers import MONTHS, dates
from sojourn.disclosure.text import Vocabulary

IDENTIFIER, RARE, WORD = "identifier", "rare value", "rare word"
PART, COMBINATION = "part of a combination", "rare combination"  # a part alone is no finding
LONGEST = 48  # signs of a form; longer values are known by their beginning
_SHORTEST = {IDENTIFIER: (4, 4), RARE: (5, 4), WORD: (5, 4)}  # digits, letters
_COMBINATION_SIGNS = 5  # a combination that says less is found everywhere: M, 57
_ANYWHERE_DIGITS, _ANYWHERE = 6, 8  # so long a form is found inside a longer run, or with one end in one
_PIECE = 1 << 16
_WINDOW, _STEP = 160, 80  # words in which the parts of a combination must stand together
_MOST_PARTS = 48  # of combinations, of one window

_NUMBER = re.compile(r"[-+]?\d[\d,' ]{0,30}(?:\.\d{1,30})?(?:[eE][-+]?\d{1,3})?", re.ASCII)
_SIMPLE = re.compile(r"\d+\.\d+", re.ASCII)  # also where a comma stands between two numbers
_MONTH = "|".join(MONTHS)
_NAMED_DAY = re.compile(
    rf"(\d{{1,2}})[\s.-]{{0,2}}({_MONTH})[a-z]*[\s.,-]{{0,2}}(\d{{4}})|({_MONTH})[a-z]*[\s.]{{0,2}}(\d{{1,2}}),?\s?(\d{{4}})",
    re.IGNORECASE,
)
_DAY = re.compile(r"(?<!\d)\d{1,4}[-./ ]\d{1,2}[-./ ]\d{1,4}(?!\d)", re.ASCII)


@dataclass(frozen=True)
class Match:
    """A fingerprint that was found: its kind, its column, and in which reading of the text. For the custodian alone."""

    kind: str
    column: str
    reading: str = PLAIN


@dataclass(frozen=True)
class Prints:
    """The fingerprints of one snapshot: sorted hashes, and for each the number of its source in `sources`."""

    key: bytes
    hashes: NDArray[np.uint64]
    owners: NDArray[np.uint16]
    sources: tuple[tuple[str, str], ...]  # kind, column
    lengths: frozenset[int]  # of the forms

    def find(self, forms: Iterable[str]) -> dict[str, set[tuple[str, str]]]:
        """Which of these forms are known, and as what."""
        asked = list(forms)
        hashed = np.array(all_keyed(self.key, asked), dtype=np.uint64)
        places = np.empty(len(hashed), dtype=np.int64)
        order = hashed.argsort()  # in order, so that near memory is read together
        places[order] = np.searchsorted(self.hashes, hashed[order])
        known: dict[str, set[tuple[str, str]]] = {}
        inside = places < len(self.hashes)
        hit = np.flatnonzero(inside)[self.hashes[places[inside]] == hashed[inside]]
        for place in hit:
            at = int(places[place])
            while at < len(self.hashes) and self.hashes[at] == hashed[place]:
                known.setdefault(asked[place], set()).add(self.sources[int(self.owners[at])])
                at += 1
        return known


def all_keyed(key: bytes, all_forms: Iterable[str]) -> NDArray[np.uint64]:
    """The fingerprints of these forms: keyed BLAKE2b (RFC 7693), 64 bits each."""
    start = hashlib.blake2b(digest_size=8, key=key, person=b"sojourn print")
    digests = bytearray()
    for form in all_forms:
        hashing = start.copy()
        hashing.update(form.encode())
        digests += hashing.digest()
    return np.frombuffer(bytes(digests), dtype=">u8").astype(np.uint64)


# ---- forms of values


def compact(text: str) -> str:
    """Letters and digits alone, without accents and capitals, in their plain Unicode form."""
    if text.isascii():
        return "".join(filter(str.isalnum, text.casefold()))
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in plain if sign.isalnum())  # digits of every script


def forms(value: str, kind: str) -> set[str]:
    """The forms by which a value is known; empty where it is too short to say anything."""
    digits, letters = _SHORTEST[kind]
    whole = compact(value)
    found = {whole}
    if value.isascii() and value.isdigit():  # most identifiers: nothing more to be read in them
        found.add(whole.lstrip("0"))
    elif any(sign.isdigit() for sign in whole):
        found |= numbers(value) | days(value)
    long_enough = {form for form in found if len(form) >= (digits if form.isdigit() else letters)}
    return {form[:LONGEST] for form in long_enough}


def numbers(text: str) -> set[str]:
    """The significant digits of each number in a text: `0012.50` and `1.25e1` are both 125."""
    found = set()
    for literal in {*_NUMBER.findall(text), *_SIMPLE.findall(text)}:
        mantissa = re.split("[eE]", literal)[0]
        whole, _, fraction = mantissa.partition(".")
        digits = re.sub(r"\D", "", whole).lstrip("0") + fraction
        found.add(digits.lstrip("0"))
        if fraction:
            found.add(digits.strip("0"))
    return found - {""}


def days(text: str) -> set[str]:
    """Each day in a text as YYYYMMDD, in every order that is a day."""
    found = set()
    for written in _DAY.findall(text):
        parts = re.split(r"[-./ ]", written)
        if sorted(len(part) for part in parts)[-1] in (2, 4):
            found |= dates("".join(part.zfill(2) for part in parts))
    for day, month, year, other_month, other_day, other_year in _NAMED_DAY.findall(text):
        number = MONTHS.index((month or other_month).lower()) + 1
        found |= dates(f"{year or other_year}{number:02d}{int(day or other_day):02d}")
    return found


def part(column: str, value: str) -> str:
    """The form of a quasi-identifier's value, which counts in combinations alone."""
    return f"part\0{column}\0{_one(value)}"


def combination(parts: Mapping[str, str]) -> str | None:
    """The form of a combination of columns' values; None where it says too little to be found again."""
    said = {column: _one(value) for column, value in parts.items()}
    if sum(len(value) for value in said.values()) < _COMBINATION_SIGNS:
        return None
    return "together\0" + "\0".join(f"{column}\0{said[column]}" for column in sorted(said))


def _one(value: str) -> str:
    """One form of a value: a day, a number's digits, else its letters and digits."""
    if found := days(value):
        return min(found)
    try:
        return f"{float(value):.12g}"
    except ValueError:
        return compact(value)


# ---- what is found


def scan(text: str, prints: Prints, known: Vocabulary | None = None) -> tuple[Match, ...]:
    """What of a site's own is in a text, in any reading of it (see `disguises`).

    known: registered words, which are no rare words. Nothing found is no proof: see the page on channels.
    """
    found: set[Match] = set()
    seen: set[str] = set()
    for name, reading in readings(text):
        if reading in seen:
            continue
        seen.add(reading)
        found |= {Match(kind, column, name) for kind, column in _scanned(reading, prints, known)}
    plain = {(match.kind, match.column) for match in found if match.reading == PLAIN}
    kept = {match for match in found if match.reading == PLAIN or (match.kind, match.column) not in plain}
    return tuple(sorted(kept, key=lambda match: (match.kind, match.column, match.reading)))


def chance(prints: Prints, persons: int) -> dict[int, float]:
    """For each length of a number: how likely a random one of it is some person's, were all persons' known by it."""
    return {length: min(1.0, persons / 10.0**length) for length in sorted(prints.lengths) if length <= 20}


def _scanned(text: str, prints: Prints, known: Vocabulary | None) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for candidates in _candidates(text, prints.lengths):
        for form, sources in prints.find(candidates).items():
            registered = known is not None and form in known
            found |= {source for source in sources if source[0] in _SHORTEST and not (registered and source[0] == WORD)}
    columns = sorted({column for kind, column in prints.sources if kind == PART})
    return found | (_combinations(text, prints, columns) if columns else set())


def _candidates(text: str, lengths: frozenset[int]) -> Iterator[set[str]]:
    yield {form[:LONGEST] for form in numbers(text) | days(text)}
    signs, edges, runs = _stream(text)
    digits = np.concatenate(([0], np.cumsum([sign.isdigit() for sign in signs], dtype=np.int64)))
    for length in sorted(lengths):
        for first in range(0, len(signs) - length + 1, _PIECE):
            starts = np.arange(first, min(first + _PIECE, len(signs) - length + 1))
            begins, ends = edges[starts], edges[starts + length]
            whole = digits[starts + length] - digits[starts] == length
            long_enough = length >= np.where(whole, _ANYWHERE_DIGITS, _ANYWHERE)
            together = runs[starts] == runs[starts + length - 1]
            told = (begins & ends) | (long_enough & (together | begins | ends))
            yield {signs[start : start + length] for start in starts[told].tolist()}


def _stream(text: str) -> tuple[str, NDArray[np.bool_], NDArray[np.int64]]:
    """A text's letters and digits without what is between them; where a word may begin; to which run each belongs."""
    signs: list[str] = []
    edges: list[bool] = []
    runs: list[int] = []
    edge, digit, run = True, False, 0
    for sign in text:
        plain = sign if sign.isascii() and sign.isalnum() and not sign.isupper() else compact(sign)
        if not plain:
            if not edge and not unicodedata.combining(sign):
                edge, run = True, run + 1
            continue
        for one in plain:
            edges.append(edge or one.isdigit() != digit)
            edge, digit = False, one.isdigit()
            runs.append(run)
            signs.append(one)
    return "".join(signs), np.array([*edges, True]), np.array(runs, dtype=np.int64)


def _combinations(text: str, prints: Prints, columns: list[str]) -> set[tuple[str, str]]:
    asked: set[str] = set()
    for window in _windows(text):
        words = re.findall(r"[^\W_]+", window)
        values = {" ".join(words[at : at + size]) for size in (1, 2, 3) for at in range(len(words) - size + 1)}
        values |= days(window) | set(_NUMBER.findall(window))
        told = {part(column, value): (column, value) for column in columns for value in values}
        stands = [told[form] for form in prints.find(told)][:_MOST_PARTS]
        for size in (2, 3):
            for group in itertools.combinations(stands, size):
                parts = dict(group)
                if len(parts) == size and (form := combination(parts)):
                    asked.add(form)
    return {source for sources in prints.find(asked).values() for source in sources if source[0] == COMBINATION}


def _windows(text: str) -> Iterator[str]:
    """Each line; a long one in pieces that overlap."""
    for line in text.splitlines():
        words = list(re.finditer(r"[^\W_]+", line))
        for start in range(0, max(1, len(words) - _STEP), _STEP):
            piece = words[start : start + _WINDOW]
            yield line[piece[0].start() : piece[-1].end()] if piece else ""
