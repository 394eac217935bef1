"""200 outputs of the kinds that published cohort studies print: forty papers with five outputs each.

A paper is one plan: a table 1 of its population by exposure, a cross-table, a distribution, and two regressions, one
with three covariates or so and one adjusted for six to eight. Exposures, outcomes, covariates and subgroups are those
of cardiometabolic epidemiology. Survival curves are not among them: the product has none yet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sojourn as sj

EDGES: dict[str, list[float]] = {
    "age": [40, 50, 60, 70, 80],
    "bmi": [18.5, 25, 30, 35],
    "sbp": [110, 120, 130, 140, 160],
    "dbp": [70, 80, 90],
    "ldl": [2, 3, 4],
    "hba1c": [5.7, 6.5, 8],
    "creatinine": [60, 80, 100, 120],
    "crp": [1, 3, 10],
    "triglycerides": [1, 1.7, 2.3],
    "los": [2, 4, 7, 14],
    "hdl": [1, 1.3, 1.6],
}
GROUPS = (
    "",
    "age >= 65",
    "sex = 'female'",
    "",
    "diabetes = true",
    "age between 40 and 74",
    "hypertension = true",
    "bmi >= 30",
    "",
    "sex = 'male' and age >= 40",
    "age < 60",
    "smoking = 'current'",
    "bmi between 18.5 and 40",
    "ckd = true",
    "cancer = false",
)


@dataclass(frozen=True)
class Paper:
    """One study: who is in it and what it prints."""

    title: str
    where: str
    analyses: dict[str, Any]


@dataclass(frozen=True)
class _Topic:
    """An exposure, the columns of table 1, what it is crossed with, a distribution, and two models."""

    exposure: str
    columns: str
    beside: str
    distribution: str
    crude: Any
    adjusted: Any


def _logistic(formula: str) -> Any:
    return sj.glm(formula, family="binomial")


def _poisson(formula: str) -> Any:
    return sj.glm(formula, family="poisson")


_TOPICS = (
    _Topic(
        "diabetes",
        "age bmi sbp ldl hba1c",
        "smoking",
        "bmi",
        _logistic("dead ~ diabetes + age + sex"),
        _logistic("dead ~ diabetes + age + sex + smoking + bmi + hypertension + ckd"),
    ),
    _Topic(
        "diabetes",
        "age triglycerides hdl crp",
        "sex hypertension",
        "triglycerides",
        sj.glm("log(triglycerides) ~ diabetes + age + sex"),
        sj.glm("log(crp) ~ diabetes + age + sex + bmi + smoking + statin + hdl"),
    ),
    _Topic(
        "smoking",
        "age bmi sbp ldl",
        "sex",
        "age",
        _logistic("hypertension ~ smoking + age + sex"),
        sj.glm("sbp ~ smoking + age + sex + bmi + diabetes + ethnicity"),
    ),
    _Topic(
        "smoking",
        "age los crp",
        "education",
        "los",
        sj.glm("log(los) ~ smoking + age + sex"),
        _poisson("admissions ~ smoking + age + sex + copd + diabetes + heart_failure"),
    ),
    _Topic(
        "sex",
        "age bmi sbp dbp ldl hdl",
        "diabetes",
        "ldl",
        sj.glm("ldl ~ sex + age + bmi"),
        sj.glm("hdl ~ sex + age + bmi + smoking + statin + diabetes + triglycerides"),
    ),
    _Topic(
        "sex",
        "age creatinine triglycerides",
        "smoking hypertension",
        "creatinine",
        _logistic("hypertension ~ sex * age + bmi"),
        _poisson("admissions ~ sex + age + diabetes + hypertension + smoking + bmi"),
    ),
    _Topic(
        "hypertension",
        "age bmi creatinine ldl",
        "sex",
        "sbp",
        _logistic("ckd ~ hypertension + age + sex"),
        _logistic("ckd ~ hypertension + age + sex + diabetes + bmi + smoking + statin"),
    ),
    _Topic(
        "hypertension",
        "age sbp dbp",
        "deprivation",
        "dbp",
        sj.glm("sbp ~ hypertension + age + sex"),
        sj.glm("dbp ~ age + sex + bmi + smoking + diabetes + log(creatinine) + statin"),
    ),
    _Topic(
        "statin",
        "age ldl hba1c",
        "diabetes",
        "ldl",
        sj.glm("ldl ~ statin + age + sex"),
        sj.glm("ldl ~ statin + age + sex + diabetes + bmi + smoking + hba1c"),
    ),
    _Topic(
        "statin",
        "age sbp hdl creatinine",
        "smoking",
        "hdl",
        _logistic("statin ~ age + sex + diabetes"),
        _logistic("statin ~ age + sex + diabetes + ldl + deprivation + hypertension"),
    ),
    _Topic(
        "deprivation",
        "age bmi sbp",
        "smoking",
        "bmi",
        _logistic("diabetes ~ deprivation + age + sex"),
        _poisson("admissions ~ deprivation + age + sex + diabetes + copd + bmi"),
    ),
    _Topic(
        "deprivation",
        "age hba1c sbp",
        "education",
        "sbp",
        sj.glm("hba1c ~ deprivation + age + sex"),
        sj.glm("bmi ~ deprivation + education + age + sex + smoking + diabetes"),
    ),
    _Topic(
        "dead",
        "age bmi sbp hba1c creatinine",
        "sex",
        "age",
        _logistic("dead ~ age + sex + hypertension"),
        _logistic("dead ~ age + sex + diabetes + cancer + smoking + af + creatinine"),
    ),
    _Topic(
        "metformin",
        "age hba1c bmi",
        "sex",
        "hba1c",
        sj.glm("hba1c ~ metformin + age + sex"),
        sj.glm("hba1c ~ metformin + age + sex + bmi + statin + triglycerides"),
    ),
    _Topic(
        "education",
        "age bmi sbp ldl",
        "smoking",
        "age",
        sj.glm("bmi ~ education + age + sex"),
        _logistic("hypertension ~ education + age + sex + bmi + smoking + diabetes + deprivation"),
    ),
    _Topic(
        "education",
        "age ldl hba1c",
        "deprivation",
        "hba1c",
        _logistic("statin ~ education + age + sex"),
        _poisson("admissions ~ education + age + sex + smoking + bmi + hypertension"),
    ),
    _Topic(
        "ckd",
        "age sbp creatinine",
        "hypertension",
        "creatinine",
        sj.glm("log(creatinine) ~ age + sex + hypertension"),
        _poisson("admissions ~ ckd + age + sex + diabetes + bmi + heart_failure"),
    ),
    _Topic(
        "heart_failure",
        "age sbp bmi",
        "af",
        "age",
        _logistic("heart_failure ~ age + sex + hypertension"),
        _logistic("dead ~ heart_failure + age + sex + diabetes + bs(bmi, knots=[25, 30], low=10, high=80)"),
    ),
    _Topic(
        "ethnicity",
        "age bmi hba1c",
        "diabetes",
        "hba1c",
        _logistic("diabetes ~ ethnicity + age + sex"),
        sj.glm("hba1c ~ ethnicity + age + sex + bmi + smoking + hypertension"),
    ),
    _Topic(
        "cancer",
        "age crp los",
        "smoking",
        "crp",
        _logistic("cancer ~ age + sex + smoking"),
        _poisson("admissions ~ cancer + age + sex + los + copd + bmi"),
    ),
)


def papers(first: int = 0, beyond: int = 40) -> list[Paper]:
    """Papers of these numbers; each topic comes again after twenty, in another population."""
    return [_paper(number) for number in range(first, beyond)]


def _paper(number: int) -> Paper:
    turn, place = divmod(number, len(_TOPICS))
    topic = _TOPICS[place]
    analyses = {
        "table1": sj.describe(*topic.columns.split(), by=topic.exposure),
        "crosstab": sj.crosstab(topic.exposure, *topic.beside.split()),
        "distribution": sj.histogram(topic.distribution, edges=EDGES[topic.distribution]),
        "crude": topic.crude,
        "adjusted": topic.adjusted,
    }
    start = number + turn
    groups = [GROUPS[(start + further) % len(GROUPS)] for further in range(len(GROUPS))]
    where = next(group for group in groups if _asks_something(group, analyses))
    return Paper(f"Paper {number + 1}: {topic.exposure}", where, analyses)


def _asks_something(group: str, analyses: dict[str, Any]) -> bool:
    """Whether no analysis names what is the same for all of the group."""
    fixed = {name for name in ("sex", "diabetes", "hypertension", "smoking", "ckd", "cancer") if f"{name} = " in group}
    return not any(fixed & set(analysis.variables()) for analysis in analyses.values())
