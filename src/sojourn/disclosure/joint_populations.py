"""Earlier populations taken together, beside a new set: whether few persons are left of their sum.

    unsafe: f1 A + f2 B + f3 C - f W is not zero for 0 < n < T persons, A, B, C of three earlier plans, W a new set

All persons, those with x, those with z, and those with both tell by A - X - Z + XZ of those who lack both, though no
two of these sets are near. A person adds the factors of the sets that he is in. Taken are the whole factors under which
three independent choices of sets add up to 0. Any other sum that is not 0 for few persons can be made 0 for some of
them, or a sum of fewer sets, until it is one of these, or of two earlier populations, which are taken likewise: so all
sums of up to four populations are seen. Factors are minors of three such choices, at most 2. Beside cells, levels and
steps, of which there are many, they are 1 and -1. Source: our own; these are the circuits of a linear matroid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import numpy as np
from pyroaring import BitMap

from sojourn.disclosure.joint_families import POPULATION

HASHED = 64  # characters of an earlier study's release; those of the same plan have names of their own
TOGETHER = 3  # earlier populations, at most
GREATEST = 2  # factor
Earlier = Sequence[tuple[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Between:
    """Who is left of some earlier populations less a new set: for whom the sum of all, each times its factor, is not 0.

    factors: of the populations of these releases. times: the new set counts so often, and negative.
    """

    releases: tuple[int, ...]
    factors: tuple[int, ...]
    now: str
    times: int = 1

    @property
    def label(self) -> str:
        """Names it among what sites put in."""
        return f"between {self.releases} {self.factors} {self.times} {self.now}"

    def persons(self, now: BitMap, *populations: BitMap) -> BitMap:
        """A site's persons for whom the sum is not zero."""
        weighed = {-self.times: now}  # by value, but for zero
        for factor, those in zip(self.factors, populations, strict=True):
            found: dict[int, BitMap] = {factor: those - BitMap.union(BitMap(), *weighed.values())}
            for value, persons in weighed.items():
                for new, part in ((value + factor, persons & those), (value, persons - those)):
                    found[new] = found.get(new, BitMap()) | part
            weighed = {value: persons for value, persons in found.items() if value}
        return BitMap.union(BitMap(), *weighed.values())


@cache
def weights(earlier: int, greatest: int) -> tuple[tuple[tuple[int, ...], int], ...]:
    """The factors of so many earlier populations, and how often the new set is taken off; greatest: of all factors."""
    known = [number for number in range(-greatest, greatest + 1) if number]
    choices = np.array(list(product((0, 1), repeat=earlier + 1)))
    return tuple(
        (factors, times)
        for times in range(1, greatest + 1)
        for factors in product(known, repeat=earlier)
        if math.gcd(*factors, times) == 1
        and np.linalg.matrix_rank(choices[choices @ [*factors, -times] == 0]) == earlier
    )


def populations(labels: Sequence[str], release: int, told: Earlier) -> Iterator[tuple[str, Between]]:
    """With the label that is hidden where it fails: of this release and one or two before it; a plan's are the same."""
    studies = [number for number, (name, _) in enumerate(told) if len(name) == HASHED]
    several = (*studies, *[number for number in range(len(told)) if number not in studies][:1])
    before = [number for number in several if number < release]
    for size in range(2, TOGETHER + 1) if release in several else ():
        for others in combinations(before, size - 1):
            for label in labels:
                of_size = weights(size, GREATEST if label == POPULATION else 1)
                yield from ((label, Between((*others, release), one, label, times)) for one, times in of_size)
