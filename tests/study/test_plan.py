"""A plan is one frozen value with one hash, from Python, YAML or JSON; anything else is refused by name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable
from sojourn.errors import PlanError
from sojourn.statistics.catalogue_counts import count, describe
from sojourn.statistics.catalogue_models import glm
from sojourn.study.plan import DEFAULT_MIN_SITES, Plan
from sojourn.study.purpose import SHORT_NAMES

WRITTEN = """\
title: Age and the heart
purpose: HMB
table: patients
where: age >= 18 and sex in ('Female', 'Male')
variables:
  age: {kind: number, low: 0, high: 120, unit: years}
  sex: {kind: category, levels: [Female, Male]}
analyses:
  patients:
    count: {by: sex}
  table1:
    describe: {columns: [age, chol], by: sex}
  model:
    glm:
      formula: disease ~ age + C(sex) + age:chol
      family: binomial
min_sites: 4
stragglers: 3600
"""


SAVED = """\
title: Age and the heart
purpose: HMB
table: patients
where: age >= 18 and sex in ('Female', 'Male')
variables:
  age:
    kind: number
    low: 0
    high: 120
    unit: years
  sex:
    kind: category
    levels: [Female, Male]
analyses:
  patients:
    count:
      by: [sex]
  table1:
    describe:
      columns: [age, chol]
      by: [sex]
  model:
    glm:
      formula: disease ~ age + C(sex) + age:chol
      family: binomial
