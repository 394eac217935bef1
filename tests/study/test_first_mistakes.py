"""What a newcomer writes wrongly is said before anything is sent, in words that help."""

from __future__ import annotations

import pytest

import sojourn as sj
from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import PlanError
from sojourn.study.catalogue import check
from sojourn.study.plan import Plan

DECLARED = {
    "sbp": Variable(Kind.NUMBER),
    "glucose": Variable(Kind.NUMBER, low=2, high=40),
    "sick": Variable(Kind.NUMBER, low=0, high=1),
    "age": Variable(Kind.NUMBER, low=0, high=120),
    "ward": Variable(Kind.CATEGORY, levels=("A", "B", "C")),
    "died": Variable(Kind.BOOLEAN),
}


def checked(statistic: object) -> Plan:
    """A plan of one analysis, checked against the declarations."""
    named = statistic.variables()  # type: ignore[attr-defined]
    return check(Plan(table="p", analyses={"x": statistic}, variables={n: DECLARED[n] for n in named}))  # type: ignore[dict-item]


@pytest.mark.parametrize("outcome", ["glucose"])
@pytest.mark.parametrize(
    "model", [lambda f: sj.glm(f, family="binomial"), sj.firth, lambda f: sj.elastic_net(f, family="binomial")]
)
def test_a_number_is_no_outcome_of_yes_or_no(model: object, outcome: str) -> None:
    with pytest.raises(PlanError, match=f"`{outcome}` is a number.*yes or no") as refused:
        checked(model(f"{outcome} ~ age"))  # type: ignore[operator]
    assert "family: gaussian" in refused.value.remedy


def test_zeros_and_ones_are() -> None:
    checked(sj.glm("sick ~ age", family="binomial"))
    checked(sj.firth("died ~ age"))


@pytest.mark.parametrize(
    ("statistic", "place"),
    [
        (sj.firth("ward ~ age"), "analyses.x.firth.formula"),
        (sj.firth("glucose ~ age"), "analyses.x.firth.formula"),
        (sj.lmm("sbp ~ age", weights="ward"), "analyses.x.lmm.weights"),
        (sj.glm("sbp ~ age", family="gaussian", weights="ward"), "analyses.x.glm.weights"),
    ],
)
def test_a_mistake_is_placed_where_it_was_written(statistic: object, place: str) -> None:
    with pytest.raises(PlanError) as refused:
        checked(statistic)
    assert refused.value.field == place


def test_a_range_is_declared_by_the_words_of_the_remedy() -> None:
    with pytest.raises(PlanError, match="no declared range") as refused:
        checked(sj.quantiles("sbp"))
    assert 'Federation(…, declared={"sbp": sojourn.Variable(kind="number", low=…, high=…)})' in refused.value.remedy
    asked = {"x": sj.quantiles("sbp")}
    said = Plan(table="p", analyses=asked, variables={"sbp": sj.Variable(kind="number", low=50, high=300)})  # type: ignore[arg-type]
    written = Plan(table="p", analyses=asked, variables={"sbp": {"kind": "number", "low": 50, "high": 300}})  # type: ignore[dict-item]
    assert said.hash == written.hash == check(said).hash


def test_a_declaration_that_is_none_is_refused() -> None:
    with pytest.raises(PlanError, match="no kind of variable"):
        sj.Variable(kind="integer")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="needs a kind") as refused:
        Plan(table="p", analyses={"x": sj.quantiles("sbp")}, variables={"sbp": {"low": 50, "high": 300}})  # type: ignore[dict-item]
    assert refused.value.field == "variables.sbp.kind"
