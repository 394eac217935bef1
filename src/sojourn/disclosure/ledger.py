"""The ledger's entries: which sets of persons an analysis makes known, and about which measures.

A run is charged once, before its first round: the complete cases and every set of persons behind a number of it, its
design's levels too. This module only derives the charges; a site stores them with its releases.

The seam: what a ledger may refuse comes later. It will compare the charges of a new run with all those stored for the
same dataset, over all projects and people, and refuse where a set of 0 < n < T persons follows from entries that share
a measure, at the least A \\ B and B \\ A of every pair. It needs nothing but these values, so it will stand beside
`charges` as a pure function of (stored charges, new charges, threshold).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pyroaring import BitMap

from sojourn.analysis.support import Cells, Support

_WORDS = {"snapshot", "analysis", "measure", "label", "persons"}


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


def charges(snapshot: str, analysis: str, support: Support) -> tuple[Charge, ...]:
    """The complete cases, every cell, every level of the design; a set without persons is left out."""
    everything = tuple(sorted(support.measures))
    sets = [("population", everything, support.population)]
    for cells in support.cells:
        sets += _cells(cells)
    if support.design is not None:
        sets += [(f"level {label}", everything, persons) for label, persons in support.design.levels.items()]
    return tuple(Charge(snapshot, analysis, measure, label, persons) for label, measure, persons in sets if persons)


def _cells(cells: Cells) -> Iterator[tuple[str, tuple[str, ...], BitMap]]:
    measure = tuple(sorted({*cells.measures, *cells.dimensions}))
    arrays = "+".join(cells.output)
    for place, persons in zip(np.ndindex(cells.shape), cells.persons, strict=True):
        yield f"{arrays}[{','.join(map(str, place))}]", measure, persons
