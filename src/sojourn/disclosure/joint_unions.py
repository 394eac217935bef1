"""Unions of sets that are known, beside unions of sets that would be: whether few persons lie between them.

    unsafe: 0 < |U + W - (U and W)| < T, for a union U of an earlier table's cells and one W of the new one's

With a table by ward, the sum over all of two wards but one person tells of this person: no two single sets are near.
Of two families of few sets every union of the one is compared with every union of the other. Where a family is larger,
each single set is compared with it: beyond some few of the cells, put together in whatever way, at least T persons
differ, or T are in no cell at all, or the set is one that is known already. Source: our own; by cells, the least of
|U + W - (U and W)| is the sum of the lesser part of each cell, so that those of some cells bound it from below.

Beyond that, earlier releases are taken together as far as each is a population: see `joint_populations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

from pyroaring import BitMap

from sojourn.disclosure.joint_families import POPULATION, families, joined, unions, whole
from sojourn.disclosure.joint_populations import HASHED, populations
from sojourn.disclosure.joint_populations import Between as Between
from sojourn.disclosure.joint_populations import Earlier as Earlier

REST = -1  # the place of those of an earlier population who are in no cell that is known
MOST_UNIONS = 256  # of two families, pairs of a union each
ALONE = 16  # unions of a family with which a single set is compared
FEW = 2  # cells of one of the same plan's tables that may be too few to be shown
BLOCK = 2  # cells of a larger one that are put together
Sums = Mapping[str, tuple[str, ...]]
Kin = Callable[[str, str, str], bool]
Part = TypeVar("Part", int, str)


@dataclass(frozen=True)
class Beside:
    """Who lies between a union of new sets and one of an earlier release's.

    now: labels. then: places of the release, or REST beside its `family`. bound: labels and places in whose union, or
    outside of it, they are looked for; none: anywhere.
    """

    release: int
    now: tuple[str, ...] = ()
    then: tuple[int, ...] = ()
    family: tuple[int, ...] = ()
    bound: tuple[str | int, ...] = ()
    inside: bool = True

    @property
    def label(self) -> str:
        """Names it among what sites put in."""
        where = f" {'in' if self.inside else 'out'} {self.bound}" if self.bound else ""
        return f"beside {self.release} {self.now} {self.then} {self.family}{where}"

    def persons(self, sets: Mapping[str, BitMap], known: Sequence[BitMap]) -> BitMap:
        """A site's persons between them. known: its part of the release's sets."""
        found = _united(sets[label] for label in self.now) ^ self._then(self.then, known)
        if not self.bound:
            return found
        places = tuple(one for one in self.bound if isinstance(one, int))
        where = self._then(places, known) | _united(sets[one] for one in self.bound if isinstance(one, str))
        return found & where if self.inside else found - where

    def _then(self, places: Sequence[int], known: Sequence[BitMap]) -> BitMap:
        found = _united(known[place] for place in places if place != REST)
        return found | (known[0] - _united(known[place] for place in self.family)) if REST in places else found


@dataclass(frozen=True)
class Whole:
    """A union of earlier sets by itself, as of `Beside`."""

    release: int
    then: tuple[int, ...]
    family: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """Names it among what sites put in."""
        return f"whole {self.release} {self.then} {self.family}"

    def persons(self, known: Sequence[BitMap]) -> BitMap:
        """A site's persons in it."""
        return Beside(self.release, (), self.then, self.family).persons({}, known)


@dataclass(frozen=True)
class Split:
    """A single set beside a family of many: T persons on either side in some of its blocks, or outside; or it is known.

    blocks: of each, all that must be T. same: (place of the release, label) of sets that are the same. unseen: the
    earlier set of an analysis of the same plan, which shows nothing where it is of fewer than T persons.
    """

    about: str  # the label that is hidden where it fails
    release: int
    blocks: tuple[tuple[Beside, ...], ...]
    same: tuple[tuple[int, str], ...]
    unseen: tuple[Whole, ...] = ()


@dataclass(frozen=True)
class Unions:
    """All that is asked about unions. pairs: with the label that is hidden where one fails, and as `Split.unseen`."""

    pairs: tuple[tuple[str, Beside | Between, tuple[Whole, ...]], ...]
    splits: tuple[Split, ...]

    @property
    def counted(self) -> Iterator[Beside | Between]:
        """What sites put in."""
        yield from (one for _, one, _ in self.pairs)
        yield from (one for split in self.splits for block in split.blocks for one in block)

    @property
    def wholes(self) -> list[Whole]:
        """Of which sites put in how many persons they are, each once."""
        unseen = [of for _, _, of in self.pairs] + [split.unseen for split in self.splits]
        return list(dict.fromkeys(one for of in unseen for one in of))


