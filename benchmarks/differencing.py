"""The ledger's search: a table of 1,000 cells against 10,000 released cells over a million persons, beside brute force;
and what follows linearly, within its bound, at a site of 12,500 persons."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from machine import keep
from pyroaring import BitMap

from sojourn.disclosure.differencing import PAIRS, Bounds, find
from sojourn.disclosure.known import Known
from sojourn.disclosure.ledger import Charge
from sojourn.disclosure.span import Span

PERSONS, CELLS, TABLES = 1_000_000, 1_000, 10
SITE, SETS, BATCH = 12_500, 1_000, 50
RANDOM = np.random.default_rng(4)


def table(persons: int, cells: int) -> list[BitMap]:
    """A cross-classification of everybody at random: cells of like size, the hardest to tell apart by size."""
    place = RANDOM.integers(0, cells, persons)
    order = np.argsort(place, kind="stable").astype(np.uint32)
    return [BitMap(part) for part in np.split(order, np.cumsum(np.bincount(place, minlength=cells))[:-1])]


def charges(sets: list[BitMap]) -> list[Charge]:
    """As entries."""
    return [Charge("s", "a", ("income",), "cell", persons) for persons in sets]


def seconds(work: Callable[[], Any], times: int = 3) -> float:
    """The best of some runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return min(taken)


def brute(known: list[BitMap], new: list[BitMap], threshold: int) -> int:
    """Every pair by its bitmaps."""
    return sum(
        one != other and one.difference_cardinality(other) < threshold and other.difference_cardinality(one) < threshold
        for one in new
        for other in known
    )


def searched() -> dict[str, Any]:
    """Pairs and trackers beyond the bound of the span, where the site goes by them."""
    bounds = Bounds(10, span=0, beyond=PAIRS)
    released = [cell for _ in range(TABLES) for cell in table(PERSONS, CELLS)]
    began = time.perf_counter()
    known = Known(span=Span(10)).plus(charges(released)).followed(bounds.span)
    loaded = time.perf_counter() - began
    new = table(PERSONS, CELLS)
    added = charges(new)
    assert not find(known, known.plus(added), "s", bounds)[0]
    planted = charges([*new[:-1], BitMap(released[7]) - BitMap(released[7][:3])])
    assert find(known, known.plus(planted), "s", bounds)[0]
    pruned = seconds(lambda: find(known, known.plus(added), "s", bounds))
    plain = seconds(lambda: brute(released, new[:50], 10), 1) * len(new) / 50
    return {
        "cells": len(new),
        "released_cells": len(released),
        "persons": PERSONS,
        "seconds": pruned,
        "brute_force_seconds": plain,
        "brute_force_to_pruned": plain / pruned,
        "reading_the_ledger_seconds": loaded,
    }


def followed() -> dict[str, Any]:
    """A further 50 sets at a site that has released 1,000, cut at random: each person an atom of its own."""
    bounds = Bounds(10)

    def some(number: int) -> list[Charge]:
        return charges([BitMap(np.flatnonzero(RANDOM.random(SITE) < 0.3).astype(np.uint32)) for _ in range(number)])

    known = Known(span=Span(10)).plus(some(SETS)).followed(bounds.span)
    more = some(BATCH)
    assert not find(known, known.plus(more), "s", bounds)[0]
    taken = seconds(lambda: find(known, known.plus(more), "s", bounds))
    assert known.span is not None
    return {
        "persons": SITE,
        "released_sets": SETS,
        "further_sets": BATCH,
        "atoms": len(known.span.sizes),
        "seconds": taken,
        "span_megabytes": known.span.rows.nbytes / 2**20,
    }


def main() -> None:
    """Both."""
    keep("differencing", {"pairs_and_trackers": searched(), "span": followed()})


if __name__ == "__main__":
    main()
