"""How few persons of a set are hidden beside several sets that are known, put together.

A table that a site released in clear tells every union of its cells, and everybody less any of them. So a masked sum
over such a union shows no more of this site than a sum over one cell would. Unions are put together greedily, of sets
that have nobody in common, whose numbers add up; whatever needs more than that is not seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyroaring import BitMap

Known = Sequence[tuple[BitMap, BitMap]]  # sets, and of each those whose value is another one now
_SUPERSETS = 8  # the smallest known sets that hold all of it, of which the rest is put together


def beside_unions(persons: BitMap, known: Known) -> int:
    """The least by which a set differs from a union that was found of known sets, or from a known set less one."""
    if not persons:
        return 0
    least = _apart(persons, known)
    wider = sorted((one for one in known if persons < one[0]), key=lambda one: len(one[0]))[:_SUPERSETS]
    for whole, other in wider:
        least = min(least, _apart(whole - persons, known) + persons.intersection_cardinality(other))
    return least


def _apart(persons: BitMap, known: Known) -> int:
    """The same of unions alone: first of sets that lie within it, then of what is for the greater part in it."""
    near = [(told, other, told.intersection_cardinality(persons)) for told, other in known]
    near = sorted((one for one in near if 2 * one[2] > len(one[0])), key=lambda one: -len(one[0]))
    within = [one for one in near if one[2] == len(one[0])]
    least = len(persons)
    for order in ([*within, *near], near):
        used, apart = BitMap(), 0
        for told, other, both in order:
            if not used.intersect(told):
                used |= told
                apart += len(told) - both + (told & persons).intersection_cardinality(other)
        least = min(least, persons.difference_cardinality(used) + apart)
    return least


def still_hidden(persons: BitMap, clear: Sequence[BitMap]) -> int:
    """How many persons of a set are hidden beside what is known: the least by which it differs from a known set."""
    least = len(persons)
    for known in clear:
        if abs(len(known) - len(persons)) < least:
            least = min(least, persons.symmetric_difference_cardinality(known))
    return least
