"""The slow, obvious judge of differencing: exact elimination over the rationals, every small set tried."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations

from pyroaring import BitMap


def basis(sets: Iterable[BitMap], people: int) -> list[list[Fraction]]:
    """Rows in reduced form that span the sets' indicator vectors."""
    rows: list[list[Fraction]] = []
    for persons in sets:
        row = reduced([Fraction(person in persons) for person in range(people)], rows)
        pivot = next((place for place, value in enumerate(row) if value), None)
        if pivot is None:
            continue
        row = [value / row[pivot] for value in row]
        rows = [[a - other[pivot] * b for a, b in zip(other, row, strict=True)] for other in rows]
        rows.append(row)
    return rows


def reduced(row: list[Fraction], rows: list[list[Fraction]]) -> list[Fraction]:
    """What is left of a row."""
    for other in rows:
        pivot = next(place for place, value in enumerate(other) if value)
        row = [a - row[pivot] * b for a, b in zip(row, other, strict=True)]
    return row


def disclosed(sets: Sequence[BitMap], people: int, threshold: int) -> set[tuple[int, ...]]:
    """Every set of 0 < n < T persons whose number follows from these sets."""
    rows = basis(sets, people)
    found = set()
    for size in range(1, threshold):
        for few in combinations(range(people), size):
            if not any(reduced([Fraction(person in few) for person in range(people)], rows)):
                found.add(few)
    return found


def near(one: BitMap, other: BitMap, threshold: int) -> bool:
    """The rule on pairs, as it is written."""
    return one != other and len(one - other) < threshold and len(other - one) < threshold
