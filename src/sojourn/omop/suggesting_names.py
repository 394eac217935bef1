"""How like a column's or file's name is to the words that people use for a thing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

_LEAST = 0.75  # below it, likeness is chance
_SHORT = 3  # letters; a shorter word counts only as it stands
_PART = 0.7  # of likeness, where a name only contains a word


def words(name: str) -> tuple[str, ...]:
    """A name's words in small letters: `admitTime`, `ADMIT_TIME` and `admit-time` are the same two."""
    return tuple(re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()))


def likeness(name: str, known: Iterable[str]) -> tuple[float, str]:
    """From 0 to 1, and which of the known words it is like; (0, "") where it is like none of them."""
    own = words(name)
    best = max(((_like(own, each), each) for each in known), default=(0.0, ""))
    return best if best[0] >= _LEAST else (0.0, "")


def slug(name: str) -> str:
    """A name as plans write them."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return (plain if plain[:1].isalpha() else f"f_{plain}" if plain else "")[:40]


def _like(own: tuple[str, ...], known: str) -> float:
    other = tuple(known.split())
    one, two = "".join(own), "".join(other)
    if one == two:
        return 1.0
    if set(other) <= set(own):
        return _PART + (1 - _PART) * len(two) / len(one)
    if min(len(one), len(two)) <= _SHORT:
        return 0.0
    return SequenceMatcher(None, one, two).ratio()
