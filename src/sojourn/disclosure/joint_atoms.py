"""How deep a new set cuts through all that is known: a bound on every combination at once.

    over the atoms of all known sets:  sum of min(|W and atom|, |atom less W|), and all of W that no known set holds

Whatever is added up of known sets has one value in an atom, so that W less that is not zero for at least so many
persons. Of two sets of new cells W is the one of those that a combination counts alike. What sites find by themselves
adds up to no more than what all would find together, so that one number a set and site is enough, however long the
history is. Where that is too little, a set passes only if its whole table is an earlier one again. Source: our own.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.joint_families import POPULATION, families, unions
from sojourn.disclosure.joint_unions import Earlier, Sums

MOST_CELLS = 8  # of a family, of which each union is looked at
MOST_SAME = 24  # earlier families that a new one may be


@dataclass(frozen=True)
class Same:
    """A new family and one of an earlier release, set by set."""

    release: int
    now: tuple[str, ...]
    then: tuple[int, ...]

    @property
    def label(self) -> str:
        """Names it among what sites put in."""
        return f"same {self.release} {self.now} {self.then}"

    def persons(self, sets: Mapping[str, BitMap], known: Sequence[BitMap]) -> BitMap:
        """A site's persons by whom they differ."""
        pairs = zip(self.now, self.then, strict=True)
        return BitMap.union(BitMap(), *(sets[label] ^ known[place] for label, place in pairs))


@dataclass(frozen=True)
class Known:
    """A union of new sets and one set of an earlier release."""

    release: int
    now: tuple[str, ...]
    place: int

    @property
    def label(self) -> str:
        """Names it among what sites put in."""
        return f"known {self.release} {self.now} {self.place}"

    def persons(self, sets: Mapping[str, BitMap], known: Sequence[BitMap]) -> BitMap:
        """A site's persons by whom they differ."""
        return BitMap.union(BitMap(), *(sets[label] for label in self.now)) ^ known[self.place]


@dataclass(frozen=True)
class Cut:
    """One union of new sets: it cuts deep, or it or all of its family is the same as an earlier one.

    about: the label that is hidden where it fails. now: none of a family that is too large, which must be the same.
    """

    about: str
    now: tuple[str, ...]
    same: tuple[Same | Known, ...]

    @property
    def label(self) -> str:
        """Names it among what sites put in."""
        return f"cut {self.now}"


def cuts(labels: Sequence[str], sums: Sums, told: Earlier) -> tuple[Cut, ...]:
    """What is asked of new sets of these labels. Words as of `joint_unions.beside_earlier`."""
    found: list[Cut] = []
    margins = {cells: label for label, cells in sums.items()}
    alone = tuple((place,) for place, label in enumerate(labels) if label == POPULATION)
    for family in (*alone, *families(labels)):
        own = tuple(labels[place] for place in family)
        same = tuple(_same(own, told))
        if len(own) > MOST_CELLS:
            found.append(Cut(POPULATION, (), same))
            continue
        for now in unions(own):
            about = now[0] if len(now) == 1 else margins.get(now, POPULATION)
            found.append(Cut(about, now, (*same, *_known(now, own, margins.get(now, ""), told))))
    return tuple(found)


def _known(now: tuple[str, ...], own: tuple[str, ...], margin: str, told: Earlier) -> list[Known]:
    """The earlier sets that a line of a family may be: everybody, a factor's level, a table's margin."""
    if len(now) == 1:
        return []
    names = {POPULATION} if now == own else set()
    parts = [set(label.removeprefix("level ").split(" & ")) for label in now if label.startswith("level ")]
    for part in set.intersection(*parts) if len(parts) == len(now) else set():
        if sum(part in label.removeprefix("level ").split(" & ") for label in own) == len(now):
            names.add(f"level {part}")
    places = [
        (label != margin, Known(release, now, place))
        for release, (_, labels) in enumerate(told)
        for place, label in enumerate(labels)
        if label in names or (margin and label.startswith(("cell ", "margin ")))
    ]
    return [known for _, known in sorted(places, key=lambda one: one[0])[:MOST_SAME]]


def _same(own: tuple[str, ...], told: Earlier) -> Iterable[Same]:
    """The earlier families that it may be: of as many sets, those of the same labels first."""
    found = [
        (tuple(labels[place] for place in family) != own, Same(release, own, family))
        for release, (_, labels) in enumerate(told)
        for family in ((0,), *families(labels))
        if len(family) == len(own) and (own == (POPULATION,)) == (family == (0,))
    ]
    return [same for _, same in sorted(found, key=lambda one: one[0])[:MOST_SAME]]


def depths(persons: Sequence[BitMap], known: Sequence[BitMap]) -> list[int]:
    """How deep each of some sets cuts through what is known."""
    distinct = [BitMap.deserialize(one) for one in {one.serialize() for one in known if one}]
    most = max((one.max() for one in (*distinct, *(one for one in persons if one))), default=0)
    marks = np.zeros(most + 1, dtype=np.uint64)  # equal for two persons whom no set tells apart: see `span`
    for one in distinct:
        marks[_numbers(one)] += np.uint64(secrets.randbits(64))
    told, atoms = np.unique(marks, return_inverse=True)
    sizes = np.bincount(atoms, minlength=len(told))
    return [_depth(one, atoms, sizes, told == 0) for one in persons]


def _depth(persons: BitMap, atoms: NDArray[np.intp], sizes: NDArray[np.intp], nowhere: NDArray[np.bool_]) -> int:
    within = np.bincount(atoms[_numbers(persons)], minlength=len(sizes))
    return int(np.where(nowhere, within, np.minimum(within, sizes - within)).sum())


def _numbers(persons: BitMap) -> NDArray[np.intp]:
    return np.fromiter(persons, dtype=np.intp, count=len(persons))
