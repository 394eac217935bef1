"""Made histories of asks, benign and abusive, from a seed: for the detector of `sojourn.governance.history` (A35).

Three generators of different make. On `chosen` (a Poisson number of asks each working day whose mean varies, with
sprints) and `bursts` (on and off days, studies of several analyses, newcomers who learn, weeks of revisions, small
cohorts, mistakes tried again) the detector was made and its bounds were chosen. On `judged` its rates are measured, and
nothing was changed after that: a study begets the next (a branching process in continuous time), shares of refusals
drift, abuse is spread over hours or padded with ordinary asks. A first detector, chosen on `chosen` alone, raised 5 to
12 false alarms of 100 on `bursts`. A history lasts DAYS days and is judged before each ask and at its end, as a node
does it, so a single moment's alarm counts. Usual volumes, shares of refusals and mistakes are assumptions: no log of a
real federation was at hand.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
from numpy.random import Generator

from sojourn.governance.history import (
    DAY,
    FEW,
    FLOOR,
    KINDS,
    ROWS_MOST,
    SCOPE,
    SCOPE_MOST,
    TIMES,
    WEEK,
    Asked,
    suspicions,
)

DAYS = 42
USUAL = 20  # the default of the setting `usual_asks`
TABLES = 4
MOST_REFUSALS = 20  # the default of that setting: refused asks on one dataset within a week


@dataclass
class History:
    """One researcher's asks. kind: of the abuse, empty for none. tables: the dataset of each ask."""

    kind: str
    asked: list[Asked] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)

    def ask(self, made: float, outcome: str = "", table: int = 0, target: str = "") -> None:
        self.asked.append(Asked(made, outcome, target))
        self.tables.append(table)

    def found(self) -> Iterator[str]:
        """The kinds of abuse that the detector sees, moment by moment."""
        past = sorted(self.asked, key=lambda asked: asked.made)
        return (one.kind for place, now in _near(past) for one in suspicions(past[:place], now, USUAL))

    def most_refused(self) -> int:
        """The most asks on one dataset that were refused within a week: what the bound on refusals counts."""
        most = 0
        for table in range(TABLES):
            times = sorted(
                asked.made
                for asked, of in zip(self.asked, self.tables, strict=True)
                if of == table and asked.outcome in FEW
            )
            for first, start in enumerate(times):
                most = max(most, sum(made < start + WEEK for made in times[first:]))
        return most


def moments(past: list[Asked]) -> list[tuple[int, float]]:
    """Before each ask, how many there were and when it is; and the end."""
    return [(place, asked.made) for place, asked in enumerate(past)] + [(len(past), DAYS * DAY)]


def _near(past: list[Asked]) -> Iterator[tuple[int, float]]:
    """The moments with as many asks of one sort as its lowest bound: at no other does the detector see anything."""
    times = [asked.made for asked in past]
    sorts = ((DAY, TIMES * FLOOR, None), (WEEK, SCOPE_MOST, SCOPE), (WEEK, ROWS_MOST, FEW))
    sums = [[0, *accumulate(words is None or asked.outcome in words for asked in past)] for _, _, words in sorts]
    for place, now in moments(past):
        within = [
            counted[place] - counted[bisect_right(times, now - window)]
            for counted, (window, _, _) in zip(sums, sorts, strict=True)
        ]
        if any(number >= bound for number, (_, bound, _) in zip(within, sorts, strict=True)):
            yield place, now


Maker = Callable[[Generator, str], History]


def made(maker: Maker, benign: int, abusive: int, seed: int) -> list[History]:
    """So many histories; the abusive ones take turns between the kinds."""
    kinds = [""] * benign + [KINDS[number % len(KINDS)] for number in range(abusive)]
    return [maker(np.random.default_rng([seed, number]), kind) for number, kind in enumerate(kinds)]


def _hour(random: Generator) -> float:
    return float(random.uniform(8, 18)) * 3600


