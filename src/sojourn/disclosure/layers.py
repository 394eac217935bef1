"""Layers of rules: what a law, a data holder or a site asks for, as data with its source.

A layer names only the values that it is about. Laid upon others it never loosens: of each value the stricter one holds
(`parameters.strictest`). The packs of whole jurisdictions come later; these are examples from published rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from sojourn.disclosure.parameters import Parameters, layer

Confidence = Literal["A", "B", "C"]  # read in the rule itself; in a secondary source; general knowledge


@dataclass(frozen=True)
class Layer:
    """One layer: its public name, where it applies, its values, and on what ground they rest."""

    name: str
    place: str
    source: str
    confidence: Confidence
    verified: str  # the day on which somebody read the source, ISO 8601
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Parameters.from_dict(self.values)


def composed(layers: Iterable[Layer], site: Parameters | None = None) -> Parameters:
    """The parameters under all these layers, upon the site's own."""
    holds = site or Parameters()
    for one in layers:
        holds = layer(one.values, holds)
    return holds


EXAMPLES: Mapping[str, Layer] = MappingProxyType(
    {
        one.name: one
        for one in (
            Layer(
                "CMS cell size",
                "US",
                "CMS cell size suppression policy: 1 to 10 are suppressed, and what they could be derived from",
                "B",
                "2026-11-21",
                {"threshold": 11, "zero_shown": True},
            ),
            Layer(
                "All of Us",
                "US",
                "All of Us data and statistics dissemination policy: 1 to 20 are suppressed",
                "B",
                "2026-11-21",
                {"threshold": 21, "zero_shown": True},
            ),
            Layer(
                "OpenSAFELY midpoint",
                "GB",
                "OpenSAFELY, permitted results: counts of 7 and less are redacted; midpoint 6 rounding",
                "B",
                "2026-11-21",
                {"threshold": 8, "rounding": "midpoint 6"},
            ),
        )
    }
)
