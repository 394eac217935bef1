"""What follows, from sets told of either, about the few for whom columns that are alike differ.

Let y = a x + b but for the persons `apart`, each of whom has besides a rest r of his own. Of every person p there are
then two unknowns, x_p and r_p, and answers add them up:

    x over S:     the x_p of S
    y over S:     the x_p of S, and the r_p of those of S who are apart (a, b and the number of S are known)
    unsafe:       a combination in which no x and fewer than T rests stand, and that did not follow before

So mean(x) and mean(y) over everybody and over all but a few are four sums, each about many, from which the rests of the
few follow; and x of women, x of men and y of both are three. Of more than two columns that are alike, each hangs on the
one it is most alike, in a tree (J. B. Kruskal, Proc. American Mathematical Society 7, 1956), and a sum over it adds up
the rests on the way from the tree's root.

Sums are followed as sets are (`span.py`). Where the x_p cancel is told by their values at the pivots of what follows
from the sets themselves, one person each; of each atom of the ledger no more than T persons are kept, since whether a
set is smaller than T does not need more. Where one column was told of over every set, it is the root, and the rests of
the others are all that is followed.

The rest of a told set which the rule on told sets lets through, since few persons have anything there but what most
have, may follow as such; it is no licence for what follows by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.alike import Apart
from sojourn.disclosure.known import Known
from sojourn.disclosure.span import Span

Pair = tuple[str, str]
Persons = NDArray[np.uint32]


@dataclass(frozen=True)
class Tree:
    """Columns of which each is alike the one that it hangs on. edges: the pairs. alike: all pairs of these columns."""

    edges: tuple[Pair, ...]
    alike: Mapping[Pair, Apart]

    @property
    def names(self) -> frozenset[str]:
        """The columns."""
        return frozenset(name for pair in self.edges for name in pair)

    def paths(self, root: str) -> dict[str, frozenset[int]]:
        """The edges between a root and each column."""
        found = {root: frozenset[int]()}
        while len(found) < len(self.edges) + 1:
            for place, (one, other) in enumerate(self.edges):
                for here, there in ((one, other), (other, one)):
                    if here in found and there not in found:
                        found[there] = found[here] | {place}
        return found


@dataclass(frozen=True)
class Told:
    """The sets told of any of some columns, and of which."""

    sets: tuple[tuple[BitMap, frozenset[str]], ...]

    @classmethod
    def of(cls, known: Known, names: frozenset[str]) -> Told:
        """Of all that is known."""
        told = zip(known.sets.persons, (measure & names for measure in known.measures), strict=True)
        return cls(tuple((persons, which) for persons, which in told if which))

    def everywhere(self) -> frozenset[str]:
        """The columns that were told of over every set."""
        return frozenset.intersection(*(which for _, which in self.sets))


@dataclass(frozen=True)
class _Numbers:
    """Numbers for the unknowns. heads: persons who stand for the first column's values, each T times so that no
    combination of them is small; none where these need no number. rests: for each edge some of the persons apart."""

    heads: Persons
    rests: tuple[Persons, ...]
    copies: int

    @cached_property
    def starts(self) -> list[int]:
        """The first number of each edge's rests, and one beyond the last."""
        sizes = [len(self.heads) * self.copies, *(len(persons) for persons in self.rests)]
        return [int(end) for end in np.cumsum(sizes)]

    def values(self, told: BitMap) -> BitMap:
        """Of the first column over these persons."""
        places = _places(self.heads, told)
        return BitMap((places[:, None] * self.copies + np.arange(self.copies)).ravel().astype(np.uint32))

    def rest(self, told: BitMap, edges: frozenset[int]) -> BitMap:
        """What these persons differ by along some edges."""
        parts = (_places(self.rests[edge], told) + self.starts[edge] for edge in edges)
        return BitMap().union(*(BitMap(part.astype(np.uint32)) for part in parts))

    def back(self, unknowns: BitMap) -> BitMap:
        """Whose rests they are."""
        numbers = np.array(unknowns.to_array(), dtype=np.int64)
        found = [BitMap()]
        for edge, persons in enumerate(self.rests):
            here = (self.starts[edge] <= numbers) & (numbers < self.starts[edge + 1])
            found.append(BitMap(persons[numbers[here] - self.starts[edge]]))
        return BitMap.union(*found)


