"""What an analyst may change in an analysis so that it passes: small values with their words, for before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sojourn.errors import PlanError

MOST_CHANGES = 20


@dataclass(frozen=True)
class Merge:
    """Take levels of a category together; `levels` are those that analyses saw before, in their order."""

    column: str
    levels: tuple[str, ...]
    into: str

    @property
    def offered(self) -> str:
        """What would be done."""
        return f"Merge the levels {listed(self.levels)} of `{self.column}` into `{self.into}`."

    @property
    def done(self) -> str:
        """What was done."""
        return f"The levels {listed(self.levels)} of `{self.column}` were merged into `{self.into}`."

    def to_dict(self) -> dict[str, Any]:
        """The document in a plan."""
        return {"merge": list(self.levels), "of": self.column, "into": self.into}


@dataclass(frozen=True)
class Drop:
    """Leave a dimension out of a table."""

    column: str

    @property
    def offered(self) -> str:
        """What would be done."""
        return f"Drop the dimension `{self.column}`."

    @property
    def done(self) -> str:
        """What was done."""
        return f"The dimension `{self.column}` was dropped."

    def to_dict(self) -> dict[str, Any]:
        """The document in a plan."""
        return {"drop": self.column}


@dataclass(frozen=True)
class Coarsen:
    """Count in fewer, wider bins, whose edges are some of those before."""

    edges: tuple[float, ...]

    @property
    def offered(self) -> str:
        """What would be done."""
        return f"Count in wider bins, with the edges {self._edges}."

    @property
    def done(self) -> str:
        """What was done."""
        return f"Bins were joined; the edges are {self._edges}."

    @property
    def _edges(self) -> str:
        return ", ".join(f"{edge:.15g}" for edge in self.edges)

    def to_dict(self) -> dict[str, Any]:
        """The document in a plan."""
        return {"edges": list(self.edges)}


@dataclass(frozen=True)
class LeaveOut:
    """Leave terms out of a model's formula; each as the formula renders it."""

    terms: tuple[str, ...]

    @property
    def offered(self) -> str:
        """What would be done."""
        return f"Leave {listed(self.terms)} out of the model."

    @property
    def done(self) -> str:
        """What was done."""
        return f"{listed(self.terms)} {'was' if len(self.terms) == 1 else 'were'} left out of the model."

    def to_dict(self) -> dict[str, Any]:
        """The document in a plan."""
        return {"leave_out": list(self.terms)}


@dataclass(frozen=True)
class Restrict:
    """Ask only these sites, and let so many be enough."""

    sites: tuple[str, ...]

    @property
    def offered(self) -> str:
        """What would be done."""
        return f"Ask only {listed(self.sites)}, which would release it, and let {len(self.sites)} sites be enough."

    @property
    def done(self) -> str:
        """What was done."""
        return f"Only {listed(self.sites)} were asked."

    def to_dict(self) -> dict[str, Any]:
        """The document in a plan."""
        return {"sites": list(self.sites)}


Change = Merge | Drop | Coarsen | LeaveOut | Restrict


@dataclass(frozen=True)
class Offer:
    """A change of one analysis that may let more of it pass. `words` say what would be done."""

    analysis: str
    change: Change

    @property
    def words(self) -> str:
        """What would be done, for the analyst."""
        return self.change.offered

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {"analysis": self.analysis, "change": self.change.to_dict(), "words": self.words}


def change_from_dict(document: object, field: str) -> Change:
    """Read a change's document; PlanError at `field` on anything else."""
    match document:
        case {"merge": levels, "of": str(column), "into": str(into), **rest} if not rest and _texts(levels, 2):
            return Merge(column, tuple(levels), into)
        case {"drop": str(column), **rest} if not rest:
            return Drop(column)
        case {"edges": edges, **rest} if not rest and _edges(edges):
            return Coarsen(tuple(float(edge) + 0.0 for edge in edges))
        case {"leave_out": terms, **rest} if not rest and _texts(terms, 1):
            return LeaveOut(tuple(terms))
        case {"sites": sites, **rest} if not rest and _texts(sites, 1):
            return Restrict(tuple(sites))
    raise PlanError(
        "This is no change of an analysis.",
        remedy="Leave `mitigation` out: it is written when an offer is accepted.",
        field=field,
    )


def listed(names: Sequence[str]) -> str:
    """Names in a sentence."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))


def schema() -> dict[str, Any]:
    """JSON Schema of a change's document."""
    text = {"type": "string"}
    texts = {"type": "array", "items": text, "minItems": 1, "uniqueItems": True}
    edges = {"type": "array", "items": {"type": "number"}, "minItems": 2}
    forms: list[Mapping[str, Any]] = [
        {"merge": {**texts, "minItems": 2}, "of": text, "into": text},
        {"drop": text},
        {"edges": edges},
        {"leave_out": texts},
        {"sites": texts},
    ]
    return {
        "oneOf": [
            {"type": "object", "properties": form, "required": list(form), "additionalProperties": False}
            for form in forms
        ]
    }


def _texts(value: object, least: int) -> bool:
    given = isinstance(value, list | tuple) and len(value) >= least and all(isinstance(text, str) for text in value)
    return given and len(set(value)) == len(value)  # type: ignore[arg-type]


def _edges(value: object) -> bool:
    if not isinstance(value, list | tuple) or len(value) < 2:
        return False
    if any(isinstance(edge, bool) or not isinstance(edge, int | float) or not math.isfinite(edge) for edge in value):
        return False
    return all(low < high for low, high in pairwise(value))
