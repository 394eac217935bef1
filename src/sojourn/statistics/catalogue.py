"""All statistics by name.

A new statistic is one file and one line of `_KINDS`, with a function in a `catalogue_…` where analysts write Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sojourn.analysis.statistic import Statistic
from sojourn.analysis.suggestion import did_you_mean
from sojourn.errors import PlanError
from sojourn.statistics import effects, filled
from sojourn.statistics.anova import Anova
from sojourn.statistics.at_least import AtLeast
from sojourn.statistics.balance import Balance
from sojourn.statistics.correlation import Correlation
from sojourn.statistics.count import Count
from sojourn.statistics.crosstab import Crosstab
from sojourn.statistics.describe import Describe
from sojourn.statistics.direct_standardisation import DirectStandardisation
from sojourn.statistics.elastic_net import ElasticNet
from sojourn.statistics.firth import Firth
from sojourn.statistics.glm import GLM
from sojourn.statistics.glmm import GLMM
from sojourn.statistics.histogram import Histogram
from sojourn.statistics.incidence import Incidence
from sojourn.statistics.indirect_standardisation import IndirectStandardisation
from sojourn.statistics.lmm import LMM
from sojourn.statistics.mantel_haenszel import MantelHaenszel
from sojourn.statistics.meta import WORDS, MetaAnalysis, Model
from sojourn.statistics.overlap import Overlap
from sojourn.statistics.prevalence import Prevalence
from sojourn.statistics.profile_likelihood import ProfileLikelihood
from sojourn.statistics.quantiles import Quantiles
from sojourn.statistics.schema import conform
from sojourn.statistics.study_level import StudyLevel
from sojourn.statistics.t_test import TTest
from sojourn.statistics.trend import Trend

_KINDS = (
    Anova,
    AtLeast,
    Balance,
    Correlation,
    Count,
    Crosstab,
    Describe,
    DirectStandardisation,
    ElasticNet,
    Firth,
    GLM,
    GLMM,
    Histogram,
    Incidence,
    IndirectStandardisation,
    LMM,
    MantelHaenszel,
    Overlap,
    Prevalence,
    ProfileLikelihood,
    Quantiles,
    TTest,
    Trend,
)
_STATISTICS = MappingProxyType({kind.name: kind for kind in _KINDS})
_MODELS = frozenset({"firth", "glm", "glmm", "lmm"})  # each site can fit it by itself
_FILLED = frozenset({"glm"})  # where missing values can be filled in


def _besides(name: str) -> Mapping[str, Any]:
    """What may be said of a statistic besides its own arguments."""
    combined = WORDS if name in _MODELS or name in effects.KINDS else {}
    return {**combined, **(filled.WORDS if name in _FILLED else {})}


NAMES: tuple[str, ...] = tuple(sorted(_STATISTICS))
_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    name: {**kind.schema, "properties": {**kind.schema["properties"], **_besides(name)}}
    for name, kind in sorted(_STATISTICS.items())
}


def make(kind: str, arguments: Mapping[str, Any], field: str = "") -> Statistic:
    """A statistic from its name and arguments as they stand in a plan.

    field: the place in the plan, e.g. `analyses.model`. PlanError names the place, e.g. `analyses.model.glm.family`,
    and the nearest known word.
    """
    if kind not in _STATISTICS:
        remedy = did_you_mean(str(kind), NAMES) or f"Use one of: {', '.join(NAMES)}."
        raise PlanError(f"There is no statistic `{str(kind)[:40]}`.", remedy=remedy, field=field)
    place = f"{field}.{kind}" if field else kind
    conform(arguments, _SCHEMAS[kind], place)
    more = _besides(kind)
    made = _STATISTICS[kind].read({word: value for word, value in arguments.items() if word not in more}, place)
    if kind in effects.KINDS:
        return StudyLevel.read(made, arguments, place)
    if not isinstance(made, Model) or kind not in _MODELS:
        return made
    if "missing" not in arguments:
        return MetaAnalysis.read(made, arguments, place)
    if said := sorted(set(WORDS) & set(arguments)):
        remedy = "Leave one of the two out."
        raise PlanError("Sites' own fits do not fill missing values in.", remedy=remedy, field=f"{place}.{said[0]}")
    return filled.read(made, arguments, place)


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema (2020-12) of every statistic's arguments, by name, and what models take besides."""
    return {name: dict(schema) for name, schema in _SCHEMAS.items()}
