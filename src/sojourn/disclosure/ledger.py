"""The ledger's entries: which sets of persons an analysis makes known, and about which measures.

A run is charged once, at its first release: the complete cases, every cell that is really shown, what follows from
those at once (margins, the shown cells together, the hidden cells together), and the levels of a design. A cell that is
hidden is no entry: its number is not known. The number of persons is known of every entry, whatever else it tells.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from sojourn.analysis.partial import Partial
from sojourn.analysis.support import Cells, Support, Thresholds

Mask = NDArray[np.bool_]

_WORDS = {"snapshot", "analysis", "measure", "label", "persons"}
NUMBER = "n"  # what every entry tells: how many persons it holds
SUMS = "sums"
RESTORED = "restored"

# What the numbers of each kind of entry tell. Two kinds are compared on the words that both have: on the number of
# persons always, on sums only over columns that both measure. The manual's table is made from this.
TELLS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "population": (NUMBER, SUMS),
        "cell": (NUMBER, SUMS),
        "margin": (NUMBER, SUMS),
        "shown": (NUMBER, SUMS),
        "hidden": (NUMBER, SUMS),
        "level": (NUMBER, SUMS),
        "missing": (NUMBER,),
        "everybody": (NUMBER,),
    }
)


def comparable(one: str, other: str) -> tuple[str, ...]:
    """On which words two kinds of entries are compared."""
    return tuple(word for word in TELLS[one] if word in TELLS[other])


@dataclass(frozen=True)
class Charge:
    """One set of persons made known; stays inside the site.

    snapshot: of the dataset. analysis: its name in the plan. measure: the sorted columns that its numbers tell about;
    empty for a bare count of persons, which every entry shares. label: where the set stands in the support, for the
    custodian. persons: the set.
    """

    snapshot: str
    analysis: str
    measure: tuple[str, ...]
    label: str
    persons: BitMap

    @cached_property
    def digest(self) -> str:
        """sha256 (hex) of the set itself, however its bitmap is laid out."""
        return digest(self.persons)

    @property
    def kind(self) -> str:
        """A word of `TELLS`; `restored` for what a recovery could not compute again."""
        word = self.label.partition(" ")[0].partition(":")[0]
        if word.startswith("missing["):
            return "missing"
        return word if word in TELLS or word == RESTORED else "cell"

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; the set as base64 of a portable Roaring bitmap."""
        persons = base64.b64encode(self.persons.serialize()).decode("ascii")
        return {
            "snapshot": self.snapshot,
            "analysis": self.analysis,
            "measure": list(self.measure),
            "label": self.label,
            "persons": persons,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Charge:
        """Read `to_dict`'s form; ValueError on anything else."""
        if set(document) != _WORDS or not isinstance(document["measure"], list):
            raise ValueError("not a charge")
        texts = [document["snapshot"], document["analysis"], document["label"], *document["measure"]]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("not a charge")
        try:
            persons = BitMap.deserialize(base64.b64decode(document["persons"], validate=True))
        except (binascii.Error, TypeError, IndexError) as error:
            raise ValueError("not a set of persons") from error
        return cls(texts[0], texts[1], tuple(document["measure"]), texts[2], persons)


def digest(persons: BitMap) -> str:
    """sha256 (hex) of a set in its smallest form, which is one whatever made the set."""
    smallest = persons.copy()
    smallest.run_optimize()
    return hashlib.sha256(smallest.serialize()).hexdigest()


def charges(
    snapshot: str, analysis: str, support: Support, hidden: Sequence[Mask | None] | None = None
) -> tuple[Charge, ...]:
    """The entries of an analysis; a set without persons is left out.

    hidden: as `hidden_in` gives it; None: nothing is.
    """
    everything = tuple(sorted(support.measures))
    sets = [("population", everything, support.population)]
    evidence: tuple[Cells | Thresholds, ...] = (*support.cells, *support.thresholds)
    for one, mask in zip(evidence, hidden or [None] * len(evidence), strict=True):
        if isinstance(one, Cells):
            sets += _cells(one, np.zeros(one.shape, dtype=bool) if mask is None else mask)
        else:
            sets += runs(one, mask)
    if support.design is not None:
        sets += [(f"level {label}", everything, persons) for label, persons in support.design.levels.items()]
    return tuple(Charge(snapshot, analysis, measure, label, persons) for label, measure, persons in sets if persons)


def hidden_in(partial: Partial, support: Support, masks: Mapping[str, Mask]) -> list[Mask | None]:
    """What this round does not show: of each table its cells, then of each range the counts up to a value."""
    tables = [hidden_cells(partial, cells, masks) for cells in support.cells]
    ranges = [
        partial.hidden(one.output) | masks.get(one.output, np.False_) if one.output in partial.arrays else None
        for one in support.thresholds
    ]
    return [*tables, *ranges]


def runs(counted: Thresholds, hidden: Mask | None) -> Iterator[tuple[str, tuple[str, ...], BitMap]]:
    """The persons between every two neighbouring values whose counts are shown."""
    *groups, parts = counted.shape
    shown = np.ones((*groups, parts - 1), dtype=bool) if hidden is None else ~hidden.reshape(*groups, parts - 1)
    for group, place in enumerate(np.ndindex(*groups)):
        ends = [0, *(np.flatnonzero(shown[place]) + 1).tolist(), parts]
        for first, end in pairwise(ends) if len(ends) > 2 else ():
            within = counted.persons[group * parts + first : group * parts + end]
            label = f"{counted.output}[{','.join(map(str, (*place, first)))}–{end}]"
            yield label, counted.measures, BitMap.union(BitMap(), *within)


def hidden_cells(partial: Partial, cells: Cells, masks: Mapping[str, Mask]) -> Mask:
    """The cells of which this round shows nothing: hidden in all of their arrays. Without an array here, none."""
    present = [name for name in cells.output if name in partial.arrays]
    hidden = np.full(cells.shape, bool(present))
    for name in present:
        hidden &= _of_cells(partial.hidden(name) | masks.get(name, np.False_), cells.shape)
    return hidden


def _of_cells(mask: Mask, shape: tuple[int, ...]) -> Mask:
    """A mask of an array as one of the cells that are its first or last axes: hidden where all of a cell is."""
    if mask.shape == shape:
        return mask
    hidden = np.ones(shape, dtype=bool)
    if mask.shape[: len(shape)] == shape:
        hidden &= mask.reshape(*shape, -1).all(axis=-1)
    if mask.shape[len(mask.shape) - len(shape) :] == shape:
        hidden &= mask.reshape(-1, *shape).all(axis=0)
    return hidden


def _cells(cells: Cells, hidden: Mask) -> Iterator[tuple[str, tuple[str, ...], BitMap]]:
    measure = tuple(sorted({*cells.measures, *cells.dimensions}))
    arrays = "+".join(cells.output)
    for place, persons, gone in zip(np.ndindex(cells.shape), cells.persons, hidden.flat, strict=True):
        if not gone:
            yield f"{arrays}[{','.join(map(str, place))}]", measure, persons
    if not cells.dimensions:
        return  # numbers beside one another, not parts of a whole
    for label, persons in _margins(cells, hidden):
        yield f"margin of {arrays}[{label}]", measure, persons
    if hidden.any():
        for word, mask in (("shown", ~hidden), ("hidden", hidden)):
            yield f"{word} of {arrays}", measure, _together(cells, np.flatnonzero(mask))


def _margins(cells: Cells, hidden: Mask) -> Iterator[tuple[str, BitMap]]:
    """The cells of every line, plane, … of which none is hidden, together."""
    axes = range(len(cells.shape))
    places = np.arange(hidden.size).reshape(cells.shape)
    for kept in (kept for size in range(1, len(cells.shape)) for kept in combinations(axes, size)):
        for index in np.ndindex(*(cells.shape[axis] for axis in kept)):
            at: list[Any] = [slice(None)] * len(cells.shape)
            for axis, place in zip(kept, index, strict=True):
                at[axis] = place
            if not hidden[tuple(at)].any():
                named = dict(zip(kept, index, strict=True))
                yield ",".join(str(named.get(axis, "·")) for axis in axes), _together(cells, places[tuple(at)].ravel())


def _together(cells: Cells, places: NDArray[np.intp]) -> BitMap:
    return BitMap.union(BitMap(), *(cells.persons[place] for place in places))