def _daily(history: History) -> float:
    """Asks a day, of the days with asks."""
    return len(history.asked) / max(1, len({asked.made // DAY for asked in history.asked}))


def chosen(random: Generator, kind: str) -> History:
    """Every day like the others but for its length, and now and then a sprint: what the bounds were chosen on."""
    history, rate, refused = History(kind), random.lognormal(np.log(4), 0.5), random.beta(1, 9)
    for day in range(DAYS):
        today = rate * random.gamma(3, 1 / 3) * (3 if random.random() < 0.07 else 1)
        for _ in range(random.poisson(today) if day % 7 < 5 else 0):
            few = random.random() < refused
            history.ask(day * DAY + _hour(random), "minimum frequency" if few else "")
        if random.random() < 0.05:
            history.ask(day * DAY + _hour(random), "no table", target=f"slip {day}")
    last = 39 * DAY
    for _ in range(int(random.uniform(12, 30) * max(_daily(history), 4)) if kind == "volume" else 0):
        history.ask(last + _hour(random))
    for number in range(8 if kind == "scope" else 0):
        history.ask(last + number * 3600, "no table", target=f"table {number}")
    for number in range(40 if kind == "rows" else 0):
        history.ask(last + number * 600, "minimum frequency" if random.random() < 0.8 else "", number % TABLES)
    return history


def bursts(random: Generator, kind: str) -> History:
    """People who work in bursts: the second that the bounds were chosen on."""
    history = History(kind)
    newcomer = random.random() < 0.3
    size = float(random.gamma(3.0, 1.0)) + 1  # analyses of a study
    share = random.choice((0.02, 0.08, 0.3), p=(0.5, 0.35, 0.15))  # of refusals, in the end
    learning = 0.4 if newcomer else share  # at the beginning
    revisions = int(random.integers(14, DAYS - 7)) if random.random() < 0.25 else -99
    working = bool(random.random() < 0.5)
    first = int(random.integers(20, 34)) if newcomer else 0
    asked = 0
    for day in range(first, DAYS):
        working = bool(random.random() < (0.8 if working else 0.35))
        studies = int(random.geometric(0.45)) if working else 0
        studies *= int(random.integers(3, 6)) if revisions <= day < revisions + 5 else 1
        for _ in range(studies):
            start, table = day * DAY + float(random.triangular(7, 14, 23)) * 3600, int(random.integers(TABLES))
            for number in range(1 + int(random.poisson(size - 1))):
                few = random.random() < share + (learning - share) * np.exp(-asked / 15)
                history.ask(start + number * 2, "minimum frequency" if few else "", table)
                asked += 1
        if random.random() < 0.02:  # a wrong table, and sometimes the same once or twice again
            for again in range(1 + int(random.integers(3))):
                history.ask(day * DAY + 40_000 + again * 900, "no table", target=f"slip {day}")
    if kind:
        ABUSES[kind](random, history)
    return history


def _volume(random: Generator, history: History) -> None:
    """A script in one night, of ten to forty times what its owner asks in a day."""
    new = len({asked.made // DAY for asked in history.asked}) < 8
    many = int(max(_daily(history), USUAL if new else 4) * random.uniform(12, 40))
    start = float(random.integers(34, 41)) * DAY
    for _ in range(many):
        history.ask(start + float(random.uniform(0, 0.5)) * DAY, table=int(random.integers(TABLES)))


def _scope(random: Generator, history: History) -> None:
    """Tables and projects that no approval covers, tried one by one over a few days."""
    for number in range(int(random.integers(6, 20))):
        made_at = (35 + float(random.beta(2, 2)) * 5) * DAY
        history.ask(made_at, str(random.choice(("no table", "not approved"))), target=f"probe {number}")


def _rows(random: Generator, history: History) -> None:
    """One person after the other, padded with ordinary asks, over several datasets: below the bound of each."""
    start, padding = float(random.integers(36, 40)) * DAY, float(random.uniform(0.0, 0.3))
    quiet = [place for place, asked in enumerate(history.asked) if asked.made < start - 3 * DAY]
    history.asked, history.tables = ([part[place] for place in quiet] for part in (history.asked, history.tables))
    for number in range(int(random.integers(30, 64))):
        few = str(random.choice(("minimum frequency", "differencing", "class disclosure")))
        outcome = "" if random.random() < padding else few
        history.ask(start + number * float(random.uniform(60, 1800)), outcome, number % TABLES)


ABUSES: dict[str, Callable[[Generator, History], None]] = {"volume": _volume, "scope": _scope, "rows": _rows}


def judged(random: Generator, kind: str) -> History:
    """Studies that beget studies: what the rates are measured on."""
    history = History(kind)
    share = float(random.beta(1.2, 8))
    breadth, offspring = 1 + int(random.poisson(2)), float(random.uniform(0.3, 0.75))
    begun = 0.0 if random.random() < 0.75 else float(random.uniform(14, 35)) * DAY
    ahead = sorted(begun + random.exponential(2.5 * DAY) + gap for gap in np.arange(0, DAYS * DAY, 3 * DAY))
    while ahead:
        start = ahead.pop(0)
        if start > DAYS * DAY:
            break
        share = float(np.clip(share + random.normal(0, 0.015), 0.0, 0.45))
        for number in range(int(random.integers(1, breadth + 2))):
            few = random.random() < share
            history.ask(start + number, "design support" if few else "", int(random.integers(TABLES)))
        for _ in range(random.poisson(offspring)):  # looked at, and asked on
            ahead.append(start + float(random.gamma(2, 0.15)) * DAY)
        if random.random() < 0.01:
            history.ask(start, "not approved", target=f"slip {start}")
        ahead.sort()
    if kind == "volume":
        times = float(random.uniform(12, 30)) * max(_daily(history), 5 if begun == 0.0 else USUAL)
        for moment in random.uniform(40 * DAY, 40 * DAY + 20 * 3600, int(times)):
            history.ask(
                float(moment), "design support" if random.random() < share else "", int(random.integers(TABLES))
            )
    for number in range(int(random.integers(6, 12)) if kind == "scope" else 0):
        history.ask(36 * DAY + number * float(random.uniform(0.2, 0.45)) * DAY, "no table", target=f"probe {number}")
    for number in range(int(random.integers(40, 60)) if kind == "rows" else 0):
        few = str(random.choice(("minimum frequency", "differencing", "dominance")))
        history.ask(40 * DAY + number * 700.0, few if random.random() < 0.85 else "", number % TABLES)
    return history
