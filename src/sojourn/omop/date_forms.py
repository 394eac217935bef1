"""The forms in which dates are written, and which of them a column can be: what only the owner can tell is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The form in strptime's words → the shape of its texts.
_DATES = {
    "%Y-%m-%d": r"\d{4}-\d{1,2}-\d{1,2}",
    "%Y/%m/%d": r"\d{4}/\d{1,2}/\d{1,2}",
    "%Y.%m.%d": r"\d{4}\.\d{1,2}\.\d{1,2}",
    "%Y%m%d": r"(?:18|19|20|29)\d{2}[01]\d[0-3]\d",
    "%d/%m/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%m/%d/%Y": r"\d{1,2}/\d{1,2}/\d{4}",
    "%d-%m-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%m-%d-%Y": r"\d{1,2}-\d{1,2}-\d{4}",
    "%d.%m.%Y": r"\d{1,2}\.\d{1,2}\.\d{4}",
    "%d/%m/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%m/%d/%y": r"\d{1,2}/\d{1,2}/\d{2}",
    "%d.%m.%y": r"\d{1,2}\.\d{1,2}\.\d{2}",
    "%d-%b-%Y": r"\d{1,2}-[A-Za-z]{3}-\d{4}",
    "%d-%b-%y": r"\d{1,2}-[A-Za-z]{3}-\d{2}",
    "%d %b %Y": r"\d{1,2} [A-Za-z]{3} \d{4}",
    "%b %d, %Y": r"[A-Za-z]{3} \d{1,2}, \d{4}",
}
_TIMES = {
    " %H:%M": r" \d{1,2}:\d{2}",
    " %H:%M:%S": r" \d{1,2}:\d{2}:\d{2}",
    "T%H:%M:%S": r"T\d{2}:\d{2}:\d{2}",
    " %H:%M:%S.%f": r" \d{1,2}:\d{2}:\d{2}\.\d{1,6}",
    "T%H:%M:%S.%f": r"T\d{2}:\d{2}:\d{2}\.\d{1,6}",
    "T%H:%M:%SZ": r"T\d{2}:\d{2}:\d{2}Z",
    "T%H:%M:%S.%fZ": r"T\d{2}:\d{2}:\d{2}\.\d{1,6}Z",
    " %H:%M:%S%z": r" \d{1,2}:\d{2}:\d{2}[+-]\d{2}:?\d{2}",
    "T%H:%M:%S%z": r"T\d{2}:\d{2}:\d{2}[+-]\d{2}:?\d{2}",
}
FORMS: Mapping[str, str] = {
    **_DATES,
    **{date + time: shape + clock for date, shape in _DATES.items() for time, clock in _TIMES.items()},
}
_LOOKED_AT = 500
_LEAST = 0.5  # of a sample, for its form to be asked of all rows
_SWAPPED = ("%d", "%m")


@dataclass(frozen=True)
class Dates:
    """What a column's dates are. form: the one that reads all, or empty where it is open or none does.

    forms: those in question, with how many values each reads. question: to the owner of the data, or empty.
    """

    form: str
    forms: Mapping[str, int]
    question: str


def candidates(sample: Sequence[str]) -> list[str]:
    """The forms whose shape at least half of a sample has; every one of them is asked of all rows."""
    texts = [value.strip() for value in sample[:_LOOKED_AT]]
    if sum(6 <= len(text) <= 35 and text[-1:].isalnum() for text in texts) < max(1.0, _LEAST * len(texts)):
        return []
    return [
        form
        for form, shape in FORMS.items()
        if sum(re.fullmatch(shape, text) is not None for text in texts) >= _LEAST * len(texts)
    ]


def decide(filled: int, reads: Mapping[str, int]) -> Dates:
    """Judge by how many of the filled values each candidate form reads, over all rows."""
    whole = [form for form, count in reads.items() if count == filled]
    if len(whole) == 1:
        return Dates(whole[0], reads, _clock(whole[0]))
    if len(whole) == 2 and _swapped(*whole):
        question = f"Day or month first? Every value is a date both as {whole[0]} and as {whole[1]}."
        return Dates("", reads, question)
    if len(whole) > 1:
        return Dates("", reads, f"Which form are these dates of: {', '.join(whole)}?")
    best = max(reads, key=lambda form: reads[form], default="")
    other = next((form for form in reads if form != best and _swapped(best, form)), None)
    if best and other and reads[other] and reads[best]:
        part = f"{reads[best]:,} of {filled:,} values are dates as {best}, {reads[other]:,} as {other}"
        return Dates("", reads, f"Are day and month mixed in this column? {part}.")
    if best and reads[best]:
        return Dates("", reads, f"What are the {filled - reads[best]:,} values that are no dates as {best}?")
    return Dates("", reads, "")


def _swapped(one: str, other: str) -> bool:
    """Whether two forms differ by the order of day and month alone."""
    day, month = _SWAPPED
    return one != other and one.replace(day, "*").replace(month, day).replace("*", month) == other


def _clock(form: str) -> str:
    if "%H" in form and not form.endswith(("Z", "%z")):
        return "Which time zone's clock do these times tell?"
    return "Which century are two-digit years of?" if "%y" in form else ""
