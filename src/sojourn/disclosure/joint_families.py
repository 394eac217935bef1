"""Which of a release's sets add up: the cells of a table, the levels of a factor, the steps of a range.

Whoever sees their sums sees that of any union of them, and of everybody less one. They are told from the sets' labels
alone, which all sites know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TypeVar

POPULATION = "population"
UNION = "union"
Key = tuple[str, ...]
Part = TypeVar("Part")


def is_label(word: str) -> bool:
    """Whether this could be a set's label."""
    kind, _, rest = word.partition(" ")
    parts = rest.split(" ")
    match kind:
        case "cell":
            return len(parts) == 2 and all(map(_is_place, parts))
        case "margin":
            return len(parts) > 1 and all(_is_place(one) or one == "-1" for one in parts)
        case "stretch":
            return len(parts) == 4 and all(map(_is_place, parts))
        case "level":
            return bool(rest)
    return word == POPULATION


def families(labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """The places of the labels of each family, in one order."""
    found: dict[Key, list[int]] = {}
    for place, label in enumerate(labels):
        if (key := _key(label)) is not None:
            found.setdefault(key, []).append(place)
    ends = {place: _ends(labels[place]) for key, places in found.items() for place in places if key[0] == "stretch"}
    shortest = (
        [place for place in places if not any(_within(ends[other], ends[place]) for other in places)]
        if key[0] == "stretch"
        else places
        for key, places in found.items()
    )
    return tuple(map(tuple, shortest))


def whole(labels: Sequence[str], family: Sequence[int]) -> bool:
    """Whether a family is known to hold everybody of its release: nobody is beyond it who could be subtracted."""
    word, rest = labels[family[0]].split(" ", 1)
    if word != "cell":
        return True  # a factor's levels and a range's steps are shown together, or not at all
    number = rest.split(" ", 1)[0]
    margins = (label.split(" ")[2:] for label in labels if label.startswith(f"margin {number} "))
    return any(set(margin) == {"-1"} for margin in margins)  # shown only where no cell is hidden


def unions(parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
    """All choices of one or more of them."""
    for size in range(1, len(parts) + 1):
        yield from combinations(parts, size)


def variables_of(label: str, tables: Sequence[Sequence[str]]) -> set[str] | None:
    """By which variables a set is one of several; by none everybody is. tables: by which each table is."""
    word, _, rest = label.partition(" ")
    match word:
        case "population":
            return set()
        case "cell":
            return set(tables[int(rest.split(" ")[0])])
        case "margin":
            number, *places = rest.split(" ")
            return {name for name, place in zip(tables[int(number)], places, strict=True) if place != "-1"}
    return None


def joined(labels: Sequence[str], everything: bool) -> str:
    """Names a union of new sets, to hide which some of its cells must be; everybody, where no cells can be.

    everything: whether they are all of their family.
    """
    numbers = {label.split(" ")[1] for label in labels if label.startswith("cell ")}
    if everything or len(numbers) != 1 or not all(label.startswith("cell ") for label in labels):
        return POPULATION
    return " ".join((UNION, *numbers, *(label.split(" ")[2] for label in labels)))


def parts_of(label: str) -> tuple[int, tuple[int, ...]] | None:
    """The table and the cells of a union that `joined` named; None of any other label."""
    word, *numbers = label.split(" ")
    if word != UNION:
        return None
    table, *cells = map(int, numbers)
    return table, tuple(cells)


def _key(label: str) -> Key | None:
    """Names the family of a label; None for everybody, and for sums of other sets."""
    word, _, rest = label.partition(" ")
    match word:
        case "cell":
            return word, rest.split(" ")[0]
        case "stretch":
            return word, *rest.split(" ")[:2]
        case "level":
            return word, *_factors(rest)
    return None


def _factors(levels: str) -> Iterator[str]:
    """The factors of a level or a pair of levels, "sex=F & ward=a", or the spline of a part of one."""
    for one in levels.split(" & "):
        if "=" in one:
            yield one.partition("=")[0]
        elif " part " in one:
            yield one.rpartition(" part ")[0]  # else the rest of a level's own name


def _ends(label: str) -> tuple[int, int]:
    first, end = label.split(" ")[3:]
    return int(first), int(end)


def _within(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one != other and other[0] <= one[0] and one[1] <= other[1]


def _is_place(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) < 10
