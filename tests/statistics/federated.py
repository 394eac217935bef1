"""Runs a statistic over several populations without any disclosure control: the shortest possible federation."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sojourn.analysis.partial import Partial, total
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Ask, Estimate, Gathered, Statistic, fits
from sojourn.analysis.variable import Kind, Variable, Variables, with_site

REFERENCES = Path(__file__).parents[1] / "data" / "references"
NUMBER, BOOLEAN = Variable(Kind.NUMBER), Variable(Kind.BOOLEAN)


def category(*levels: str) -> Variable:
    return Variable(Kind.CATEGORY, levels=levels)


def population(
    site: str,
    variables: Variables,
    columns: Mapping[str, Sequence[Any] | np.ndarray],
    persons: Sequence[int] | None = None,
    missing: Mapping[str, Sequence[int]] | None = None,
) -> Population:
    """A population from plain values: numbers, booleans, labels."""
    arrays = {}
    for name, values in columns.items():
        match variables[name].kind:
            case Kind.NUMBER:
                arrays[name] = np.asarray(values, dtype=np.float64)
            case Kind.BOOLEAN:
                arrays[name] = np.asarray(values, dtype=np.int8)
            case Kind.CATEGORY:
                levels = variables[name].levels
                arrays[name] = np.array([levels.index(value) for value in values], dtype=np.int32)
    rows = len(next(iter(arrays.values())))
    numbers = np.arange(rows) if persons is None else np.asarray(persons)
    lacking = {name: np.asarray(who, dtype=np.uint32) for name, who in (missing or {}).items()}
    return Population(site, variables, arrays, numbers.astype(np.uint32), lacking)


def federation(variables: Variables, sites: Mapping[str, Mapping[str, Any]]) -> list[Population]:
    """A population a site, with the `site` variable declared."""
    declared = with_site(variables, tuple(sites))
    return [population(site, declared, columns) for site, columns in sorted(sites.items())]


def run(
    statistic: Statistic,
    populations: Sequence[Population],
    hide: Mapping[str, Mapping[str, Sequence[int]]] | None = None,
) -> tuple[Estimate, list[Ask]]:
    """The estimate and all asks. hide: for a site and array the flat places that it suppresses; T is 10."""
    variables = populations[0].variables
    statistic.check(variables)
    steps = {step.name: step for step in statistic.steps(variables)}
    coordinator, asks = statistic.coordinator(variables), []
    ask = next(coordinator)
    while True:
        asks.append(ask)
        assert len(asks) <= statistic.rounds()
        assert fits(ask, steps[ask.step])
        parts = {}
        for part in populations:
            partial = statistic.local(ask.step, part, ask.broadcast)
            partial = Partial.from_dict(partial.to_dict())  # as it would travel
            shapes = {name: array.shape for name, array in partial.arrays.items()}
            assert shapes == dict(steps[ask.step].partial)
            parts[part.site] = _hide(partial, (hide or {}).get(part.site, {}))
        try:
            ask = coordinator.send(Gathered(total(parts.values()), parts, dict.fromkeys(parts, 9)))
        except StopIteration as finished:
            return finished.value, asks


def _hide(partial: Partial, places: Mapping[str, Sequence[int]]) -> Partial:
    arrays, masks = dict(partial.arrays), {}
    for name in set(places) & set(arrays):
        mask = np.zeros(arrays[name].size, dtype=bool)
        mask[list(places[name])] = True
        masks[name] = mask.reshape(arrays[name].shape)
        arrays[name] = np.where(masks[name], 0, arrays[name])
    return Partial(arrays, masks)


def column(estimate: Estimate, name: str) -> np.ndarray:
    """One value column of an estimate as floats."""
    place = len(estimate.index) + estimate.columns.index(name)
    return np.array([row[place] for row in estimate.rows], dtype=np.float64)


def read_reference(case: str) -> dict[str, list[dict[str, str]]]:
    """The rows of each site of a reference case, as text."""
    found = {}
    for path in sorted((REFERENCES / case / "sites").glob("*.csv")):
        with path.open(newline="") as file:
            found[path.stem] = list(csv.DictReader(file))
    return found
