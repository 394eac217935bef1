"""Which code system a column's values are of: by their form, by check digits where a system has them, by names.

A guess has a confidence and a reason, and a person decides. Numbers without a form of their own (RxNorm, CVX, ICD-9
without points) are guessed only where the column or table is named for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sojourn.omop.units_spelling import ucum

Confidence = Literal["high", "medium", "low"]
CONFIDENCES: tuple[Confidence, ...] = ("high", "medium", "low")
_STRAYS, _PART = 5, 0.02
_LEAST = 0.8  # of the values that must have the form
_LOCAL_LONGEST = 12
_POINTED, _CHAPTERS = 0.2, 3
_UNIT_LENGTH, _UNITS = 14, 500


@dataclass(frozen=True)
class Guess:
    """system: as OMOP names vocabularies, or `local`. share: of the values with its form. reason: why, in words."""

    system: str
    share: float
    confidence: Confidence
    reason: str


@dataclass(frozen=True)
class System:
    """How a code system is recognised. proof: what makes a match more than chance. hint: names that speak for it."""

    name: str
    form: re.Pattern[str]
    words: str
    hint: re.Pattern[str]
    check: Callable[[str], bool] | None = None
    needs_hint: bool = False


def recognise(values: Sequence[str], column: str, table: str = "") -> list[Guess]:
    """Guesses for a column's distinct values, the best first; empty where they are no codes.

    column, table: their names, which can speak for a system, e.g. `icd10_code`.
    """
    distinct = sorted({value.strip() for value in values if value.strip()})
    if not distinct:
        return []
    found = [guess for system in SYSTEMS if (guess := _judged(system, distinct, column, table))]
    found.sort(key=lambda guess: (CONFIDENCES.index(guess.confidence), -guess.share))
    if found:
        return [*found, *_others(found[0], distinct, column, table)]
    return [Guess("local", 1.0, "low", "short codes of no known system")] if _local(distinct, column) else []


def _others(best: Guess, distinct: Sequence[str], column: str, table: str) -> list[Guess]:
    """What the values are that are not of the best system, where these are more than strays."""
    form = next(system.form for system in SYSTEMS if system.name == best.system)
    rest = [value for value in distinct if not form.fullmatch(value)]
    part = len(rest) / len(distinct)
    if len(rest) < _STRAYS or part < _PART:
        return []
    return [replace(guess, share=guess.share * part) for guess in recognise(rest, column, table)]


def luhn(code: str) -> bool:
    """LOINC's check digit, after the hyphen."""
    number, _, digit = code.partition("-")
    total = 0
    for place, sign in enumerate(reversed(number)):
        value = int(sign) * (2 - place % 2)
        total += value // 10 + value % 10
    return digit == str(-total % 10)


def verhoeff(code: str) -> bool:
    """SNOMED CT's check digit, the last, and the partition before it, of concepts, descriptions and relationships."""
    place = 0
    for position, sign in enumerate(reversed(code)):
        place = _D[place][_P[position % 8][int(sign)]]
    return place == 0 and code[-3:-1] in ("00", "01", "02", "10", "11", "12")


_D = tuple(
    tuple((row + column) % 5 if column < 5 else 5 + (row + column) % 5 for column in range(10))
    if row < 5
    else tuple(5 + (row - column) % 5 if column < 5 else (row - column) % 5 for column in range(10))
    for row in range(10)
)
_START = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _permutations() -> tuple[tuple[int, ...], ...]:
    rows = [tuple(range(10))]
    for _ in range(7):
        rows.append(tuple(rows[-1][_START[column]] for column in range(10)))
    return tuple(rows)


_P = _permutations()


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


