"""What is suggested of an export, with how sure and why: never more than something for a person to look at.

A confidence is a score, not a probability: pieces of evidence that speak for one thing, each with a weight, are joined
as if they were independent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MOST = 0.99
LEAST = 0.3  # below it, nothing is suggested


@dataclass(frozen=True)
class Evidence:
    """One reason for one thing. weight: from 0 to 1. words: why, in words that hold no rare value."""

    weight: float
    words: str


@dataclass(frozen=True)
class Suggestion:
    """The likeliest role of a column, or table of a file. role: empty for none."""

    role: str
    confidence: float
    reason: str


@dataclass(frozen=True)
class Link:
    """Of a column's values, which share is among those of another file's key. sample: of so many values."""

    file: str
    column: str
    to_file: str
    to_column: str
    share: float
    sample: int
    numbers: bool = False


def joined(evidence: Sequence[Evidence]) -> float:
    """How sure all of it together makes."""
    return round(min(_MOST, 1 - math.prod(1 - each.weight for each in evidence)), 2)


def weighed(found: Mapping[str, Sequence[Evidence]]) -> Suggestion:
    """The role that most speaks for; among equals the first."""
    ranked = sorted(found, key=lambda role: -joined(found[role]))
    if not ranked or joined(found[ranked[0]]) < LEAST:
        return Suggestion("", 0.0, "nothing speaks for one")
    return said(ranked[0], found[ranked[0]])


def said(role: str, evidence: Sequence[Evidence]) -> Suggestion:
    """A suggestion with its reasons, the strongest first."""
    words = "; ".join(each.words for each in sorted(evidence, key=lambda each: -each.weight))
    return Suggestion(role, joined(evidence), words)
