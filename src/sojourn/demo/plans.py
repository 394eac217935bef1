"""The demonstration's questions. Some groups of these hospitals are smaller than ten persons: that is real life."""

from __future__ import annotations

import sojourn as sj
from sojourn.study.plan import Plan

TABLE = "patients"
PURPOSE = "HMB"


def first_plan() -> Plan:
    """By sex too: two hospitals have fewer than ten women, or fewer than ten patients free of disease; in a third two
    groups of the model differ by fewer than ten."""
    return Plan(
        title="Heart disease by age, sex, exercise angina and ST depression",
        purpose=PURPOSE,
        table=TABLE,
        analyses={"model": sj.glm("disease ~ age + C(sex) + exang + oldpeak", family="binomial")},
    )


def second_plan() -> Plan:
    """Without sex, three hospitals pass; the tables show what a small cell looks like."""
    return Plan(
        title="Heart disease by age, exercise angina and ST depression",
        purpose=PURPOSE,
        table=TABLE,
        analyses={
            "model": sj.glm("disease ~ age + exang + oldpeak", family="binomial"),
            "table1": sj.describe("age", "oldpeak", by="exang"),
            "angina": sj.crosstab("exang", "disease"),
            "ages": sj.histogram("age", edges=[50, 58]),
        },
    )


def refused_plan() -> tuple[Plan, str]:
    """A handful of persons, and the same in words."""
    where = "age > 74 and sex = 'Female'"
    plan = Plan(title="Women over 74", purpose=PURPOSE, table=TABLE, where=where, analyses={"count": sj.count()})
    return plan, f"how many patients with {where}?"