def _hint(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


SYSTEMS = (
    System("LOINC", _pattern(r"\d{1,5}-\d"), "number-digit", _hint("loinc"), luhn),
    System("SNOMED", _pattern(r"[1-9]\d{5,17}"), "6 to 18 digits", _hint("snomed|sct"), verhoeff),
    System(
        "ICD10", _pattern(r"[A-TV-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4}|[0-9X][0-9A-Z]{0,3})?[†*+!]?"),
        "a letter, two digits, a point", _hint(r"icd|diag|dx|cause"),
    ),
    System(
        "ICD11", _pattern(r"[0-9A-HJ-NP-Z][A-HJ-NP-V]\d[0-9A-HJ-NP-V](?:\.[0-9A-HJ-NP-Z]{1,2})?(?:[/&].+)?"),
        "four signs, the second a letter", _hint("icd.?11|mms"),
    ),
    System(
        "ICD9CM", _pattern(r"(?:\d{3}|V\d{2}|E\d{3})(?:\.?\d{1,2})?"), "three digits, a point",
        _hint(r"icd.?9|icd9|diag|dx|cause"), needs_hint=True,
    ),
    System("ATC", _pattern(r"[ABCDGHJLMNPRSV]\d{2}[A-Z]{2}(?:\d{2})?"), "A00AA00", _hint("atc")),
    System(
        "NDC", _pattern(r"\d{4}-\d{4}-\d{2}|\d{5}-\d{3}-\d{2}|\d{5}-\d{4}-\d{1,2}|\d{11}"),
        "labeller-product-package", _hint("ndc"),
    ),
    System("RxNorm", _pattern(r"[1-9]\d{2,6}"), "a number", _hint("rxnorm|rxcui|medic|drug|presc"), needs_hint=True),
    System("CVX", _pattern(r"\d{1,3}"), "a number below 1,000", _hint("cvx|vaccin|immuni"), needs_hint=True),
)  # fmt: skip


def _judged(system: System, values: Sequence[str], column: str, table: str) -> Guess | None:
    named = bool(system.hint.search(column)) or (
        bool(system.hint.search(table)) and re.search("code|_cd|concept", column, re.IGNORECASE) is not None
    )
    if system.needs_hint and not named:
        return None
    formed = [value for value in values if system.form.fullmatch(value)]
    share = len(formed) / len(values)
    if share < _LEAST:
        return None
    if system.name == "ICD10" and not named and not _many_chapters(formed):
        return None
    if system.check is not None:
        sound = sum(map(system.check, formed)) / len(formed)
        if sound < _LEAST:
            return None
        reason = f"{share:.0%} have the form ({system.words}), {sound:.0%} of these the right check digit"
        return Guess(system.name, share, "high" if len(formed) >= 5 or named else "medium", reason)
    if system.name == "NDC" and not named and all(len(value) == 11 and value.isdigit() for value in formed):
        return None  # eleven digits alone are any number
    reason = f"{share:.0%} have the form ({system.words}){', and the name speaks for it' if named else ''}"
    confidence: Confidence = "high" if named and not system.needs_hint else "medium" if len(formed) >= 5 else "low"
    return Guess(system.name, share, confidence, reason)


def _many_chapters(values: Sequence[str]) -> bool:
    """Whether a letter and digits are more than somebody's own numbers: points, or codes of several chapters."""
    pointed = sum("." in value for value in values) / len(values)
    return pointed >= _POINTED or len({value[0] for value in values}) >= _CHAPTERS


def units(values: Sequence[str], column: str) -> Guess | None:
    """Whether the values are units: the share of spellings that can be read as UCUM."""
    distinct = sorted({value.strip() for value in values if value.strip()})
    named = re.search(r"unit|uom|einheit|unidad|unite", column, re.IGNORECASE) is not None
    if not named and sum(map(len, distinct)) > _UNIT_LENGTH * len(distinct):
        return None
    distinct = distinct[:_UNITS]
    if not distinct or not (named or any(re.search("[/%]", value) for value in distinct)):
        return None
    read = sum(ucum(value) is not None for value in distinct) / len(distinct)
    if read < (0.5 if named else _LEAST):
        return None
    return Guess("UCUM", read, "high" if named else "medium", f"{read:.0%} of the spellings can be read as units")


def _local(values: Sequence[str], column: str) -> bool:
    coded = re.search(r"code|_cd$|\bcd\b|kode|codigo|^cod", column, re.IGNORECASE) is not None
    short = sum(len(value) <= _LOCAL_LONGEST and " " not in value for value in values) / len(values)
    digits = sum(any(sign.isdigit() for sign in value) for value in values) / len(values)
    return coded and short >= _LEAST and digits >= 0.5
