"""Sojourn: the analysis travels, the data stays. The public names, each loaded when it is first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sojourn import errors as errors
    from sojourn.analysis.variable import Variable as Variable
    from sojourn.client.studies import connect as connect
    from sojourn.statistics.catalogue_comparisons import anova as anova
    from sojourn.statistics.catalogue_comparisons import balance as balance
    from sojourn.statistics.catalogue_comparisons import correlation as correlation
    from sojourn.statistics.catalogue_comparisons import direct_standardisation as direct_standardisation
    from sojourn.statistics.catalogue_comparisons import incidence as incidence
    from sojourn.statistics.catalogue_comparisons import indirect_standardisation as indirect_standardisation
    from sojourn.statistics.catalogue_comparisons import mantel_haenszel as mantel_haenszel
    from sojourn.statistics.catalogue_comparisons import prevalence as prevalence
    from sojourn.statistics.catalogue_comparisons import t_test as t_test
    from sojourn.statistics.catalogue_comparisons import trend as trend
    from sojourn.statistics.catalogue_counts import at_least as at_least
    from sojourn.statistics.catalogue_counts import count as count
    from sojourn.statistics.catalogue_counts import crosstab as crosstab
    from sojourn.statistics.catalogue_counts import describe as describe
    from sojourn.statistics.catalogue_counts import histogram as histogram
    from sojourn.statistics.catalogue_counts import overlap as overlap
    from sojourn.statistics.catalogue_counts import quantiles as quantiles
    from sojourn.statistics.catalogue_models import elastic_net as elastic_net
    from sojourn.statistics.catalogue_models import firth as firth
    from sojourn.statistics.catalogue_models import glm as glm
    from sojourn.statistics.catalogue_models import glmm as glmm
    from sojourn.statistics.catalogue_models import imputed as imputed
    from sojourn.statistics.catalogue_models import indicated as indicated
    from sojourn.statistics.catalogue_models import lmm as lmm
    from sojourn.statistics.catalogue_models import meta as meta
    from sojourn.statistics.catalogue_models import profile_likelihood as profile_likelihood
    from sojourn.study.plan import Plan as Plan

__version__ = "0.1.0"

_HOMES = {
    "Plan": "sojourn.study.plan",
    "Variable": "sojourn.analysis.variable",
    "anova": "sojourn.statistics.catalogue_comparisons",
    "at_least": "sojourn.statistics.catalogue_counts",
    "balance": "sojourn.statistics.catalogue_comparisons",
    "connect": "sojourn.client.studies",
    "correlation": "sojourn.statistics.catalogue_comparisons",
    "count": "sojourn.statistics.catalogue_counts",
    "crosstab": "sojourn.statistics.catalogue_counts",
    "describe": "sojourn.statistics.catalogue_counts",
    "direct_standardisation": "sojourn.statistics.catalogue_comparisons",
    "elastic_net": "sojourn.statistics.catalogue_models",
    "firth": "sojourn.statistics.catalogue_models",
    "glm": "sojourn.statistics.catalogue_models",
    "glmm": "sojourn.statistics.catalogue_models",
    "histogram": "sojourn.statistics.catalogue_counts",
    "imputed": "sojourn.statistics.catalogue_models",
    "incidence": "sojourn.statistics.catalogue_comparisons",
    "indicated": "sojourn.statistics.catalogue_models",
    "indirect_standardisation": "sojourn.statistics.catalogue_comparisons",
    "mantel_haenszel": "sojourn.statistics.catalogue_comparisons",
    "prevalence": "sojourn.statistics.catalogue_comparisons",
    "lmm": "sojourn.statistics.catalogue_models",
    "meta": "sojourn.statistics.catalogue_models",
    "profile_likelihood": "sojourn.statistics.catalogue_models",
    "overlap": "sojourn.statistics.catalogue_counts",
    "quantiles": "sojourn.statistics.catalogue_counts",
    "t_test": "sojourn.statistics.catalogue_comparisons",
    "trend": "sojourn.statistics.catalogue_comparisons",
}

__all__ = [
    "Plan",
    "Variable",
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
    "imputed",
    "incidence",
    "indicated",
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
