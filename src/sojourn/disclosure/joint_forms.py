"""What rules ask of a sum over sites, as forms of the numbers that each site puts into a joint test.

Each asks the same beyond every site, since a site can subtract its own part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sojourn.secrecy.joint import Alternative, Clause, Form

UNITS = 32  # of a grid's level, in which sums are counted
LEVELS = 8  # of the grid: four times the greatest value that is declared, rounded up, and its halves
REST = -(-2 * UNITS // 3)


def grid(most: float, top: float = 4.0) -> list[float]:
    """The levels, the greatest first, that the need of a sum's largest contribution is compared with.

    They are powers of two, whatever range is declared: ranges that differ by little would be a search for a sum. top:
    the first, in what is declared.
    """
    share, power = math.frexp(most)  # exact, where a logarithm is rounded
    whole = math.ldexp(1.0, power - (share == 0.5)) if 0 < most < math.inf else most
    return [top * whole / 2**level for level in range(LEVELS)]


def at_least(threshold: int, place: int, sites: int) -> Alternative:
    """Beyond each site at least T persons."""
    return tuple(Form(((place, 1),), ((site, place, -1),), 0, threshold - 1) for site in range(sites))


def none_or(threshold: int, place: int, somebody: int, sites: int) -> Alternative:
    """Nobody at any site, or beyond each site at least T persons. somebody: where a site with persons puts in a 1."""
    beyond = (Form(((place, 1),), ((site, place, -1),), 1, threshold - 1) for site in range(sites))
    return (*beyond, not_alone(somebody))


def varies(threshold: int, everyone: int, level: int, sites: int) -> Alternative:
    """Beyond each site at least T persons who are not in a level: else its sum tells of everybody."""
    return tuple(
        Form(((everyone, 1), (level, -1)), ((site, everyone, -1), (site, level, 1)), 0, threshold - 1)
        for site in range(sites)
    )


def not_alone(somebody: int) -> Form:
    """It is no single site that puts in a 1: what lies in one site alone is nobody beyond it, and all of its own."""
    return Form(((somebody, 1),), (), 1, 1)


def apart(threshold: int, more: int, less: int, somebody: int, sites: int) -> tuple[Clause, ...]:
    """Two sets are the same at all sites, or beyond each one has at least T persons that the other lacks: see `pairs`.

    more, less: places of the persons that each has beyond the other; somebody: of whether there is any. Of fewer than
    2 T - 1 that differ in all, one of the two is below T.
    """
    beyond = tuple(
        (
            (Form(((more, 1), (less, 1)), ((site, more, -1), (site, less, -1)), 1, 2 * threshold - 2),),
            (Form(((more, 1),), ((site, more, -1),), 0, threshold - 1),),
            (Form(((less, 1),), ((site, less, -1),), 0, threshold - 1),),
        )
        for site in range(sites)
    )
    return (*beyond, ((not_alone(somebody),),))


def caps(threshold: int) -> tuple[int, int]:
    """As how many a site's persons count at most in `spread`: where all have few, and where some have many."""
    return max(2, -(-threshold // 4)), threshold


def spread(threshold: int, place: int, cap: int, nobody: bool) -> Form:
    """Beyond each site at least T persons, as follows where T and a site's most are there in all; or nobody.

    It asks for more than `at_least`, and costs the same however many sites there are.
    """
    return Form(((place, 1),), (), int(nobody), threshold + cap - 1)


def nowhere(place: int, sites: int) -> Form:
    """No site puts in a 1."""
    return Form(((place, 1),), (), 1, sites)


def many_values(hits: Sequence[Sequence[int]], sites: int) -> Clause:
    """Beyond each site at least three values: for one of the hashes somebody in each bin. hits: places by hash, bin."""
    return tuple(
        tuple(Form(((place, 1),), ((site, place, -1),), 0, 0) for place in bins for site in range(sites))
        for bins in hits
    )


def undominated(over: Sequence[int], units: Sequence[int], there: int, sites: int) -> Clause:
    """Nobody's value could be told from a sum: at one level of the grid the sum reaches it, and nobody's need is above.

    over, units: places by level. A person's need is how great the sum must be: with the largest contribution x, p % and
    (n, k) ask for max(2 + p / 100, 100 n / k) x, as no second is greater. Beyond each site it must be (1 + p / 100) x,
    at most two thirds of that. Or there is no sum: nobody contributes.
    """
    levels = (
        (
            nowhere(above, sites),
            Form(((place, 1),), (), 0, UNITS - 1),
            *(Form(((place, 1),), ((site, place, -1),), 0, REST - 1) for site in range(sites)),
        )
        for above, place in zip(over, units, strict=True)
    )
    return (*levels, (nowhere(there, sites),))
