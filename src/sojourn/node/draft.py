"""A first draft of a dictionary from a file, for its custodian to review: without rare labels or exact extremes."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from sojourn.analysis.declaration import LONGEST_LABEL
from sojourn.analysis.variable import SITE, Kind, Variable
from sojourn.errors import DatasetError
from sojourn.node.dictionary import Dictionary
from sojourn.node.source import Source, open_source
from sojourn.node.warehouse import quote

_NAMES_OF_PERSONS = (
    "id ids uuid guid mrn ssn nhs nino name surname forename firstname lastname birth birthdate dob birthday phone "
    "telephone mobile fax mail email address street postcode zip zipcode ip url iban passport licence license"
)
_IDENTIFYING = frozenset(_NAMES_OF_PERSONS.split())
_NAMES_OF_QUASI = (
    "age sex gender birth birthdate dob birthday year postcode zip zipcode region district county ethnicity race "
    "nationality country religion marital occupation profession admission admitted discharge discharged death died"
)
_QUASI = frozenset(_NAMES_OF_QUASI.split())
_NEAR_UNIQUE = 0.9
_ENOUGH_ROWS = 50  # below this, uniqueness says little
_MOST_LEVELS = 1000
_FEW_VALUES = 10
_LEAST = 1e-300


def draft_dictionary(
    source: Path,
    person: str | None,
    row_is_person: bool,
    threshold: int = 10,
    *,
    table: str | None = None,
    codes: Collection[str] = (),
) -> Dictionary:
    """Draft kinds, levels and bounds of a CSV or Parquet file.

    person: the column that names a person, or None with row_is_person. threshold: a level is written down only if at
    least so many persons hold it; the others appear as a number alone. table: its name in plans, by default the file's.
    codes: columns whose numbers name something: categories.
    """
    with tempfile.TemporaryDirectory(prefix="draft-") as folder, open_source(source, Path(folder) / "draft") as read:
        if person is not None and person not in read.columns:
            raise DatasetError("The person column is not in the file.", remedy="Check its name, capitals included.")
        columns: dict[str, Variable] = {}
        excluded: list[str] = []
        notes: dict[str, str] = {}
        for name, kind in zip(read.columns, read.types, strict=True):
            if name == person:
                continue
            draft = _Column(read, name, kind, person, threshold, name in codes).draft()
            if draft.variable is None:
                excluded.append(name)
            else:
                columns[name] = draft.variable
            if draft.note:
                notes[name] = draft.note
    return Dictionary(table or source.stem, person, row_is_person, columns, tuple(excluded), notes)


@dataclass(frozen=True)
class _Draft:
    variable: Variable | None  # None: excluded
    note: str = ""


@dataclass(frozen=True)
class _Column:
    """One column of an open source."""

    source: Source
    name: str
    type: str
    person: str | None
    threshold: int
    coded: bool = False

    def draft(self) -> _Draft:
        if self.name.casefold() == SITE:
            return _Draft(None, "the name `site` is reserved: rename the column to use it")
        if looks_identifying(self.name) and not self.coded:
            return _Draft(None, "likely an identifier, by its name")
        if re.match(r"(DATE|TIME|BLOB|STRUCT|MAP|UNION|INTERVAL|UUID|BIT)|.*\[", self.type):
            return _Draft(None, "neither a number, a yes or no, nor a category")
        values = self._one("count({c}), count(DISTINCT {c})")
        filled, distinct = int(values[0]), int(values[1])
        if not filled:
            return _Draft(None, "no value")
        if self.coded:
            return self._category(distinct)
        if self._all("lower({c}) IN ('true', 'false')"):
            return _Draft(Variable(Kind.BOOLEAN))
        if self._all("isfinite(TRY_CAST({c} AS DOUBLE))"):
            return self._number(filled, distinct)
        if filled >= _ENOUGH_ROWS and distinct >= _NEAR_UNIQUE * filled:
            return _Draft(None, "likely an identifier or free text: almost every value is different")
        return self._category(distinct)

    def _number(self, filled: int, distinct: int) -> _Draft:
        whole = self._all("TRY_CAST({c} AS DOUBLE) = floor(TRY_CAST({c} AS DOUBLE))")
        if whole and filled >= _ENOUGH_ROWS and distinct == filled:
            return _Draft(None, "likely an identifier: a whole number that never repeats")
        low, high = self._one("min(CAST({c} AS DOUBLE)), max(CAST({c} AS DOUBLE))")
        lower, upper = outward(float(low), float(high))
        note = "review the bounds and give the unit"
        if whole and distinct <= _FEW_VALUES:
            note += "; few distinct values: is it a category or a boolean?"
        return _Draft(Variable(Kind.NUMBER, low=lower, high=upper), note)

    def _category(self, distinct: int) -> _Draft:
        if distinct > _MOST_LEVELS:
            return _Draft(None, "too many different values for a category")
        who = quote(self.person) if self.person else "_row"
        column = quote(self.name)
        rows = self.source.connection.execute(
            f"SELECT {column} FROM source WHERE {column} IS NOT NULL GROUP BY 1 HAVING count(DISTINCT {who}) >= $1 "
            f"AND length({column}) <= $2 ORDER BY 1",
            [self.threshold, LONGEST_LABEL],
        ).fetchall()
        levels = tuple(str(row[0]) for row in rows)
        if not levels:
            return _Draft(None, f"undecided: {distinct} levels, none held by {self.threshold} persons")
        rare = distinct - len(levels)
        note = f"undecided: {rare} levels held by fewer than {self.threshold} persons" if rare else ""
        return _Draft(Variable(Kind.CATEGORY, levels=levels), note)

    def _all(self, condition: str) -> bool:
        """Whether every value that is there satisfies the condition."""
        condition = condition.format(c=quote(self.name))
        return bool(self._one(f"count({{c}}) = count({{c}}) FILTER (WHERE {condition})")[0])

    def _one(self, expressions: str) -> tuple[float, ...]:
        row = self.source.connection.execute(
            f"SELECT {expressions.replace('{c}', quote(self.name))} FROM source"
        ).fetchone()
        assert row is not None
        return row


def looks_identifying(name: str) -> bool:
    """Whether a column's name is that of an identifier."""
    return any(word in _IDENTIFYING for word in _words(name))


def quasi_identifying(name: str) -> bool:
    """Whether a column's name is that of what others may know of a person too."""
    return any(word in _QUASI for word in _words(name))


def _words(name: str) -> list[str]:
    return re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def outward(low: float, high: float) -> tuple[float, float]:
    """Round a range outward to whole steps of the power of ten of its width (of its size, for a single value)."""
    if 0 < abs(low) < _LEAST:  # so close to zero, dividing gives zero
        low = min(0.0, math.copysign(_LEAST, low))
    if 0 < abs(high) < _LEAST:
        high = max(0.0, math.copysign(_LEAST, high))
    width = high - low or abs(high) or 1.0
    exponent = math.floor(math.log10(width))
    lower = _round(low, exponent, math.floor)
    upper = _round(high, exponent, math.ceil)
    if lower == upper:
        upper = _round(high + 10.0**exponent, exponent, math.ceil)
    return lower + 0.0, upper + 0.0


def _round(value: float, exponent: int, to: Callable[[float], int]) -> float:
    steps = to(value / 10.0**exponent)
    # Through text, so that 3 steps of 0.1 are 0.3 and not 0.30000000000000004.
    return float(f"{steps}e{exponent}")
