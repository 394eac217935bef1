"""Audit Expert: which small sets of persons follow, by addition and subtraction, from all that is known together.

The known sets are rows of a 0/1 matrix over atoms (the persons whom no known set tells apart). What follows linearly is
its row space, kept in reduced row echelon form modulo a secret prime, and extended by each release (F. Y. Chin,
G. Ozsoyoglu, Auditing and inference control in statistical databases, IEEE TSE 8, 1982). Pivots are taken at the
largest atoms first. So a row whose pivot is an atom of fewer than T persons is zero at every atom of T or more, and
these rows span exactly what follows about small atoms alone: where there is none, no set of fewer than T persons
follows, whatever the combination. Where there are some, a vector is the sum of the rows at its own pivots, each times
its value there; so rows, and sums and differences of two rows (of three, where they are few), are looked through for
those that are not zero for fewer than T persons.

Modulo a prime a vector may seem to follow that does not, never so that it matters in practice: the prime is drawn in
secret from [2^25, 2^26) at each start, so that nobody can choose sets for which it is a bad one.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.modular import Rows, eliminate, random_prime, times

MOST_ROWS = 2_000  # about small atoms, of which all pairs are looked at
FEW_ROWS = 48  # of which all triples are
_BUCKETS = 64
_CHUNK = 32
_MANY = 20_000  # candidates that are not worth their exact look before a further bound


@dataclass(frozen=True)
class Span:
    """All that follows linearly from some sets. threshold: T.

    marks: for each person a random sum over the sets that hold it, 0 of none; equal for two whom no set tells apart.
    atoms: the atom of each person. sizes: persons of each atom. rows: (rank, atoms), modulo `prime`. pivots: of rows.
    """

    threshold: int = 10
    prime: int = field(default_factory=random_prime)
    marks: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(1, dtype=np.uint64))
    atoms: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.ones(1, dtype=np.int64))
    rows: Rows = field(default_factory=lambda: np.zeros((0, 1), dtype=np.int32))
    pivots: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def rank(self) -> int:
        """How many independent numbers are known."""
        return len(self.pivots)

    def plus(self, sets: Sequence[BitMap], bound: int) -> Span | None:
        """With further sets; None where ranks × atoms would be above the bound."""
        if not sets:
            return self
        refined = self._refined(sets)
        if (self.rank + len(sets)) * len(refined.sizes) > bound:
            return None
        batch = np.zeros((len(sets), len(refined.sizes)), dtype=np.int64)
        for place, persons in enumerate(sets):
            batch[place, refined.atoms[_numbers(persons)]] = 1
        return refined._repivoted()._added(batch)

    def small(self, before: Span) -> list[BitMap] | None:
        """The sets of 0 < n < T persons about whom something follows that did not follow before; None where there are
        too many combinations to look at."""
        if self.rank == before.rank:
            return []
        rows = self.rows[self._about_small()]
        if len(rows) > MOST_ROWS:
            return None
        used = np.flatnonzero(rows.any(axis=0))
        found: list[BitMap] = []
        for vector in _combinations(rows[:, used].astype(np.int64), self.sizes[used], self.threshold, self.prime):
            whole = np.zeros(len(self.sizes), dtype=np.int64)
            whole[used] = vector
            if not self._follows_in(before, whole):
                found.append(self._persons(np.flatnonzero(whole)))
        return found

    def crowded(self, before: Span, share: float) -> list[BitMap]:
        """The groups of persons about whom alone more independent numbers follow than this share of their number,
        and more than before.

        Exact answers about n persons give every value of two away long before there are n of them (I. Dinur,
        K. Nissim, Revealing information while preserving privacy, PODS 2003), which no rank tells.
        """
        if self.rank == before.rank:
            return []
        found = []
        for count, columns in self._groups():
            if count > share * self.sizes[columns].sum():
                persons = self._persons(columns)
                if count > before._rank_within(persons):
                    found.append(persons)
        return found

    # ---- atoms

    def _refined(self, sets: Sequence[BitMap]) -> Span:
        """The same span over the finer atoms that further sets make."""
        people = max(len(self.marks), 1 + max((persons.max() for persons in sets if persons), default=0))
        marks = np.zeros(people, dtype=np.uint64)
        marks[: len(self.marks)] = self.marks
        parents = np.zeros(people, dtype=np.int64)
        parents[: len(self.atoms)] = self.atoms
        if len(self.marks) < people:  # nobody knew of these
            unknown = np.flatnonzero(self.marks == 0)
            if len(unknown):
                parents[len(self.atoms) :] = self.atoms[unknown[0]]
            else:
                return self._with_outside()._refined(sets)
        for persons in sets:
            marks[_numbers(persons)] += np.uint64(secrets.randbits(64))
        _, first, atoms, sizes = np.unique(marks, return_index=True, return_inverse=True, return_counts=True)
        parent = parents[first]
        heir = np.zeros(len(self.sizes), dtype=np.int64)
        order = np.argsort(sizes, kind="stable")
        heir[parent[order]] = order  # of several the last one stays: the largest
        return replace(
            self,
            marks=marks,
            atoms=atoms.astype(np.int64),
            sizes=sizes.astype(np.int64),
            rows=self.rows[:, parent],
            pivots=heir[self.pivots],
        )

    def _with_outside(self) -> Span:
        """With one more number that is in no set, so that there is an atom of those whom nothing is known about."""
        return replace(
            self,
            marks=np.append(self.marks, np.uint64(0)),
            atoms=np.append(self.atoms, len(self.sizes)),
            sizes=np.append(self.sizes, 1),
            rows=np.pad(self.rows, ((0, 0), (0, 1))),
        )

    def _persons(self, columns: NDArray[np.intp]) -> BitMap:
        chosen = np.zeros(len(self.sizes), dtype=bool)
        chosen[columns] = True
        return BitMap(np.flatnonzero(chosen[self.atoms]).astype(np.uint32))

    # ---- rows

    def _added(self, batch: NDArray[np.int64]) -> Span:
        """With further rows over the same atoms."""
        batch = (batch - times(batch[:, self.pivots], self.rows, self.prime)) % self.prime
        batch, pivots = eliminate(batch, self.sizes, self.prime)
        if not len(pivots):
            return self
        rows = self.rows
        if len(rows) and (touched := np.flatnonzero(rows[:, pivots].any(axis=1))).size:
            rows = rows.copy()
            part = rows[touched]
            rows[touched] = (part - times(part[:, pivots].astype(np.int64), batch, self.prime)) % self.prime
        return replace(self, rows=np.concatenate([rows, batch]), pivots=np.concatenate([self.pivots, pivots]))

    def _repivoted(self) -> Span:
        """Atoms may have become small: rows with such a pivot that tell about large atoms too get another one."""
        small = self.sizes < self.threshold
        wrong = np.flatnonzero(small[self.pivots])
        wrong = wrong[self.rows[np.ix_(wrong, np.flatnonzero(~small))].any(axis=1)] if len(wrong) else wrong
        if not len(wrong):
            return self
        rest = np.setdiff1d(np.arange(self.rank), wrong)
        kept = replace(self, rows=self.rows[rest], pivots=self.pivots[rest])
        return kept._added(self.rows[wrong].astype(np.int64))

    def _about_small(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.sizes[self.pivots] < self.threshold)

    def _follows_in(self, before: Span, vector: NDArray[np.int64]) -> bool:
        """Whether a vector over these atoms is in the row space of an earlier span."""
        _, first = np.unique(self.atoms, return_index=True)
        inside = first < len(before.atoms)
        if vector[~inside].any():
            return False
        parent = before.atoms[first[inside]]
        coarse = np.zeros(len(before.sizes), dtype=np.int64)
        coarse[parent] = vector[inside]
        if (coarse[parent] != vector[inside]).any():
            return False
        rest = (coarse[None] - times(coarse[None, before.pivots], before.rows, before.prime)) % before.prime
        return not rest.any()

    # ---- groups of small atoms

    def _groups(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """The rows about small atoms that hang together: how many, and their atoms."""
        rows = self.rows[self._about_small()] != 0
        left = np.arange(len(rows))
        while len(left):
            inside, columns = left[:1], rows[left[0]]
            while True:
                joined = left[rows[np.ix_(left, np.flatnonzero(columns))].any(axis=1)]
                if len(joined) == len(inside):
                    break
                inside, columns = joined, rows[joined].any(axis=0)
            yield len(inside), np.flatnonzero(columns)
            left = np.setdiff1d(left, inside)

    def _rank_within(self, persons: BitMap) -> int:
        """Independent numbers about small atoms that lie within these persons."""
        rows = self.rows[self._about_small()]
        outside = np.ones(len(self.atoms), dtype=bool)
        within = _numbers(persons)
        outside[within[within < len(outside)]] = False
        beyond = np.unique(self.atoms[outside])
        return int((~rows[:, beyond].any(axis=1)).sum())


def _numbers(persons: BitMap) -> NDArray[np.int64]:
    return np.frombuffer(persons.to_array(), dtype=np.uint32).astype(np.int64)


def _combinations(
    rows: NDArray[np.int64], sizes: NDArray[np.int64], threshold: int, prime: int
) -> Iterator[NDArray[np.int64]]:
    """Rows, sums and differences of two, and of three where there are few, that fewer than T persons stand in."""
    held = rows != 0
    weights = held @ sizes
    for place in np.flatnonzero(weights < threshold):
        yield rows[place]
    if len(rows) < 2:
        return
    sums = _buckets(rows, prime)
    candidates = [((a, b), (1, sign)) for a, b, sign in _pairs(held, weights, sums, sizes, threshold, prime)]
    if len(rows) <= FEW_ROWS:
        candidates += _triples(sums, threshold, prime)
    for places, signs in candidates:
        vector = np.array(signs) @ rows[list(places)] % prime
        if 0 < sizes[vector != 0].sum() < threshold:
            yield vector


def _buckets(rows: NDArray[np.int64], prime: int) -> NDArray[np.int64]:
    """Random sums of each row's atoms in buckets: a combination that is not zero at fewer than T atoms is not zero in
    fewer than T buckets."""
    random = np.random.default_rng(secrets.randbits(64))
    bucket = np.sort(np.arange(rows.shape[1]) % _BUCKETS)
    mixed = rows[:, random.permutation(rows.shape[1])] * random.integers(1, prime, rows.shape[1]) % prime
    starts = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    return np.asarray(np.add.reduceat(mixed, starts, axis=1) % prime)


def _pairs(
    held: NDArray[np.bool_],
    weights: NDArray[np.int64],
    sums: NDArray[np.int64],
    sizes: NDArray[np.int64],
    threshold: int,
    prime: int,
) -> list[tuple[int, int, int]]:
    """Pairs of rows that may cancel but for fewer than T persons; they have atoms in common, as neither is small."""
    least = sums.shape[1] - (threshold - 1)
    candidates: list[tuple[int, int, int]] = []
    for start in range(0, len(sums), _CHUNK):
        block = sums[start : start + _CHUNK, None]
        for sign in (1, -1):
            equal = (block == (-sign * sums[None] % prime)).sum(axis=2) >= least
            equal &= np.arange(len(sums))[None] > np.arange(start, start + len(equal))[:, None]
            candidates += [(start + int(a), int(b), sign) for a, b in np.argwhere(equal)]
    if len(candidates) > _MANY:
        both = (held * sizes).astype(np.float32) @ held.T.astype(np.float32)
        candidates = [(a, b, sign) for a, b, sign in candidates if weights[a] + weights[b] - 2 * both[a, b] < threshold]
    return candidates


def _triples(sums: NDArray[np.int64], threshold: int, prime: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Three rows that may cancel but for fewer than T persons, and the sign of each."""
    found: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    for a, b in combinations(range(len(sums)), 2):
        for second in (1, -1):
            two = sums[a] + second * sums[b]
            for third in (1, -1):
                left = ((two + third * sums[b + 1 :]) % prime != 0).sum(axis=1)
                found += [((a, b, b + 1 + int(c)), (1, second, third)) for c in np.flatnonzero(left < threshold)]
    return found
