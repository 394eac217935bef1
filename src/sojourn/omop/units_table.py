"""Conversions as rows of a table, so that a bulk run is one join and no Python a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sojourn.omop.units import conversion
from sojourn.omop.units_spelling import ucum

COLUMNS = {
    "unit": "VARCHAR",
    "loinc": "VARCHAR",
    "target": "VARCHAR",
    "ucum": "VARCHAR",
    "factor": "DOUBLE",
    "shift": "DOUBLE",
    "rule": "VARCHAR",
    "reason": "VARCHAR",
}


@dataclass(frozen=True)
class Row:
    """unit, loinc, target: as asked. ucum: the unit as UCUM, where it can be read.

    value * factor + shift is in the target. Where there is none, both are None, `reason` says why, and the value stays
    in its own unit.
    """

    unit: str
    loinc: str
    target: str
    ucum: str | None
    factor: float | None
    shift: float | None
    rule: str | None
    reason: str | None

    def cells(self) -> tuple[str | float | None, ...]:
        """Its cells in the order of `COLUMNS`."""
        return self.unit, self.loinc, self.target, self.ucum, self.factor, self.shift, self.rule, self.reason


def create(table: str) -> str:
    """SQL that makes the empty lookup table."""
    return f"CREATE TABLE {table} ({', '.join(f'{name} {kind}' for name, kind in COLUMNS.items())})"


def insert(table: str) -> str:
    """SQL that puts one row's `cells` into it."""
    return f"INSERT INTO {table} VALUES ({', '.join('?' * len(COLUMNS))})"


def lookup(wanted: Iterable[tuple[str, str, str]]) -> Iterator[Row]:
    """A row for each distinct (unit as written, LOINC code or empty, target or empty), in order.

    Ask for the distinct ones of a file, a few thousand for any number of rows. An empty target keeps the unit.
    """
    for unit, loinc, target in sorted(set(wanted)):
        read = ucum(unit)
        found = conversion(unit, target or read or unit, loinc)
        if isinstance(found, str):
            yield Row(unit, loinc, target, read, None, None, None, found)
        else:
            yield Row(unit, loinc, target, read, found.factor, found.offset, found.rule, None)


def join(table: str, value: str, unit: str, loinc: str, target: str, lookup: str = "unit_lookup") -> str:
    """SQL that joins rows to the lookup: `converted` and `converted_unit` beside all columns as they came.

    table, lookup: SQL names. value, unit, loinc, target: SQL expressions over the table, whose alias is `r`.
    """
    return (
        f"SELECT r.*, CAST({value} AS DOUBLE) * u.factor + u.shift AS converted, CASE WHEN u.factor IS NOT NULL THEN "
        "CASE WHEN u.target = '' THEN u.ucum ELSE u.target END END AS converted_unit, u.rule AS conversion_rule, "
        f"u.reason AS conversion_reason FROM {table} AS r LEFT JOIN {lookup} AS u ON u.unit = {unit} "
        f"AND u.loinc = coalesce({loinc}, '') AND u.target = coalesce({target}, '')"
    )
