"""Sojourn: the analysis travels, the data stays. The public names, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sojourn import errors as errors
    from sojourn.client.studies import connect as connect
    from sojourn.statistics.catalogue import anova as anova
    from sojourn.statistics.catalogue import at_least as at_least
    from sojourn.statistics.catalogue import balance as balance
    from sojourn.statistics.catalogue import correlation as correlation
    from sojourn.statistics.catalogue import count as count
    from sojourn.statistics.catalogue import crosstab as crosstab
    from sojourn.statistics.catalogue import describe as describe
    from sojourn.statistics.catalogue import direct_standardisation as direct_standardisation
    from sojourn.statistics.catalogue import elastic_net as elastic_net
    from sojourn.statistics.catalogue import firth as firth
    from sojourn.statistics.catalogue import glm as glm
    from sojourn.statistics.catalogue import glmm as glmm
    from sojourn.statistics.catalogue import histogram as histogram
    from sojourn.statistics.catalogue import incidence as incidence
    from sojourn.statistics.catalogue import indirect_standardisation as indirect_standardisation
    from sojourn.statistics.catalogue import lmm as lmm
    from sojourn.statistics.catalogue import mantel_haenszel as mantel_haenszel
    from sojourn.statistics.catalogue import meta as meta
    from sojourn.statistics.catalogue import overlap as overlap
    from sojourn.statistics.catalogue import prevalence as prevalence
    from sojourn.statistics.catalogue import profile_likelihood as profile_likelihood
    from sojourn.statistics.catalogue import quantiles as quantiles
    from sojourn.statistics.catalogue import t_test as t_test
    from sojourn.statistics.catalogue import trend as trend
    from sojourn.study.plan import Plan as Plan

__version__ = "0.1.0"

_HOMES = {
    "Plan": "sojourn.study.plan",
    "anova": "sojourn.statistics.catalogue",
    "at_least": "sojourn.statistics.catalogue",
    "balance": "sojourn.statistics.catalogue",
    "connect": "sojourn.client.studies",
    "correlation": "sojourn.statistics.catalogue",
    "count": "sojourn.statistics.catalogue",
    "crosstab": "sojourn.statistics.catalogue",
    "describe": "sojourn.statistics.catalogue",
    "direct_standardisation": "sojourn.statistics.catalogue",
    "elastic_net": "sojourn.statistics.catalogue",
    "firth": "sojourn.statistics.catalogue",
    "glm": "sojourn.statistics.catalogue",
    "glmm": "sojourn.statistics.catalogue",
    "histogram": "sojourn.statistics.catalogue",
    "incidence": "sojourn.statistics.catalogue",
    "indirect_standardisation": "sojourn.statistics.catalogue",
    "mantel_haenszel": "sojourn.statistics.catalogue",
    "prevalence": "sojourn.statistics.catalogue",
    "lmm": "sojourn.statistics.catalogue",
    "meta": "sojourn.statistics.catalogue",
    "profile_likelihood": "sojourn.statistics.catalogue",
    "overlap": "sojourn.statistics.catalogue",
    "quantiles": "sojourn.statistics.catalogue",
    "t_test": "sojourn.statistics.catalogue",
    "trend": "sojourn.statistics.catalogue",
}

__all__ = [
    "Plan",
    "__version__",
    "anova",
    "at_least",
    "balance",
    "connect",
    "correlation",
    "count",
    "crosstab",
    "describe",
    "direct_standardisation",
    "elastic_net",
    "errors",
    "firth",
    "glm",
    "glmm",
    "histogram",
    "incidence",
    "indirect_standardisation",
    "lmm",
    "mantel_haenszel",
    "meta",
    "overlap",
    "prevalence",
    "profile_likelihood",
    "quantiles",
    "t_test",
    "trend",
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
