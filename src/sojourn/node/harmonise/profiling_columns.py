"""One column of an export: what it holds, as far as its values and its name tell. No rare value is written down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sojourn.node.draft import looks_identifying, outward
from sojourn.node.harmonise.profiling_private import named_as_text, of_people, telling
from sojourn.omop.code_systems import Guess, recognise, units
from sojourn.omop.date_forms import Dates
from sojourn.omop.units_spelling import readings, ucum
from sojourn.omop.values import read

MISSING_WORDS = ("null", "n/a", "na", "nan", "none", "nil", ".", "?", "-", "--", "unknown", "missing", "not available")
FIRST_YEAR = 1900  # a date before it is worth a question
_NEAR_UNIQUE = 0.9
_NEARLY_KEY = 0.95  # of the rows have values of their own: the others are likely faults
_ENOUGH = 50
_FREE_TEXT = 40.0  # letters, on average
_SHOWN = 12
_GIVEN = re.compile(r"(?P<before>[A-Za-z]{1,6}[-_/ ]?)(?P<number>\d{3,})")
_ENOUGH_NUMBERS, _SERIES = 20, 4  # distinct values; pairs of letters and length
_BIRTH_YEAR = re.compile(r"year.*birth|birth.*year", re.IGNORECASE)
_PERSONAL = {
    "e-mail address": r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}",
    "telephone number": r"\+?\(?\d[\d ()/.-]{7,18}\d",
    "social security number": r"\d{3}-\d{2}-\d{4}",
    "IP address": r"\d{1,3}(\.\d{1,3}){3}",
    "IBAN": r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}",
    "UUID": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
}
_NAMED_PERSONAL = re.compile(
    r"patient|person|subject|mrn|ssn|passport|driver|licen[cs]e|maiden|birthplace|surname|firstname|lastname|^(last|first|middle|lat|lon|lng|latitude|longitude)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Counts:
    """What the pass over all rows counted. distinct: approximate above a bound. levels: value → rows, of few values."""

    rows: int
    filled: int
    missing_words: int
    distinct: int
    exact: bool
    shortest: int
    longest: int
    mean_length: float
    numbers: int
    whole: int
    booleans: int
    low: float | None
    high: float | None
    levels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Days:
    """What the second pass found of dates: how they are written, the years, and how many are implausible."""

    dates: Dates
    first: int | None = None
    last: int | None = None
    implausible: int = 0


def describe(
    table: str, name: str, declared: str, counts: Counts, sample: Sequence[str], days: Days | None, threshold: int
) -> dict[str, Any]:
    """The column's part of the profile. threshold: a value is written down only if so many rows hold it."""
    personal = identifying(name, counts, sample) or _numbered(name, table, counts, sample)
    coded = [] if personal or days else recognise(sample, name, table)
    unit = None if personal or days else units(sample, name)
    kind = _kind(name, counts, () if personal else sample, days, coded, unit)
    found: dict[str, Any] = {
        "name": name,
        "type": kind,
        "declared": declared,
        "missing": {"rows": counts.rows - counts.filled, "share": _share(counts.rows - counts.filled, counts.rows)},
        "distinct": {"count": counts.distinct, "exact": counts.exact},
        "length": [counts.shortest, counts.longest],
    }
    if counts.missing_words:
        found["missing"]["in words"] = counts.missing_words
    if _unique(counts) and kind not in ("date", "date and time", "number", "results"):
        found["key"] = "each value is there once" if counts.exact else "about as many values as rows"
    elif (repeated := _repeated(counts)) and kind in ("text", "code", "whole number"):
        found["nearly a key"] = f"{repeated:,} of {counts.rows:,} rows repeat a value of another row"
    if personal:
        found["identifier"] = personal
    if kind in ("number", "whole number") and counts.low is not None and counts.high is not None and not personal:
        found["range"] = list(outward(counts.low, counts.high))
    if days:
        found["dates"] = _dates(days)
    if coded:
        found["codes"] = [_guess(guess) for guess in coded]
    if unit:
        found["units"] = {**_guess(unit), "seen": _units(counts.levels, threshold)}
    if kind == "results":
        found["results"] = _results(sample)
    if not personal and not days and counts.levels and kind not in ("free text", "number"):
        found["values"] = _levels(counts.levels, threshold)
    return found


def identifying(name: str, counts: Counts, sample: Sequence[str]) -> str:
    """Why a column is likely to name persons; empty where nothing speaks for it."""
    for what, form in _PERSONAL.items():
        same = re.compile(form)
        if sample and sum(bool(same.fullmatch(value.strip())) for value in sample) >= 0.8 * len(sample):
            if what in ("telephone number",) and not re.search(r"phone|tel|mobil|fax|contact", name, re.IGNORECASE):
                continue
            return f"the values have the form of: {what}"
    if looks_identifying(name):
        return "a year of birth, which others may know" if _BIRTH_YEAR.search(name) else "by its name"
    if _NAMED_PERSONAL.search(name) and not _constant(counts):
        return "by its name"
    if counts.numbers < counts.filled and not _constant(counts) and (why := of_people(name, sample)):
        return why
    if counts.filled >= _ENOUGH and counts.distinct >= _NEAR_UNIQUE * counts.filled and counts.whole == counts.filled:
        return "a whole number that hardly repeats"
    return ""


