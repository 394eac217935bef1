"""Which earlier masked sums a joint test compares with, from what each site says that it remembers.

    a sum counts where at least half of the sites, and two of them, remember it

Why not fewer. A site writes down that it gave its first numbers in the transaction by which they become ready to
leave, so that a site which does not remember a sum gave nothing to it, or forgot, or lies; a sum without one site's
part is no sum. What more than half of the sites say was never summed was not, unless more than half forgot or lie, and
the joint test rests on an honest majority of its evaluators anyhow. Else a study that was given up when two of twenty
had answered would stand in the way of every other question for ever, as few hide behind a difference at two sites.

Why not more. One site that forgets, or says so, must not end the comparison for the others: an outsider has the sum.

Why it is enough. At each site two studies stand one after the other: what another one gave there between terms and
first numbers is a veto. Numbers come after the terms of all sites. So if two sums exist, either every site had given to
the first when it told its terms of the second, or the other way round: no two stand crosswise, and every site that
keeps to this tells of the first. Source: our own; the argument is that of two-phase locking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

# Hash of an earlier masked release's name, and the labels of the sets that it made known, which say what adds up.
Remembered = tuple[str, tuple[str, ...]]


def counted(told: Collection[Iterable[Remembered]]) -> tuple[Remembered, ...]:
    """The earlier sums that count, of what each site of the roster tells, in one order at all parties."""
    found = Counter(entry for one in told for entry in set(one))
    return tuple(sorted(entry for entry, sites in found.items() if sites > 1 and 2 * sites >= len(told)))
