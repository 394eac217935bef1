"""Results as laboratories write them: `<0.5`, `1,5`, `0.5 - 1.2`, `7.1 mg/dL`, `hemolysed`. Nothing of them is lost.

A result becomes a number with an operator, a range, or a text; the text as it came stays in any case. `sql` says the
same to a database; tests hold the two against each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Decimal = Literal[".", ","]

# Standard concepts of the domain `Meas Value Operator`.
OPERATORS: Mapping[str, int] = MappingProxyType(
    {"<": 4171756, "<=": 4171754, "=": 4172703, ">=": 4171755, ">": 4172704}
)
_WRITTEN: Mapping[str, str] = MappingProxyType(
    {
        "<": "<", ">": ">", "=": "=", "<=": "<=", ">=": ">=", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">=",
        "less than ": "<", "lt ": "<", "below ": "<", "under ": "<", "at most ": "<=", "up to ": "<=",
        "greater than ": ">", "gt ": ">", "more than ": ">", "above ": ">", "over ": ">", "at least ": ">=",
    }
)  # fmt: skip
_SIGNS = "|".join(re.escape(word).replace(r"\ ", " +") for word in sorted(_WRITTEN, key=len, reverse=True))
_NUMBER = {
    ".": r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+",
    ",": r"(?:[0-9]{1,3}(?:[.' ][0-9]{3})+|[0-9]+)(?:,[0-9]*)?|,[0-9]+",
}
_POWER = "(?:[eE][-+]?[0-9]{1,2})?"
_BLANKS = "[ \t\r\n\f\v\u00a0]+"
_DASH = " *(?:-|–|—|to|\\.\\.) *"
_UNIT = r"(/[a-zA-Z\[{].*|[a-zA-Z%µμ°#\[{][^\s<>=].*|[a-zA-Z%°])"
_FLAGS = ("H", "L", "HH", "LL", "A", "N")  # high, low, abnormal: beside a number no units
LONGEST = 200


@dataclass(frozen=True)
class Value:
    """A result. number: with operator, an `OPERATORS` word, `=` where none was written. low, high: of a range.

    text: what is neither, as it came. unit: what followed the number, unread. original: all of it, always.
    """

    original: str
    number: float | None = None
    operator: str | None = None
    low: float | None = None
    high: float | None = None
    text: str | None = None
    unit: str | None = None

    @property
    def operator_concept_id(self) -> int | None:
        """The standard concept of the operator; None where there is no number."""
        return None if self.operator is None else OPERATORS[self.operator]


def read(original: str, decimal: Decimal = ".") -> Value:
    """Read one result. decimal: the sign before decimals, as the owner of the data said: it is never guessed.

    A number that would be read otherwise with the other sign, `1,5` under `.`, is a text.
    """
    said = re.sub(_BLANKS, " ", original).strip(" ")
    if not said or len(said) > LONGEST:
        return Value(original, text=said or None)
    if found := re.fullmatch(_range(decimal), said, re.IGNORECASE):
        low, high = _float(found[1], decimal), _float(found[2], decimal)
        if low <= high and math.isfinite(high) and found[3] not in _FLAGS:
            return Value(original, low=low, high=high, unit=found[3] or None)
    elif found := re.fullmatch(_one(decimal), said, re.IGNORECASE):
        number = _float(found[2], decimal)
        if math.isfinite(number) and found[3] not in _FLAGS:
            return Value(original, number, _operator(found[1]), unit=found[3] or None)
    return Value(original, text=said)


def sql(table: str, column: str, decimal: Decimal = ".", prefix: str = "value_") -> str:
    """A query (DuckDB) that reads a column of texts as `read` does, each pattern once a row.

    It gives every column of the table, whose alias is `r`, and after them number, operator_concept_id, low, high, text
    and unit under the prefix. table: an SQL name or a query in parentheses. column: an SQL expression over `r`.
    """
    one, span = (_quoted(f"(?i)^(?:{pattern})$") for pattern in (_one(decimal), _range(decimal)))
    flags = ", ".join(map(_quoted, _FLAGS))
    words = "".join(f" WHEN {_quoted(word.strip())} THEN {OPERATORS[sign]}" for word, sign in _WRITTEN.items())
    operator = f"CASE trim(lower(coalesce(_one.sign, ''))) WHEN '' THEN {OPERATORS['=']}{words} END"
    low, high, number = (_number(part, decimal) for part in ("_span.low", "_span.high", "_one.number"))
    kind = (
        f"CASE WHEN _plain IS NOT NULL THEN 'n' WHEN length(_said) > {LONGEST} THEN 't' "
        f"WHEN _span.low <> '' THEN CASE WHEN {low} <= {high} "
        f"AND _span.unit NOT IN ({flags}) THEN 'r' ELSE 't' END WHEN _one.number <> '' AND {number} IS NOT NULL "
        f"AND _one.unit NOT IN ({flags}) THEN 'n' ELSE 't' END"
    )
    shown = {
        "number": f"CASE WHEN _kind = 'n' THEN coalesce(_plain, {number}) END",
        "operator_concept_id": f"CASE WHEN _kind = 'n' THEN {operator} END",
        "low": f"CASE WHEN _kind = 'r' THEN {low} END",
        "high": f"CASE WHEN _kind = 'r' THEN {high} END",
        "text": "CASE WHEN _kind = 't' THEN nullif(_said, '') END",
        "unit": "nullif(CASE _kind WHEN 'n' THEN _one.unit WHEN 'r' THEN _span.unit END, '')",
    }
    columns = ", ".join(f"{expression} AS {prefix}{name}" for name, expression in shown.items())
    # Most results are plain numbers: these meet no other pattern.
    plain = f"CASE WHEN regexp_full_match({column}, '[0-9]{{1,12}}([{decimal}][0-9]{{1,12}})?') THEN "
    plain += f"CAST(replace({column}, ',', '.') AS DOUBLE) END"
    said = f"CASE WHEN _plain IS NULL THEN trim(regexp_replace({column}, '{_BLANKS}', ' ', 'g')) END"
    matched = (
        f"CASE WHEN _plain IS NULL THEN regexp_extract(_said, {one}, ['sign', 'number', 'unit']) END AS _one, "
        f"CASE WHEN _plain IS NULL THEN regexp_extract(_said, {span}, ['low', 'high', 'unit']) END AS _span"
    )
    own = "_plain, _said, _one, _span, _kind"
    return (
        f"SELECT * EXCLUDE ({own}), {columns} FROM (SELECT *, {kind} AS _kind FROM (SELECT *, {matched} FROM "
        f"(SELECT r.*, {said} AS _said FROM (SELECT r.*, {plain} AS _plain FROM {table} AS r) AS r)))"
    )


def _number(part: str, decimal: Decimal) -> str:
    """A matched number as SQL; NULL where it is beyond all bounds."""
    plain = f"replace({part}, ',', '')" if decimal == "." else f"regexp_replace({part}, '[.'' ]', '', 'g')"
    plain = f"replace({plain}, ',', '.')" if decimal == "," else plain
    return f"TRY_CAST(nullif({plain}, '') AS DOUBLE)"


def _one(decimal: Decimal) -> str:
    return rf"({_SIGNS})? ?([-+]?(?:{_NUMBER[decimal]}){_POWER})(?: ?{_UNIT})?"


def _range(decimal: Decimal) -> str:
    number = rf"(?:{_NUMBER[decimal]}){_POWER}"
    return rf"({number}){_DASH}({number})(?: ?{_UNIT})?"


def _float(text: str, decimal: Decimal) -> float:
    plain = re.sub("," if decimal == "." else "[.' ]", "", text)
    return float(plain.replace(",", "."))


def _operator(written: str | None) -> str:
    if written is None:
        return "="
    word = re.sub(" +", " ", written.casefold())
    return _WRITTEN.get(word) or _WRITTEN[f"{word.strip()} "]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
