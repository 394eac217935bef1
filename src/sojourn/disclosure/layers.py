"""Layers of rules: what a law, a data holder or a site asks for, as data with its source.

A layer names only the values that it is about. Laid upon others it never loosens: of each value the stricter one holds
(`parameters.strictest`). A node's setting `jurisdictions` names those that hold at its site. They are the thresholds
that data holders publish, and no legal advice: whether one applies to a site is for its own people to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from sojourn.disclosure.parameters import Parameters, layer
from sojourn.errors import ConfigurationError

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


def layers_of(names: object) -> tuple[Layer, ...]:
    """The layers of these names; ConfigurationError where there is none of a name, or it is no list of names."""
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise ConfigurationError(
            "`jurisdictions` is no list of names.", remedy=f"Write e.g. `jurisdictions: [{next(iter(LAYERS))}]`."
        )
    if unknown := [name for name in names if name not in LAYERS]:
        raise ConfigurationError(
            f"There is no jurisdiction `{unknown[0][:40]}`.", remedy=f"Use only {', '.join(sorted(LAYERS))}."
        )
    return tuple(LAYERS[name] for name in names)


def composed(layers: Iterable[Layer], site: Parameters | None = None) -> Parameters:
    """The parameters under all these layers, upon the site's own."""
    holds = site or Parameters()
    for one in layers:
        holds = layer(one.values, holds)
    return holds


LAYERS: Mapping[str, Layer] = MappingProxyType(
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
                "NHS England HES",
                "GB",
                "NHS England, Hospital Episode Statistics analysis guide: sub-national 1 to 7 suppressed, else base 5",
                "B",
                "2026-11-21",
                {"threshold": 8, "rounding": "base 5"},
            ),
            Layer(
                "UK Biobank",
                "GB",
                "UK Biobank: no counts of fewer than 5 participants",
                "B",
                "2026-11-21",
                {"threshold": 5},
            ),
            Layer(
                "CASD PMSI",
                "FR",
                "CASD, hospital data of the PMSI: no counts below 11",
                "B",
                "2026-11-21",
                {"threshold": 11},
            ),
            Layer(
                "ABS",
                "AU",
                "Australian Bureau of Statistics: at least 10 contributors to a number",
                "B",
                "2026-11-21",
                {"threshold": 10},
            ),
            Layer(
                "SACRO",
                "GB",
                "SACRO, guidelines of the UK's trusted research environments: 10 persons, 10 residual degrees of "
                "freedom, (2, 90) dominance and p = 10 %",
                "B",
                "2026-11-21",
                {"threshold": 10, "residual": 10, "dominance_n": 2, "dominance_k": 90.0, "p_percent": 10.0},
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
