"""What follows, from sets told of either, about the few for whom two columns that are alike differ.

Let y = a x + b but for the persons `apart`, each of whom has besides a rest r of his own. Of every person p there are
then two unknowns, x_p and r_p, and answers add them up:

    x over S:     the x_p of S
    y over S:     the x_p of S, and the r_p of those of S who are apart (a, b and the number of S are known)
    unsafe:       a combination in which fewer than T unknowns stand, and that did not follow before

So mean(x) and mean(y) over everybody and over all but a few are four sums, each about many, from which the rests of the
few follow; and x of women, x of men and y of both are three. Persons are doubled and the sets followed as all others
are (`span.py`). Of each atom of the ledger no more than T persons of either kind are kept: whether a set is smaller
than T does not need more, and the number of persons does not matter. Where one of the columns was told of alone over no
set, the x_p cancel only in y - x over one set, and the rests are all that is followed.

What the rule on told sets lets through, since few persons have anything there but what most have, counts as known.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.alike import Apart
from sojourn.disclosure.known import Known
from sojourn.disclosure.span import Span

Pair = tuple[str, str]


@dataclass(frozen=True)
class _Doubled:
    """Some persons, each of them twice: numbered by their place among them, and once more for their rests."""

    persons: NDArray[np.uint32]
    apart: BitMap

    def rests(self, told: BitMap) -> BitMap:
        """The unknown rests of these persons."""
        return self.places(told & self.apart).shift(len(self.persons))

    def back(self, unknowns: BitMap) -> BitMap:
        """Whose they are."""
        return BitMap(self.persons[np.array(unknowns.to_array(), dtype=np.int64) % len(self.persons)])

    def places(self, told: BitMap) -> BitMap:
        """The unknown values of the first column of these persons."""
        kept = told & BitMap(self.persons)
        return BitMap(np.searchsorted(self.persons, np.array(kept.to_array())).astype(np.uint32))


def concerned(known: Known, later: Known, pair: Pair) -> bool:
    """Whether something new is told of either column, and something of each."""
    new = any(_told(later, place, pair) - _told(known, place, pair) for place in range(len(later.sets)))
    return new and all(any(name in told for told in later.measures) for name in pair)


def few_apart(
    known: Known, later: Known, pair: Pair, apart: Apart, threshold: int, bound: int, share: float
) -> list[BitMap] | None:
    """The few persons about whom a release tells by both columns, or groups of whom it tells too much.

    None where that is beyond the bound (ranks x atoms) of what is searched. `later` is followed.
    """
    if later.span is None:
        return None
    doubled = _Doubled(_some_of_each(later.span.atoms, apart.apart, threshold), apart.apart)
    harmless = [doubled.rests(told) for told in _let_through(later, pair, apart, threshold)]
    whole = all(any(_told(later, place, pair) == {name} for place in range(len(later.sets))) for name in pair)
    before = Span(threshold).plus([*harmless, *_unknowns(known, pair, doubled, whole)], bound)
    after = before and before.plus(list(_unknowns(later, pair, doubled, whole)), bound)
    if before is None or after is None or (few := after.small(before)) is None:
        return None
    return [doubled.back(unknowns) for unknowns in few or after.crowded(before, share)]


def _told(known: Known, place: int, pair: Pair) -> frozenset[str]:
    return known.measures[place].intersection(pair) if place < len(known.sets) else frozenset()


def _unknowns(known: Known, pair: Pair, doubled: _Doubled, whole: bool) -> Iterator[BitMap]:
    """What each known sum adds up; of two over one set the difference. whole: persons too, and not the rests alone."""
    for place, persons in enumerate(known.sets.persons):
        told = _told(known, place, pair)
        if whole and pair[0] in told:
            yield doubled.places(persons)
        if len(told) == 2:
            yield doubled.rests(persons)
        elif whole and pair[1] in told:
            yield doubled.places(persons) | doubled.rests(persons)


def _let_through(known: Known, pair: Pair, apart: Apart, threshold: int) -> Iterator[BitMap]:
    """The told sets with few persons apart of which answers about both may be given."""
    for place, persons in enumerate(known.sets.persons):
        few = 0 < apart.apart.intersection_cardinality(persons) < threshold
        if few and _told(known, place, pair) and not apart.tell_few(persons, threshold):
            yield persons


def _some_of_each(atoms: NDArray[np.int64], apart: BitMap, threshold: int) -> NDArray[np.uint32]:
    """Up to T persons of each atom who are apart, and up to T who are not."""
    differ = np.array(apart.to_array(), dtype=np.int64)
    groups = 2 * atoms
    groups[differ[differ < len(atoms)]] += 1
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return np.sort(order[place < threshold]).astype(np.uint32)
