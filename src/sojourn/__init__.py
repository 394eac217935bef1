"""Sojourn: the analysis travels, the data stays. The public names, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sojourn import errors as errors
    from sojourn.client.studies import connect as connect
    from sojourn.statistics.catalogue import at_least as at_least
    from sojourn.statistics.catalogue import count as count
    from sojourn.statistics.catalogue import crosstab as crosstab
    from sojourn.statistics.catalogue import describe as describe
    from sojourn.statistics.catalogue import glm as glm
    from sojourn.statistics.catalogue import histogram as histogram
    from sojourn.statistics.catalogue import overlap as overlap
    from sojourn.statistics.catalogue import quantiles as quantiles
    from sojourn.study.plan import Plan as Plan

__version__ = "0.1.0"

_HOMES = {
    "Plan": "sojourn.study.plan",
    "at_least": "sojourn.statistics.catalogue",
    "connect": "sojourn.client.studies",
    "count": "sojourn.statistics.catalogue",
    "crosstab": "sojourn.statistics.catalogue",
    "describe": "sojourn.statistics.catalogue",
    "glm": "sojourn.statistics.catalogue",
    "histogram": "sojourn.statistics.catalogue",
    "overlap": "sojourn.statistics.catalogue",
    "quantiles": "sojourn.statistics.catalogue",
}

__all__ = [
    "Plan",
    "__version__",
    "at_least",
    "connect",
    "count",
    "crosstab",
    "describe",
    "errors",
    "glm",
    "histogram",
    "overlap",
    "quantiles",
]


def __getattr__(name: str) -> Any:
    """Load a public name at its first use (PEP 562), so that a sandboxed worker loads neither web nor figures."""
    if name == "errors":
        return importlib.import_module("sojourn.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'sojourn' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
