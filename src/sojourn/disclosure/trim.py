"""Trimming: leave out further persons, so that a population is no longer near any known set.

Two plans whose complete cases differ by a few missing values refuse each other. By the plan's consent a site may leave
out some more persons instead: those of a known set that lies inside and is near are kept alone, so that nothing new is
told; else persons go in the order of a keyed hash, until the population differs from every near set by T or more. The
order is the site's secret and the same for ever, so repeated asks leave out the same persons and nothing averages out.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import islice

from pyroaring import BitMap

from sojourn.disclosure.known import Sets
from sojourn.disclosure.pairs import near

_MOST = 20  # times T: more persons are not left out


def trim(population: BitMap, known: Sets, threshold: int, key: bytes) -> BitMap | None:
    """The persons of a population to leave out; None where leaving out 20 T of them is not enough. Pure.

    known: the sets that are known. key: of the site.
    """
    aligned = _inside(population, known, threshold)
    if aligned is not None and not _near(aligned, known, threshold):
        return population - aligned
    order = sorted(population, key=lambda person: _rank(key, person))
    gone = 0
    while gone <= min(_MOST * threshold, len(order)):
        left = BitMap(order[gone:])
        close = _near(left, known, threshold)
        if not close:
            return BitMap(order[:gone])
        gone += max(1, min(threshold - other.difference_cardinality(left) for other in close))
    return None


def _inside(population: BitMap, known: Sets, threshold: int) -> BitMap | None:
    """The largest near set that the population holds whole; the population itself where it is known."""
    inside = (persons for persons in known.persons if persons.issubset(population))
    close = [persons for persons in inside if len(population) - len(persons) < threshold]
    return max(close, key=len, default=None)


def _near(population: BitMap, known: Sets, threshold: int) -> list[BitMap]:
    sets = known.plus([population])
    return [sets.persons[place] for place in islice(near(sets, len(known), threshold), threshold)]


def _rank(key: bytes, person: int) -> bytes:
    return hmac.digest(key, person.to_bytes(4, "big"), hashlib.sha256)
