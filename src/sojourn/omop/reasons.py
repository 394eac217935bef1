"""Why a row is kept aside, and why a code has no concept: fixed words, so that no reason can carry a value."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# The row goes to quarantine, with the file and its place there.
QUARANTINE: Mapping[str, str] = MappingProxyType(
    {
        "ragged row": "The row has more or fewer fields than the first line.",
        "broken quotes": "A quotation mark is open, or stands inside a field.",
        "wrong encoding": "The row is not in the file's encoding.",
        "unreadable row": "The row is too long or not of the file's form.",
        "no key": "A column of the file's key is empty.",
        "duplicate key": "An earlier row of the file has the same key.",
        "no person": "The row names no person.",
        "unknown person": "The row names a person that the person table does not hold.",
        "missing value": "A field that the model requires is empty.",
        "unreadable date": "A date or time is not of the declared form, is on no calendar, or was skipped in spring.",
        "ambiguous date": "Two of the forms that the plan lists for it read it as different moments.",
        "implausible date": "A date is outside the span that the plan declares.",
        "unreadable number": "A number cannot be read as one.",
        "negative number": "A number is below zero that cannot be.",
        "unlisted value": "A value is not in the plan's list.",
        "end before start": "The end is before the start, however an hour that the clock told twice is read.",
        "before birth": "It is before the person's birth, so that the age is negative.",
        "no table": "The concept's domain has no table that the rule may fill.",
    }
)

# The row stays, its concept is 0, its source value is kept.
UNMAPPED: Mapping[str, str] = MappingProxyType(
    {
        "no code": "The row has no code.",
        "unknown vocabulary": "The vocabulary is not loaded.",
        "unknown code": "The vocabulary has no such code.",
        "no map": "The code has no `Maps to` to a standard concept.",
        "not standard": "`Maps to` ends at a concept that is not standard.",
        "circular map": "`Maps to` leads in a circle.",
        "no name": "The row names no medicine.",
        "unknown medicine": "A name in it is neither in the vocabulary nor in the short dictionary.",
        "ambiguous medicine": "The name means several substances.",
        "unread words": "Beside a known name it has words of which nobody knows whether they change the medicine.",
        "bad decision": "The plan's decision names a concept that is not there or not standard.",
    }
)

# A row's field is empty or 0: of its own code `UNMAPPED` says why.
EMPTY_OR_ZERO: Mapping[str, str] = MappingProxyType(
    {
        **UNMAPPED,
        "no value": "The file has no value there.",
        "no number": "The value cannot be read as a number; it is kept as a text.",
        "other decimal sign": "The value would be a number only with another decimal sign than the plan's `decimal`.",
        "a range": "The value is a range, which is no one number.",
        "not a text": "The value was read as a number or a range.",
        "two units": "The value carries another unit than the column of units says.",
        "no unit": "The file has no unit there.",
        "unknown unit": "The unit's spelling cannot be read.",
        "ambiguous unit": "The unit's spelling may mean several units.",
        "no unit concept": "The vocabulary has no standard concept of the unit.",
        "empty there": "What the rule reads for it is empty in this record.",
        "so planned": "The plan gives this to all rows.",
        "expression without a value": "The plan's expression gives this for the record.",
        "listed so": "The plan's list gives this for the value, or does not name it.",
        "other code": "The code that it is read from has no standard concept, or is empty.",
        "no such row": "The record names no row of that table, or one that is not there.",
        "no source concept": "The vocabulary has no concept of the code itself.",
        "no value concept": "The code has no `Maps to value`.",
        "no source value": "The record has no code.",
        "not filled": "Nothing fills it.",
    }
)
