"""Counts as the reader sees them: a number, or the bounds of a cell that a site suppressed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sojourn.analysis.partial import Array
from sojourn.analysis.statistic import Cell, Gathered, Suppressed


def counts(gathered: Gathered, array: str = "count", *, table: bool = True) -> list[Cell]:
    """The summed counts of an array in C order.

    Without the sites' parts a hidden cell has no bounds. A cell that any site suppressed has the bounds released + sum
    over the suppressing sites of 0 .. T - 1: a hidden cell may be a hidden zero. Where a site hides several cells of
    one table, some may be larger and hidden only for the sake of the others under the same mark, so that no upper bound
    follows.
    """
    total = gathered.total[array].ravel()
    hidden = gathered.total.hidden(array).ravel()
    if not gathered.by_site:
        return _of_sums(total, hidden)
    high, known = total.copy(), np.ones(total.size, dtype=bool)
    for site, part in gathered.by_site.items():
        mask = part.hidden(array).ravel()
        high += mask * gathered.hidden.get(site, 0)
        if site not in gathered.hidden or (table and mask.sum() > 1):
            known &= ~mask
    return [
        int(n) if not hidden[i] else Suppressed(int(n), int(high[i]) if known[i] else None) for i, n in enumerate(total)
    ]


def remainders(gathered: Gathered, array: str, whole: str) -> list[Cell]:
    """The summed numbers of an array whose cells make up `whole`, in C order.

    Here a hidden cell may also be hidden for the sake of another one, so that its upper bound at a site is all that
    the site's shown cells leave of the whole.
    """
    total, hidden = gathered.total[array].ravel(), gathered.total.hidden(array).ravel()
    if not gathered.by_site:
        return _of_sums(total, hidden)
    high, known = total.copy(), True
    for part in gathered.by_site.values():
        mask = part.hidden(array).ravel()
        high += mask * (part[whole].sum() - part[array].sum())
        known = known and not part.hidden(whole).any()
    return [
        int(n) if not hidden[i] else Suppressed(int(n), int(high[i]) if known else None) for i, n in enumerate(total)
    ]


def _of_sums(total: Array, hidden: NDArray[np.bool_]) -> list[Cell]:
    """The counts of a masked plan, of which only sums exist."""
    return [Suppressed() if gone else int(n) for n, gone in zip(total, hidden, strict=True)]
