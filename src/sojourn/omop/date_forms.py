"""The forms in which dates are written, and which of them a column can be: what only the owner can tell is asked."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
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
_LEAST = 0.5  # of a sample, for its forms to be asked of all rows
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
    """The forms whose shapes a sample has, if dates are at least half of it; every one of them is asked of all rows."""
    texts = [value.strip() for value in sample[:: max(1, len(sample) // _LOOKED_AT)]]
    if sum(6 <= len(text) <= 35 and text[-1:].isalnum() for text in texts) < max(1.0, _LEAST * len(texts)):
        return []
    of_form = {form: {n for n, text in enumerate(texts) if re.fullmatch(shape, text)} for form, shape in FORMS.items()}
    if len(set().union(*of_form.values())) < _LEAST * len(texts):
        return []
    return [form for form, which in of_form.items() if which]


def twin(form: str, forms: Collection[str]) -> str:
    """The form among these that differs by the order of day and month alone, or nothing."""
    return next((other for other in forms if _swapped(form, other)), "")


def met(reads: Mapping[str, int], alone: Mapping[str, int], threshold: int) -> dict[str, int]:
    """The forms that a column's values have, the most frequent first.

    alone: how many values a form reads that its twin does not. Where these are none, and some of the twin's, the twin
    says as much without it. A form of fewer than `threshold` values is left out, unless it is the only one.
    """
    needed = {
        form: count
        for form, count in sorted(reads.items(), key=lambda pair: -pair[1])
        if count and (alone[form] or not alone.get(twin(form, reads), 0))
    }
    frequent = {form: count for form, count in needed.items() if count >= threshold}
    return frequent or dict(list(needed.items())[:1])


def decide(filled: int, reads: Mapping[str, int], read: int) -> Dates:
    """Judge by how many of the filled values each form that was met reads, over all rows. read: by any of them."""
    whole = [form for form, count in reads.items() if count == filled]
    if len(whole) == 1:
        return Dates(whole[0], reads, _clock(whole[0]))
    if len(whole) == 2 and _swapped(*whole):
        question = f"Day or month first? Every value is a date both as {whole[0]} and as {whole[1]}."
        return Dates("", reads, question)
    if len(whole) > 1:
        return Dates("", reads, f"Which form are these dates of: {', '.join(whole)}?")
    if not reads:
        return Dates("", reads, "")
    if len(reads) == 1:
        return Dates("", reads, f"What are the {filled - read:,} values that are no dates as {next(iter(reads))}?")
    (best, count), *others = reads.items()
    mixed = any(twin(form, reads) for form in reads)
    asked = "Are day and month mixed in this column?" if mixed else "Are there several forms of dates in this column?"
    part = ", ".join([f"{count:,} of {filled:,} values are dates as {best}", *(f"{n:,} as {f}" for f, n in others)])
    rest = f" What are the {filled - read:,} values that are no dates as any of these?" if read < filled else ""
    return Dates("", reads, f"{asked} {part}.{rest}")


def _swapped(one: str, other: str) -> bool:
    """Whether two forms differ by the order of day and month alone."""
    day, month = _SWAPPED
    return one != other and one.replace(day, "*").replace(month, day).replace("*", month) == other


def _clock(form: str) -> str:
    if "%H" in form and not form.endswith(("Z", "%z")):
        return "Which time zone's clock do these times tell?"
    return "Which century are two-digit years of?" if "%y" in form else ""
