"""How often ordinary masked plans are refused since three earlier populations are taken together with the new one.

Analysts of one dataset ask one plan after the other, each over the complete cases of up to three of six variables,
missing at random (1 to 30 %), two of them of one panel and mostly missing together. `passed`: the share of plans that
the joint test of a number lets pass, by their place in the history, as it is and as it would be with at most two
earlier populations; each with the history that it let pass. `deep`: of the last plans, the share that would pass if
only how deep they cut were asked, as it is from the sixteenth number on. `four`: of all, those with x, those with z,
and those with both, in how many draws the fourth plan passes by the one and by the other rule, and in how many of those
that pass by the other alone too few lack both, though some do. Kept in results/complete_cases.json.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from follow_ups import DEMANDS, opened
from machine import keep
from numpy.typing import NDArray

from sojourn.analysis.population import Population, nobody
from sojourn.analysis.support import Support
from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.disclosure import joint_populations
from sojourn.disclosure.joint import Layout
from sojourn.disclosure.joint_questions import Told
from sojourn.disclosure.parameters import Parameters
from sojourn.statistics.catalogue_counts import count

DRAWS, DRAWS_OF_FOUR, PLANS = 5, 40, 12
SIZES = ((5, 40), (5, 200), (20, 20))  # sites, persons at each
SIZES_OF_FOUR = (*SIZES, (5, 2000), (5, 10_000))
MISSING = (0.01, 0.03, 0.08, 0.15, 0.3)  # and a sixth variable, mostly missing where the fifth is
STAGES = ((0, 4), (4, 8), (8, 12))
SEX = {"sex": Variable(Kind.CATEGORY, ("F", "M"))}
Lacking = list[NDArray[np.bool_]]  # by site: person × variable


def lacking(sites: int, rows: int, draw: np.random.Generator) -> Lacking:
    """Who lacks what."""
    found = [draw.random((rows, len(MISSING))) < MISSING for _ in range(sites)]
    panel = [one[:, -1] ^ (draw.random(rows) < 0.03) for one in found]
    return [np.column_stack([one, sixth]) for one, sixth in zip(found, panel, strict=True)]


def history(plans: list[tuple[int, ...]], without: Lacking, together: int) -> Iterator[tuple[bool, bool]]:
    """Of each plan, which needs these variables: whether it passes, and whether it would if its depth were asked."""
    joint_populations.TOGETHER = together
    names = [f"s{number:02}" for number in range(len(without))]
    variables = with_site(SEX, tuple(names))
    known: dict[str, tuple[Told, ...]] = dict.fromkeys(names, ())
    for number, needed in enumerate(plans):
        supports = {}
        for site, one in zip(names, without, strict=True):
            persons = np.flatnonzero(~one[:, list(needed)].any(axis=1)).astype(np.uint32)
            sex = {"sex": np.zeros(len(persons), np.int32)}
            supports[site] = count().support(Population(site, variables, sex, persons, {}))
        precise, deep = (bits_of(supports, known, names, way) for way in (True, False))
        yield bool(precise[1].all()), bool(deep[1].all())
        if precise[1].all():
            told = {site: precise[0].release(f"{number:064}", precise[1], supports[site]) for site in names}
            known = {site: (*known[site], told[site]) for site in names}


def bits_of(
    supports: dict[str, Support], known: dict[str, tuple[Told, ...]], names: list[str], precise: bool
) -> tuple[Layout, NDArray[np.bool_]]:
    """The joint test of a number by plain arithmetic."""
    variables = with_site(SEX, tuple(names))
    empty = count().support(nobody(names[0], variables))
    layout = Layout.of(empty, variables, count().rules, known[names[0]], DEMANDS.threshold, precise)
    numbers = [layout.numbers(supports[site], Parameters(), (), known[site]) for site in names]
    return layout, opened(layout.test(names, names[:3], DEMANDS), np.stack(numbers))


def drawn_plans(draw: np.random.Generator) -> list[tuple[int, ...]]:
    """Of none to three variables each."""
    return [tuple(draw.choice(6, size=draw.integers(0, 4), replace=False).tolist()) for _ in range(PLANS)]


def measured(sites: int, rows: int) -> dict[str, Any]:
    """Whole histories, by both rules."""
    found: dict[str, Any] = {"sites": sites, "persons_a_site": rows}
    for word, together in (("three_together", 3), ("two_together", 2)):
        runs = []
        for seed in range(DRAWS):
            draw = np.random.default_rng(seed)
            runs.append(list(history(drawn_plans(draw), lacking(sites, rows, draw), together)))
        table = np.array(runs)
        passed = {f"{first + 1} to {end}": round(float(table[:, first:end, 0].mean()), 3) for first, end in STAGES}
        found[word] = {"passed": passed, "deep": round(float(table[:, STAGES[-1][0] :, 1].mean()), 3)}
    return found


def of_four(sites: int, rows: int) -> dict[str, Any]:
    """All, those with x, those with z, and those with both."""
    found = {"sites": sites, "persons_a_site": rows, "three_together": 0, "two_together": 0, "too_few": 0}
    for seed in range(DRAWS_OF_FOUR):
        draw = np.random.default_rng(1000 + seed)
        x, z = draw.choice(6, size=2, replace=False).tolist()
        without = lacking(sites, rows, draw)
        now, before = (list(history([(), (x,), (z,), (x, z)], without, together))[3][0] for together in (3, 2))
        neither = [int((one[:, x] & one[:, z]).sum()) for one in without]
        found["three_together"] += now
        found["two_together"] += before
        found["too_few"] += before and not now and 0 < sum(neither) < DEMANDS.threshold + max(neither)
    return found


def main() -> None:
    """All sizes."""
    histories, four = [measured(*one) for one in SIZES], [of_four(*one) for one in SIZES_OF_FOUR]
    draws = {"histories": DRAWS, "four": DRAWS_OF_FOUR}
    keep("complete_cases", {"threshold": DEMANDS.threshold, "draws": draws, "histories": histories, "four": four})


if __name__ == "__main__":
    main()
