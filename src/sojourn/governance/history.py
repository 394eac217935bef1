"""A researcher's history of asks at a site: does it look like abuse? Pure: what was asked in, suspicions out.

Three kinds, each a count within a window against a bound:

    volume: asks within a day >= TIMES × usual; usual: the upper quartile of asks a day over the days with asks
            among the 28 before, where there are LEAST_DAYS of them, at least FLOOR; else what the site declares
    scope:  tables and projects asked within a week that no approval covers, each counted once, >= SCOPE_MOST
    rows:   of the latest ROWS_OF asks of a week that were in scope, those that the rules on few persons refused
            >= ROWS_MOST

What is seen raises an alarm and decides nothing else: the airlock looks harder, people decide. Source: the requirement
that ten times the usual volume, asks out of scope and attempts at individual rows be noticed and acted upon; NIST SP
800-53 r5, AC-2(12), account monitoring for atypical usage. The bounds were chosen on
made histories of two kinds; their rates are measured on a third (`tests/attacks/histories.py`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

DAY, WEEK = 86_400.0, 7 * 86_400.0
EARLIER = 28  # days before the last one that say what is usual
KEPT = (EARLIER + 1) * DAY  # seconds of history that are looked at
TIMES = 10
LEAST_DAYS, FLOOR = 8, 5
SCOPE_MOST = 5
ROWS_MOST, ROWS_OF = 14, 20

KINDS = ("volume", "scope", "rows")
SCOPE = frozenset({"no table", "not approved"})  # of requests that an approval of this site does not cover
FEW = frozenset(
    {
        "minimum frequency",
        "joint frequency",
        "differencing",
        "class disclosure",
        "dominance",
        "design support",
        "events",
        "histogram",
        "positions",
        "survival steps",
        "risk sets",
    }
)


@dataclass(frozen=True)
class Asked:
    """One ask that a site decided. made: UTC seconds. outcome: empty where it left, else a word of `errors.REASONS`:
    why not, or by which rule it waited for a checker. target: of one out of scope, what it was for."""

    made: float
    outcome: str = ""
    target: str = ""


@dataclass(frozen=True)
class Suspicion:
    """What looks like abuse. kind: volume, scope or rows. seen: the count; bound: what it reached."""

    kind: str
    seen: int
    bound: int


def suspicions(history: Sequence[Asked], now: float, usual: int, cleared: float = -math.inf) -> tuple[Suspicion, ...]:
    """What looks like abuse in a researcher's history at a site, none where nothing does.

    usual: asks a day of a researcher whom the site does not know yet. cleared: when the custodian last looked; what was
    asked until then raises nothing again, and still says what is usual.
    """
    fresh = sorted((asked for asked in history if cleared < asked.made <= now), key=lambda asked: asked.made)
    inside = [asked for asked in fresh if asked.outcome not in SCOPE]
    latest = [asked.outcome for asked in inside if asked.made > now - WEEK][-ROWS_OF:]
    seen = {
        "volume": (sum(asked.made > now - DAY for asked in inside), volume(history, now, usual)),
        "scope": (len({one.target for one in fresh if one.outcome in SCOPE and one.made > now - WEEK}), SCOPE_MOST),
        "rows": (sum(outcome in FEW for outcome in latest), ROWS_MOST),
    }
    return tuple(Suspicion(kind, count, bound) for kind, (count, bound) in seen.items() if count >= bound)


def volume(history: Sequence[Asked], now: float, usual: int) -> int:
    """How many asks within a day are ten times the usual number, for this researcher today."""
    ages = [(now - asked.made) / DAY for asked in history if asked.outcome not in SCOPE]
    days = sorted(Counter(math.floor(age) for age in ages if 1 <= age < EARLIER + 1).values())
    own = days[3 * (len(days) - 1) // 4] if len(days) >= LEAST_DAYS else usual
    return TIMES * max(FLOOR, own)
