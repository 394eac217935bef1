"""Joint tests of a model's sums over levels: whether one or two persons' values could be told from one of them.

There are many of them, of a number and a cell of levels each, and one that fails refuses the model. So each is asked in
two ways, at a cost that hardly grows with the sites: whether the sum is so great that no value is most of it, as of any
sum; or whether what each site's two largest leave, all together, is enough beside the largest. The second asks for
little more than the rules do where sites have several persons each, the first passes where they have one or two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from pyroaring import BitMap

from sojourn.analysis.support import Contributions
from sojourn.disclosure.joint_beside import still_hidden
from sojourn.disclosure.joint_forms import LEVELS, REST, UNITS, grid, nowhere
from sojourn.disclosure.parameters import Parameters
from sojourn.errors import DisclosureRefused
from sojourn.secrecy.joint import Clause, Form

OTHERS = 32  # units of a level in which is counted what each site's two largest leave
HALF = OTHERS // 2
WORDS = ("over", "units", "above", "others")
_TOP = 0.25  # of the grid of what is left, in what is declared: a need of 2 / 9 by the product's own rules


def undominated_in_level(places: Sequence[Sequence[int]], there: int, sites: int) -> Clause:
    """Nobody's value could be told from a sum over a level. places: of each of `WORDS`, by level of its grid.

    No site puts in more than REST units, so that twice as many are more than the level, and leave as many beyond each
    site; and of the others no more than HALF a level, so that a whole one leaves half beyond each. Or nobody
    contributes.
    """
    over, units, above, others = places

    def reached(needs: Sequence[int], sums: Sequence[int], enough: int) -> Clause:
        pairs = zip(needs, sums, strict=True)
        return tuple((nowhere(need, sites), Form(((place, 1),), (), 0, enough - 1)) for need, place in pairs)

    return (*reached(over, units, 2 * REST), *reached(above, others, OTHERS), (nowhere(there, sites),))


def of_levels(
    number: int, sums: Contributions, most: Sequence[float], parameters: Parameters, clear: Sequence[BitMap]
) -> dict[str, int]:
    """What a site puts in about such sums. number: their place in the layout; most: see `Contributions`."""
    hidden = [still_hidden(persons, clear) for persons in sums.behind]
    found: dict[str, int] = {}
    for place, bound in enumerate(most):
        largest, second, total = (float(one.flat[place]) for one in (sums.largest, sums.second, sums.total))
        if not (math.isfinite(total) and 0 <= second <= largest <= total * (1 + 1e-9)):
            raise DisclosureRefused("dominance")
        left = hidden[place % len(hidden)]
        whole = left == len(sums.behind[place % len(hidden)])
        asked = left > 0 or not safe_alone(largest, second, total, parameters)
        summed = total if whole and asked else 0.0
        at, there = f"{number} {place}", asked and largest > 0
        found[f"there {at}"] = int(there)
        levels = enumerate(zip(grid(bound), grid(bound, _TOP), strict=True))
        for level, (sum_of_all, of_others) in levels:
            found[f"over {at} {level}"] = int(there and need(parameters) * largest > sum_of_all)
            found[f"above {at} {level}"] = int(there and need_beside(parameters) * largest > of_others)
            found[f"units {at} {level}"] = _counted(summed, sum_of_all, UNITS, REST)
            found[f"others {at} {level}"] = _counted(summed - largest - second, of_others, OTHERS, HALF)
    return found


def need(parameters: Parameters) -> float:
    """How great a sum must be beside its largest contribution, as no second one is greater."""
    return max(2 + parameters.p_percent / 100, 100 * parameters.dominance_n / parameters.dominance_k)


def need_beside(parameters: Parameters) -> float:
    """How great what is left beside the largest two must be: what makes n of them no more than k %, and twice p %.

    So that half of it, which is there beyond each site, is p %.
    """
    return max(2 * parameters.p_percent / 100, parameters.dominance_n * (100 / parameters.dominance_k - 1))


def safe_alone(
    largest: float, second: float, total: float, parameters: Parameters, percent: float | None = None
) -> bool:
    """Whether a site's own rules let its own sum out. percent: that is asked in the place of p."""
    dominant = largest + (second if parameters.dominance_n == 2 else 0.0)
    near = parameters.p_percent if percent is None else percent
    return 100 * dominant <= parameters.dominance_k * total and 100 * (total - largest - second) >= near * largest


def labels(at: str) -> list[str]:
    """What a site puts in about one sum, one label a number, in order."""
    return [f"there {at}", *(f"{word} {at} {level}" for level in range(LEVELS) for word in WORDS)]


def _counted(size: float, level: float, units: int, cap: int) -> int:
    """In whole units of a level, not more than the cap; a rounding error is no unit."""
    return int(min(max(size, 0.0) * units / level * (1 - 1e-12), cap))