def trees(alike: Mapping[Pair, Apart]) -> Iterator[Tree]:
    """Each pair, and of more than two columns that hang together by pairs the tree of those most alike."""
    for pair, apart in alike.items():
        yield Tree((pair,), {pair: apart})
    groups: dict[str, list[Pair]] = {}
    members: dict[str, set[str]] = {name: {name} for pair in alike for name in pair}
    for pair in sorted(alike, key=lambda pair: (len(alike[pair].apart), pair)):
        one, other = (members[name] for name in pair)
        if one is not other:
            edges = groups.pop(min(one), []) + groups.pop(min(other), []) + [pair]
            one |= other
            members |= dict.fromkeys(one, one)
            groups[min(one)] = edges
    for edges in groups.values():
        if len(edges) > 1:
            names = {name for pair in edges for name in pair}
            yield Tree(tuple(edges), {pair: apart for pair, apart in alike.items() if names.issuperset(pair)})


def few_apart(known: Known, later: Known, tree: Tree, threshold: int, bound: int, share: float) -> list[BitMap] | None:
    """The few persons about whom a release tells by several columns, or groups of whom it tells too much.

    None where that is beyond the bound (ranks x atoms) of what is searched. `later` is followed.
    """
    earlier, told = Told.of(known, tree.names), Told.of(later, tree.names)
    if told == earlier or len(frozenset[str]().union(*(which for _, which in told.sets))) < 2:
        return []
    if later.span is None:
        return None
    everywhere = told.everywhere() & (earlier.everywhere() if earlier.sets else tree.names)
    paths = tree.paths(min(everywhere or tree.names))
    numbers = _numbered(later.span, tree, threshold, whole=not everywhere)
    before = Span(threshold).plus(list(_sums(earlier, numbers, paths)), bound)
    after = before and before.plus(list(_sums(told, numbers, paths)), bound)
    if before is None or after is None or (few := after.small(before)) is None:
        return None
    through = _let_through(told, tree, numbers, paths, threshold)
    few = [unknowns for unknowns in few if unknowns not in through]
    if through and not few:
        before = before.plus(through, bound)
        after = before and after.plus(through, bound)
        if before is None or after is None:
            return None
    return [numbers.back(unknowns) for unknowns in few or after.crowded(before, share)]


def _numbered(span: Span, tree: Tree, threshold: int, whole: bool) -> _Numbers:
    first = np.unique(span.atoms, return_index=True)[1]
    heads = np.sort(first[span.pivots]) if whole else np.zeros(0)
    rests = (_some_of_each(span.atoms, tree.alike[pair].apart, threshold) for pair in tree.edges)
    return _Numbers(heads.astype(np.uint32), tuple(rests), threshold)


def _sums(told: Told, numbers: _Numbers, paths: Mapping[str, frozenset[int]]) -> Iterator[BitMap]:
    """What each known sum adds up."""
    for persons, which in told.sets:
        values = numbers.values(persons)
        for name in sorted(which):
            if sums := values | numbers.rest(persons, paths[name]):
                yield sums


def _let_through(
    told: Told, tree: Tree, numbers: _Numbers, paths: Mapping[str, frozenset[int]], threshold: int
) -> list[BitMap]:
    """The rests of the sets told of both columns of a pair, with few persons apart, who may be told of."""
    found = []
    for pair, apart in tree.alike.items():
        edges = paths[pair[0]] ^ paths[pair[1]]
        for persons, which in told.sets:
            few = which.issuperset(pair) and 0 < apart.apart.intersection_cardinality(persons) < threshold
            if few and not apart.tell_few(persons, threshold):
                found.append(numbers.rest(persons, edges))
    return found


def _places(among: Persons, told: BitMap) -> NDArray[np.int64]:
    """Where some of a sorted list of persons stand in it."""
    return np.searchsorted(among, np.array((told & BitMap(among)).to_array(), dtype=np.uint32))


def _some_of_each(atoms: NDArray[np.int64], apart: BitMap, threshold: int) -> Persons:
    """Up to T persons of each atom who are apart; of those in no set nobody asks."""
    persons = np.array(apart.to_array(), dtype=np.int64)
    persons = persons[persons < len(atoms)]
    order = np.argsort(atoms[persons], kind="stable")
    starts = np.flatnonzero(np.diff(atoms[persons][order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
    return np.sort(persons[order[place < threshold]]).astype(np.uint32)