def beside_earlier(
    labels: Sequence[str], sums: Sums, told: Earlier, most: int, kin: Kin = lambda name, then, now: False
) -> Unions | None:
    """The questions about new sets of these labels; None where there are more than `most`.

    sums: the cells of each label that is one of several. told: names and labels of the earlier releases. kin: whether
    an earlier set and a new one are of tables of the same plan by the same variables, or of which one's are among the
    other's: all that both show is sums of the same cells.
    """
    pairs: list[tuple[str, Beside | Between, tuple[Whole, ...]]] = []
    splits: list[Split] = []
    size = 0
    for release, (name, then) in enumerate(told):
        own = partial(kin, name)
        for found in chain(_beside(labels, sums, release, name, then, own), populations(labels, release, told)):
            if isinstance(found, Split):
                splits.append(found)
                size += sum(map(len, found.blocks))
            else:
                about, one = found
                planned = isinstance(one, Beside) and len(told[one.release][0]) != HASHED
                pairs.append((about, one, _unseen(one, then) if planned and isinstance(one, Beside) else ()))
                size += 1
            if size > most:
                return None
    return Unions(tuple(pairs), tuple(splits))


def _unseen(one: Beside, labels: Sequence[str]) -> tuple[Whole, ...]:
    """The unions of few cells that one of the same plan's would tell, or would be told without: none of fewer than T
    persons is, since what is hidden beside a small cell is T together.
    """
    family = next((found for found in families(labels) if set(one.then) - {REST} <= set(found)), ())
    parts = family if not family or whole(labels, family) else (*family, REST)
    others = tuple(place for place in parts if place not in one.then)
    return tuple(Whole(one.release, then, _family(then, family)) for then in (one.then, others) if 0 < len(then) <= FEW)


def _beside(
    labels: Sequence[str], sums: Sums, release: int, name: str, then: Sequence[str], kin: Callable[[str, str], bool]
) -> Iterator[tuple[str, Beside] | Split]:
    """Of one earlier release."""
    new, old = families(labels), [(one, whole(then, one)) for one in families(then)]
    for family, all_of_them in old:
        parts = family if all_of_them else (*family, REST)
        alone = {place for place, label in enumerate(labels) if not kin(then[family[0]], label)}
        for own in (own for own in new if own[0] in alone):
            if 2 ** (len(own) + len(parts)) <= MOST_UNIONS:
                names = [labels[place] for place in own]
                yield from _unions_of(names, sums, release, family, parts)
                alone -= {place for place in alone if set(sums.get(labels[place], [labels[place]])) <= set(names)}
        for place in sorted(alone):
            yield from _one(labels[place], release, then, family, parts)
    for own in new:
        strange = [(one, all_of_them) for one, all_of_them in old if not kin(then[one[0]], labels[own[0]])]
        if strange and all(2 ** (len(own) + len(one) + (not every)) <= MOST_UNIONS for one, every in strange):
            continue
        for place in (place for place, label in enumerate(then) if not kin(label, labels[own[0]])):
            unseen = () if len(name) == HASHED else (Whole(release, (place,)),)
            yield from _other(tuple(labels[one] for one in own), labels, release, place, unseen)


def _unions_of(
    own: Sequence[str], sums: Sums, release: int, family: tuple[int, ...], parts: Sequence[int]
) -> Iterator[tuple[str, Beside]]:
    """All unions of a new family beside all of an earlier one."""
    margins = {cells: label for label, cells in sums.items()}
    for now in unions(own):
        about = now[0] if len(now) == 1 else margins.get(now) or joined(now, len(now) == len(own))
        for then in unions(parts):
            if len(now) > 1 or len(then) > 1 or then == (REST,):  # single sets are compared anyhow
                yield about, Beside(release, now, then, _family(then, family))


def _one(
    label: str, release: int, then: Sequence[str], family: tuple[int, ...], parts: tuple[int, ...]
) -> Iterator[tuple[str, Beside] | Split]:
    """A new set beside an earlier family."""
    if 2 ** len(parts) <= ALONE:
        several = (one for one in unions(parts) if len(one) > 1 or one == (REST,))
        yield from ((label, Beside(release, (label,), one, _family(one, family))) for one in several)
        return
    choices = (
        tuple(Beside(release, (label,), one, family, block) for one in ((), *unions(block))) for block in _blocks(parts)
    )
    outside = (Beside(release, (label,), (), family, parts, inside=False),)
    yield Split(label, release, (*choices, outside), tuple((place, label) for place in range(len(then))))


def _other(
    own: tuple[str, ...], labels: Sequence[str], release: int, place: int, unseen: tuple[Whole, ...]
) -> Iterator[tuple[str, Beside] | Split]:
    """An earlier set beside a new family."""
    if 2 ** len(own) <= ALONE:
        several = (one for one in unions(own) if len(one) > 1)
        yield from ((joined(one, len(one) == len(own)), Beside(release, one, (place,))) for one in several)
        return
    choices = (
        tuple(Beside(release, one, (place,), (), block) for one in ((), *unions(block))) for block in _blocks(own)
    )
    outside = (Beside(release, (), (place,), (), own, inside=False),)
    yield Split(POPULATION, release, (*choices, outside), tuple((place, label) for label in labels), unseen)


def _blocks(parts: tuple[Part, ...]) -> Iterator[tuple[Part, ...]]:
    return (parts[start : start + BLOCK] for start in range(0, len(parts), BLOCK))


def _family(then: Sequence[int], family: tuple[int, ...]) -> tuple[int, ...]:
    return family if REST in then else ()


def _united(sets: Iterator[BitMap]) -> BitMap:
    return BitMap.union(BitMap(), *sets)
