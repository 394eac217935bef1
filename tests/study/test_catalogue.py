"""A draft is completed from what the sites publish, and checked as hub and node check it again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import PlanError, WhereError
from sojourn.statistics.catalogue_counts import count, describe, histogram
from sojourn.statistics.catalogue_models import glm
from sojourn.study.catalogue import Dataset, check, complete
from sojourn.study.plan import Plan

AGE = Variable(Kind.NUMBER, low=18, high=90, unit="years")
SEX = Variable(Kind.CATEGORY, levels=("Female", "Male"), harmless=("Female", "Male"))
ILL = Variable(Kind.BOOLEAN)


def dataset(site: str, table: str = "patients", **changes: Variable) -> Dataset:
    return Dataset(site, table, {"age": AGE, "sex": SEX, "ill": ILL, **changes})


def plan(**changes: Any) -> Plan:
    analyses = {"model": glm("ill ~ age + C(sex) + C(site)", family="binomial")}
    return Plan(**{"table": "patients", "analyses": analyses, **changes})


def test_a_draft_gets_the_declarations_of_what_it_names() -> None:
    full = complete(plan(where="age > 20"), [dataset("uk", bmi=AGE), dataset("sg")])
    assert dict(full.variables) == {"age": AGE, "sex": SEX, "ill": ILL}
    assert check(Plan.from_dict(full.to_dict()), ("sg", "uk")).hash == full.hash


def test_declarations_are_united() -> None:
    uk = Variable(Kind.CATEGORY, levels=("x", "a"), harmless=("x", "a"), sensitive=("x",))
    sg = Variable(Kind.CATEGORY, levels=("b", "a"), harmless=("a",), sensitive=("b",))
    wide, open_end = Variable(Kind.NUMBER, low=-1, high=100), Variable(Kind.NUMBER, low=0, unit="years")
    draft = plan(analyses={"t": describe("age", by="sex"), "n": count(by="sex")})
    full = complete(draft, [dataset("uk", sex=uk, age=wide), dataset("sg", sex=sg, age=open_end)])
    assert full.variables["sex"] == Variable(
        Kind.CATEGORY, levels=("b", "a", "x"), harmless=("a",), sensitive=("b", "x")
    )
    assert full.variables["age"] == Variable(Kind.NUMBER, low=-1, high=None, unit="years")


def test_areas_and_what_never_occurs_are_united_by_the_strictest() -> None:
    never = (("a", "sex", "m"), ("b", "sex", "f"))
    uk = Variable(Kind.CATEGORY, ("a", "b"), never=never, area="custom", populations=(9, 5))
    sg = Variable(Kind.CATEGORY, ("b", "c"), never=(("b", "sex", "f"),), area="custom", populations=(3, 7))
    draft = plan(analyses={"n": count(by="sex")})
    full = complete(draft, [dataset("uk", sex=uk), dataset("sg", sex=sg)])
    assert full.variables["sex"] == Variable(
        Kind.CATEGORY, ("b", "c", "a"), never=(("b", "sex", "f"),), area="custom", populations=(3, 7, 9)
    )
    assert Plan.from_dict(full.to_dict()).hash == full.hash
    with pytest.raises(PlanError):
        complete(draft, [dataset("uk", sex=uk), dataset("sg", sex=Variable(Kind.CATEGORY, ("a", "b")))])


LEVELS = st.lists(st.sampled_from("abcdef"), min_size=1, unique=True).map(tuple)


@st.composite
def categories(draw: st.DrawFn) -> Variable:
    levels = draw(LEVELS)
    harmless, sensitive = (tuple(draw(st.sets(st.sampled_from(levels)))) for _ in range(2))
    return Variable(Kind.CATEGORY, levels=levels, harmless=harmless, sensitive=sensitive)


@given(st.dictionaries(st.sampled_from(["uk", "sg", "us", "de"]), categories(), min_size=1), st.randoms())
def test_a_union_holds_every_level_is_harmless_only_for_all_and_knows_no_order_of_sites(
    published: dict[str, Variable], random: Any
) -> None:
    datasets = [dataset(site, sex=variable) for site, variable in published.items()]
    full = complete(plan(analyses={"n": count(by="sex")}), datasets)
    sex = full.variables["sex"]
    assert set(sex.levels) == {level for variable in published.values() for level in variable.levels}
    assert set(sex.harmless) == set.intersection(*(set(variable.harmless) for variable in published.values()))
    assert set(sex.sensitive) == {level for variable in published.values() for level in variable.sensitive}
    assert sex.levels[0] == published[min(published)].levels[0]
    random.shuffle(datasets)
    assert complete(plan(analyses={"n": count(by="sex")}), datasets).hash == full.hash


def test_what_the_plan_declares_wins() -> None:
    own = Variable(Kind.CATEGORY, levels=("Male", "Female"))
    full = complete(plan(variables={"sex": own}), [dataset("uk"), dataset("sg")])
    assert full.variables["sex"] == own


@pytest.mark.parametrize(
    ("datasets", "changes", "words"),
    [
        ([dataset("uk")], {"analyses": {"t": describe("agee")}}, "Did you mean `age`"),
        ([dataset("uk")], {"table": "patient"}, "Did you mean `patients`"),
        ([dataset("uk"), dataset("sg", "visits")], {}, "sg lacks the table"),
        ([], {}, "No site publishes"),
        ([dataset("uk", bmi=AGE), dataset("sg"), dataset("us")], {"where": "bmi > 1"}, "sg, us lack the column `bmi`"),
        ([dataset("uk"), dataset("sg", age=ILL)], {}, "kind of `age` differs: `boolean` at sg; `number` at uk"),
        ([dataset("uk")], {"variables": {"age": ILL}}, "kind of `age` differs: `number` at uk; `boolean` at the plan"),
        (
            [dataset("uk"), dataset("sg", age=Variable(Kind.NUMBER, unit="months"))],
            {},
            "unit of `age` differs: `months` at sg; `years` at uk",
        ),
        ([dataset("uk")], {"analyses": {"m": glm("ill ~ C(sex, Treatment('X'))")}}, "not a declared level"),
        ([dataset("uk")], {"analyses": {"m": glm("sex ~ age")}}, "analyses.m.glm"),
        ([dataset("uk")], {"analyses": {"h": histogram("sex", edges=[0, 1])}}, "analyses.h.histogram"),
        ([dataset("uk")], {"where": "sex = 'male'"}, "Did you mean `Male`"),
        ([dataset("uk")], {"where": "site = 'uk'"}, "Choose the sites at submit"),
    ],
)
def test_what_does_not_fit_is_refused(datasets: list[Dataset], changes: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError) as refused:
        complete(plan(**changes), datasets)
    assert words in str(refused.value)
    assert refused.value.remedy


def test_a_plan_that_is_not_complete_does_not_pass() -> None:
    with pytest.raises(PlanError, match="`age` is not declared"):
        check(plan(variables={"sex": SEX, "ill": ILL}))


def test_hub_and_node_check_what_the_researcher_declared() -> None:
    declared = {"age": AGE, "sex": SEX, "ill": ILL}
    with pytest.raises(WhereError):
        check(plan(variables=declared, where="age = 'old'"))
    reference = {"m": glm("ill ~ C(site, Treatment('uk'))")}
    assert check(plan(variables=declared, analyses=reference), ("uk", "sg"))
    with pytest.raises(PlanError, match="not a declared level"):
        check(plan(variables=declared, analyses=reference), ("us", "sg"))


def test_a_dataset_is_what_a_site_publishes() -> None:
    published = {"table": "patients", "columns": {"age": {"kind": "number", "low": 18.0}}}
    assert Dataset.from_dict("uk", published) == Dataset("uk", "patients", {"age": Variable(Kind.NUMBER, low=18.0)})
    assert Dataset.from_dict("uk", dataset("uk").to_dict()) == dataset("uk")


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"table": "t"},
        {"table": 3, "columns": {}},
        {"table": "t", "columns": []},
        {"table": "t", "columns": {}, "rows": 1_000},
        {"table": "t", "columns": {"age": {"kind": "numbre"}}},
        {"table": "t", "columns": {}, "row_is_person": "yes"},
    ],
)
def test_anything_else_is_not_a_dataset(document: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        Dataset.from_dict("uk", document)


def test_a_core_is_published_and_read() -> None:
    whole = Dataset("uk", "patients", {"age": AGE, "sex": SEX}, core=("age",))
    assert Dataset.from_dict("uk", whole.to_dict()) == whole
    with pytest.raises(PlanError):
        Dataset.from_dict("uk", {**whole.to_dict(), "core": ["height"]})
