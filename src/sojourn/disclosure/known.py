"""What is known of a dataset: the distinct sets of persons behind everything released, laid out to be searched fast.

Each set is kept as a compressed bitmap, its size, and two sketches: the numbers of its persons in 16 and in 256 buckets
of a fixed hash. Over the buckets b, sum(max(0, a_b - c_b)) <= |A \\ C|, so most pairs are told apart without a bitmap.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.disclosure.ledger import NUMBER, RESTORED, Charge
from sojourn.disclosure.span import Span

Counts = NDArray[np.int32]

FINE, COARSE = 256, 16
_FACTOR = np.uint32(2654435761)  # Knuth's multiplicative hash: neighbours fall into far buckets


def sketch(persons: BitMap) -> Counts:
    """How many persons of a set fall into each of the 256 buckets."""
    numbers = np.frombuffer(persons.to_array(), dtype=np.uint32)
    return np.bincount((numbers * _FACTOR) >> np.uint32(24), minlength=FINE).astype(np.int32)


@dataclass(frozen=True)
class Sets:
    """Distinct sets in the order in which they became known. fine: (sets, 256); coarse: (sets, 16)."""

    persons: tuple[BitMap, ...] = ()
    sizes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    fine: Counts = field(default_factory=lambda: np.zeros((0, FINE), dtype=np.int32))
    coarse: Counts = field(default_factory=lambda: np.zeros((0, COARSE), dtype=np.int32))

    def __len__(self) -> int:
        return len(self.persons)

    def plus(self, more: Iterable[BitMap]) -> Sets:
        """These and further ones."""
        added = tuple(more)
        if not added:
            return self
        fine = np.stack([sketch(persons) for persons in added])
        coarse = fine.reshape(len(added), COARSE, -1).sum(axis=2, dtype=np.int32)
        sizes = np.array([len(persons) for persons in added], dtype=np.int64)
        return Sets(
            self.persons + added,
            np.concatenate([self.sizes, sizes]),
            np.concatenate([self.fine, fine]),
            np.concatenate([self.coarse, coarse]),
        )


@dataclass(frozen=True)
class Known:
    """One dataset's ledger in memory: a value; a further release gives another one.

    places: digest of a set → its place in `sets`. measures: for each set what is known of it, the columns and `n`.
    snapshots: for each set the snapshots about which it was told. span: what follows from the first `spanned` of them
    together; None where that is beyond the bound. doubtful: something left that nobody can say the sets of.
    """

    sets: Sets = field(default_factory=Sets)
    places: Mapping[str, int] = field(default_factory=dict)
    measures: tuple[frozenset[str], ...] = ()
    snapshots: tuple[frozenset[str], ...] = ()
    span: Span | None = field(default_factory=Span)
    spanned: int = 0
    doubtful: bool = False

    def plus(self, charges: Iterable[Charge]) -> Known:
        """With these entries."""
        doubtful, places, fresh = self.doubtful, dict(self.places), []
        measures, snapshots = list(self.measures), list(self.snapshots)
        for charge in charges:
            if charge.kind == RESTORED:
                doubtful = True
                continue
            place = places.setdefault(charge.digest, len(places))
            if place == len(measures):
                fresh.append(charge.persons)
                measures.append(frozenset())
                snapshots.append(frozenset())
            measures[place] |= {NUMBER, *charge.measure}
            snapshots[place] |= {charge.snapshot}
        return replace(
            self,
            sets=self.sets.plus(fresh),
            places=places,
            measures=tuple(measures),
            snapshots=tuple(snapshots),
            doubtful=doubtful,
        )

    def followed(self, bound: int) -> Known:
        """With all that follows from all sets. bound: of the span, in ranks × atoms."""
        if self.span is None or self.spanned == len(self.sets):
            return self
        return replace(self, span=self.span.plus(self.sets.persons[self.spanned :], bound), spanned=len(self.sets))

    def fresh(self, before: Known) -> list[int]:
        """The places of the sets that are not known in `before`, or of which less is."""
        known = len(before.sets)
        return [i for i in range(len(self.sets)) if i >= known or self.measures[i] != before.measures[i]]

    def newly(self, before: Known, one: int, other: int) -> frozenset[str]:
        """On what two sets can be compared now and could not before."""
        shared = self.measures[one] & self.measures[other]
        known = len(before.sets)
        return shared - (before.measures[one] & before.measures[other]) if max(one, other) < known else shared