min_sites: 4
stragglers: 3600
"""


def plan(**changes: Any) -> Plan:
    words: dict[str, Any] = {
        "title": "Age and the heart",
        "purpose": "HMB",
        "table": "patients",
        "where": "age >= 18 and sex in ('Female', 'Male')",
        "variables": {
            "age": Variable(Kind.NUMBER, low=0, high=120, unit="years"),
            "sex": Variable(Kind.CATEGORY, levels=("Female", "Male")),
        },
        "analyses": {
            "patients": count(by="sex"),
            "table1": describe("age", "chol", by="sex"),
            "model": glm("disease ~ age + C(sex) + age:chol", family="binomial"),
        },
        "min_sites": 4,
        "stragglers": 3600,
    }
    return Plan(**{**words, **changes})


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_python_and_yaml_and_json_give_one_hash(tmp_path: Path) -> None:
    ours = plan()
    assert Plan.load(written(tmp_path, WRITTEN)).hash == ours.hash
    assert Plan.load(str(written(tmp_path, json.dumps(ours.to_dict())))).hash == ours.hash
    assert Plan.from_dict(json.loads(ours.canonical())).hash == ours.hash
    ours.save(tmp_path / "saved.yaml")
    assert Plan.load(tmp_path / "saved.yaml").hash == ours.hash
    assert len(ours.hash) == 64


def test_a_saved_plan_reads_well(tmp_path: Path) -> None:
    plan().save(tmp_path / "saved.yaml")
    assert (tmp_path / "saved.yaml").read_text(encoding="utf-8") == SAVED


def test_the_hash_knows_meaning_not_writing() -> None:
    ours = plan()
    same = [
        plan(where="age>=18   AND sex in (\"Female\",'Male')"),
        plan(purpose="DUO:0000006"),
        plan(title="  Age and the heart "),
        plan(analyses=dict(reversed(ours.analyses.items()))),
        plan(variables=dict(reversed(ours.variables.items()))),
        plan(analyses={**ours.analyses, "model": glm("disease~age+C( sex )+ age :chol", family="binomial")}),
        plan(missing="complete", aggregation="auto"),
    ]
    assert {other.hash for other in same} == {ours.hash}


@pytest.mark.parametrize(
    "changes",
    [
        {"where": "age >= 19"},
        {"where": ""},
        {"title": "Another"},
        {"purpose": "GRU"},
        {"table": "persons"},
        {"min_sites": None},
        {"min_sites": 5},
        {"stragglers": "abort"},
        {"missing": "by analysis"},
        {"aggregation": "clear"},
        {"variables": {}},
        {"analyses": {"patients": count(by="sex")}},
        {"analyses": {"patients": count()}},
    ],
)
def test_every_word_counts(changes: dict[str, Any]) -> None:
    assert plan(**changes).hash != plan().hash
    assert plan().replace(**changes).hash == plan(**changes).hash


def test_defaults_are_not_written() -> None:
    draft = Plan(table="patients", analyses={"n": count()})
    assert draft.to_dict() == {"table": "patients", "analyses": {"n": {"count": {}}}}
    assert draft.least_sites == DEFAULT_MIN_SITES == 3
    assert plan().least_sites == 4


def test_a_document_may_leave_words_empty(tmp_path: Path) -> None:
    text = "title:\ntable: patients\nwhere:\nvariables:\nmin_sites:\nanalyses:\n  n:\n    count:\n"
    assert Plan.load(written(tmp_path, text)).hash == Plan(table="patients", analyses={"n": count()}).hash


def test_names_are_the_columns_of_where_and_analyses() -> None:
    draft = Plan(
        table="patients",
        where="weight is not null and age > 18",
        analyses={"a": count(by=["sex", "site"]), "m": glm("chol ~ age + C(site) + log(bmi)")},
    )
    assert draft.names == ("age", "bmi", "chol", "sex", "weight")


def test_a_plan_is_frozen() -> None:
    ours = plan()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ours.title = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        ours.analyses["other"] = count()  # type: ignore[index]


@pytest.mark.parametrize("purpose", [*SHORT_NAMES, *SHORT_NAMES.values(), "DUO:0000037"])
def test_purposes(purpose: str) -> None:
    assert plan(purpose=purpose).purpose in {*SHORT_NAMES, "DUO:0000037"}


def test_submission_demands_a_purpose_and_declarations() -> None:
    with pytest.raises(PlanError, match="purpose"):
        plan(purpose="").check_for_submit()
    with pytest.raises(PlanError, match="`chol` is not declared"):
        plan().check_for_submit()
    known = {name: Variable(Kind.NUMBER) for name in ("chol", "disease")}
    plan(variables={**plan().variables, **known}).check_for_submit()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"cohort": {}}, ""),
    ({"tabel": "x"}, "Did you mean `table`"),
    ({3: "x"}, ""),
    ({"table": None}, "table"),
    ({"table": "a table"}, "table"),
    ({"table": "t; drop"}, "table"),
    ({"table": ["t"]}, "table"),
    ({"title": "x" * 201}, "title"),
    ({"title": "a\nb"}, "title"),
    ({"title": "a\u202eb"}, "title"),
    ({"title": 3}, "title"),
    ({"purpose": "HBM"}, "Did you mean `HMB`"),
    ({"purpose": "profit"}, "purpose"),
    ({"purpose": ["HMB"]}, "purpose"),
    ({"where": "age > "}, "where"),
    ({"where": {"age": 1}}, "where"),
    ({"where": ["age > 1"]}, "where"),
    ({"variables": []}, "variables"),
    ({"variables": {"site": {"kind": "category"}}}, "variables.site"),
    ({"variables": {"age": {"kind": "numbre"}}}, "variables.age.kind"),
    ({"variables": {"age": {"kind": "number", "lowest": 0}}}, "variables.age"),
    ({"variables": {"age": {"kind": "number", "low": float("nan")}}}, "variables.age.low"),
    ({"variables": {"a\x00": {"kind": "number"}}}, "variables"),
    ({"variables": {"": {"kind": "number"}}}, "variables"),
    ({"variables": {3: {"kind": "number"}}}, "variables"),
    ({"variables": {"sex": {"kind": "category", "levels": ["e\u0301"]}}}, "variables.sex"),
    ({"analyses": {}}, "analyses"),
    ({"analyses": []}, "analyses"),
    ({"analyses": None}, "analyses"),
    ({"analyses": {"n": "count"}}, "analyses.n"),
    ({"analyses": {"n": {}}}, "analyses.n"),
    ({"analyses": {"n": {"count": {}, "describe": {}}}}, "analyses.n"),
    ({"analyses": {"n": {"cuont": {}}}}, "Did you mean `count`"),
    ({"analyses": {"n": {"count": []}}}, "analyses.n.count"),
    ({"analyses": {"n": {"count": {"buy": "sex"}}}}, "analyses.n.count"),
    ({"analyses": {"N": {"count": {}}}}, "analyses"),
    ({"analyses": {"1st": {"count": {}}}}, "analyses"),
    ({"analyses": {"a" * 41: {"count": {}}}}, "analyses"),
    ({"analyses": {"../x": {"count": {}}}}, "analyses"),
    ({"analyses": {5: {"count": {}}}}, "analyses"),
    ({"analyses": {f"a{i}": {"count": {}} for i in range(51)}}, "analyses"),
    ({"analyses": {"m": {"glm": {"formula": "y ~ __import__('os')"}}}}, "analyses.m.glm.formula"),
    ({"min_sites": 0}, "min_sites"),
    ({"min_sites": 1.5}, "min_sites"),
    ({"min_sites": True}, "min_sites"),
    ({"min_sites": "3"}, "min_sites"),
    ({"min_sites": 10**9}, "min_sites"),
    ({"stragglers": "never"}, "stragglers"),
    ({"stragglers": -1}, "stragglers"),
    ({"stragglers": True}, "stragglers"),
    ({"stragglers": 1.5}, "stragglers"),
    ({"missing": "drop"}, "missing"),
    ({"missing": False}, "missing"),
    ({"aggregation": "open"}, "aggregation"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=lambda value: ascii(value)[:50])
def test_what_is_no_plan_is_refused_by_field(change: dict[Any, Any], words: str) -> None:
    document: dict[Any, Any] = {"table": "patients", "analyses": {"n": {"count": {}}}, **change}
    with pytest.raises(PlanError) as refused:
        Plan.from_dict(document)
    assert words in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize("document", [None, [], "table: x", 3])
def test_a_plan_is_a_mapping(document: object) -> None:
    with pytest.raises(PlanError):
        Plan.from_dict(document)


def test_unknown_changes_are_refused() -> None:
    with pytest.raises(PlanError, match="Did you mean `title`"):
        plan().replace(titel="x")


def test_an_analysis_is_a_statistic() -> None:
    with pytest.raises(PlanError, match="no statistic"):
        Plan(table="patients", analyses={"n": {"count": {}}})  # type: ignore[dict-item]
    with pytest.raises(PlanError, match="analyses"):
        Plan(table="patients", analyses=[count()])  # type: ignore[arg-type]


BOMB = "a: &a [x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
BROKEN = {
    "twice": WRITTEN + "title: Another\n",
    "twice within": WRITTEN.replace("  model:", "  table1:"),
    "twice in json": '{"table": "a", "table": "b", "analyses": {"n": {"count": {}}}}',
    "anchors": WRITTEN.replace("table: patients", "table: &t patients"),
    "aliases": BOMB,
    "tags": WRITTEN.replace("patients\nwhere", "!!python/object/apply:os.getcwd []\nwhere"),
    "deep": "table: " + "[" * 5_000 + "]" * 5_000,
    "two documents": WRITTEN + "---\n" + WRITTEN,
    "no yaml": "table: [",
    "control": "table: pati\x07ents",
    "a date that is none": WRITTEN.replace("Age and the heart", "2024-99-99"),
    "empty": "",
    "long": "# " + "x" * 1_000_000,
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError) as refused:
        Plan.load(written(tmp_path, BROKEN[name]))
    assert refused.value.remedy


def test_a_repeated_word_is_named_by_its_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"line 1.*twice"):
        Plan.load(written(tmp_path, BROKEN["twice"]))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read"):
        Plan.load(tmp_path / "none.yaml")


DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
WORDS = st.sampled_from([entry.name for entry in dataclasses.fields(Plan)])


@given(st.dictionaries(WORDS, DOCUMENTS, max_size=5))
@settings(deadline=None)
def test_any_document_is_a_plan_or_refused(change: dict[str, Any]) -> None:
    document = {"table": "patients", "analyses": {"n": {"count": {"by": "sex"}}}, **change}
    try:
        read = Plan.from_dict(document)
    except PlanError:
        return
    assert Plan.from_dict(read.to_dict()).hash == read.hash