def _numbered(name: str, table: str, counts: Counts, sample: Sequence[str]) -> str:
    """Whether values look like numbers given to persons, such as P10028; no value is shown where that is in doubt."""
    if any(guess.confidence == "high" for guess in recognise(sample, name, table)):
        return ""
    forms = [found for value in sample if (found := _GIVEN.fullmatch(value.strip()))]
    same = {(found["before"], len(found["number"])) for found in forms}
    if counts.distinct >= _ENOUGH_NUMBERS and len(forms) >= 0.9 * len(sample) and 0 < len(same) <= _SERIES:
        return "letters and a number, as numbers of persons are"
    return ""


def hide_links(tables: Sequence[Mapping[str, Any]]) -> None:
    """Show no value of a column that is the key of one table and stands in others: it may number persons."""
    keys: dict[str, str] = {}
    places: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        for column in table["columns"]:
            name = column["name"].casefold()
            places.setdefault(name, []).append(column)
            if ("key" in column or "nearly a key" in column) and table["rows"] >= _ENOUGH:
                keys.setdefault(name, table["table"])
    for name, table_name in keys.items():
        for column in places[name] if len(places[name]) > 1 else ():
            if "identifier" not in column and all(each["system"] == "local" for each in column.get("codes", ())):
                column["identifier"] = f"the key of {table_name}, and in other tables"
                for shown in ("values", "range", "codes", "in the vocabulary"):
                    column.pop(shown, None)


def questions(name: str, column: Mapping[str, Any]) -> list[str]:
    """What the owner of the data has to say about a column before it can be used."""
    found = []
    if asked := column.get("dates", {}).get("question"):
        found.append(f"{name}: {asked}")
    if odd := column.get("dates", {}).get("implausible"):
        found.append(f"{name}: what mean {odd:,} dates before {FIRST_YEAR} or in the future?")
    for spelled in column.get("units", {}).get("seen", {}):
        if several := readings(spelled):
            found.append(f"{name}: does {spelled} mean {' or '.join(several)}?")
        elif ucum(spelled) is None:
            found.append(f"{name}: which unit is {spelled}?")
    if words := column["missing"].get("in words"):
        found.append(f"{name}: are {words:,} values such as `unknown`, `.` or `NULL` missing values?")
    return found


def _kind(
    name: str, counts: Counts, sample: Sequence[str], days: Days | None, coded: Sequence[Guess], unit: Guess | None
) -> str:
    if not counts.filled:
        return "empty"
    if days:
        return "date and time" if any("%H" in form for form in days.dates.forms) else "date"
    if counts.booleans == counts.filled:
        return "yes or no"
    if coded:
        return "code"
    if unit:
        return "unit"
    if counts.numbers == counts.filled:
        return "whole number" if counts.whole == counts.filled else "number"
    if (counts.numbers > 0.5 * counts.filled and sample) or _like_results(sample):
        return "results"
    written = counts.mean_length > _FREE_TEXT or (named_as_text(name) and not _constant(counts))
    return "free text" if written else "text"


def _like_results(sample: Sequence[str]) -> bool:
    parsed = [read(value) for value in sample[:500]]
    known = [each.text is None and (each.unit is None or ucum(each.unit) is not None) for each in parsed]
    return bool(parsed) and sum(known) > 0.5 * len(parsed)


def _results(sample: Sequence[str]) -> dict[str, float]:
    """Shares of a sample: what a parser of results makes of them."""
    parsed = [read(value) for value in sample[:5000]]
    kinds = {
        "number": [each.number is not None and each.operator == "=" for each in parsed],
        "with an operator": [each.number is not None and each.operator != "=" for each in parsed],
        "range": [each.low is not None for each in parsed],
        "text": [each.text is not None for each in parsed],
    }
    return {kind: _share(sum(which), len(parsed)) for kind, which in kinds.items()}


def _dates(days: Days) -> dict[str, Any]:
    found: dict[str, Any] = {"form": days.dates.form, "read by form": dict(days.dates.forms)}
    if days.first is not None:
        found["years"] = [days.first, days.last]
    if days.implausible:
        found["implausible"] = days.implausible
    if days.dates.question:
        found["question"] = days.dates.question
    return found


def _levels(levels: Mapping[str, int], threshold: int) -> dict[str, Any]:
    """The frequent values, and only the number of the others."""
    often = {value: count for value, count in levels.items() if count >= threshold and not telling(value)}
    shown = dict(sorted(often.items(), key=lambda pair: (-pair[1], pair[0]))[:_SHOWN])
    return {"frequent": shown, "others": len(levels) - len(shown)}


def _units(levels: Mapping[str, int], threshold: int) -> dict[str, dict[str, Any]]:
    often = sorted(((count, spelled) for spelled, count in levels.items() if count >= threshold), reverse=True)
    return {spelled.strip(): {"rows": count, "ucum": ucum(spelled)} for count, spelled in often[:50]}


def _guess(guess: Guess) -> dict[str, Any]:
    return {
        "system": guess.system, "share": round(guess.share, 4), "confidence": guess.confidence, "reason": guess.reason
    }  # fmt: skip


def _unique(counts: Counts) -> bool:
    if counts.filled < counts.rows or counts.rows < 2:
        return False
    return counts.distinct == counts.rows if counts.exact else counts.distinct >= _NEAR_UNIQUE * counts.rows


def _repeated(counts: Counts) -> int:
    """How many rows too many there are for a column to be a key; 0 where it is one, or far from one."""
    enough = counts.exact and counts.filled == counts.rows >= _ENOUGH
    return counts.rows - counts.distinct if enough and counts.distinct >= _NEARLY_KEY * counts.rows else 0


def _constant(counts: Counts) -> bool:
    return counts.distinct <= 2


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0
