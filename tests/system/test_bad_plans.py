"""Every plan that cannot run says so before anything is sent, names the place and the remedy, and harms nothing."""

from __future__ import annotations

import pytest
from small_frames import SITES, federation, frame, plan, silent, still_works

import sojourn as sj
from sojourn.errors import FormulaError, PlanError, WhereError
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

ONE = "analyses: {n: {count: {}}}"


@pytest.fixture
def sound(one_federation):
    """Three sound sites, looked at once after all these tests, of which none may make a study."""
    return one_federation


def fails(sound: Federation, asked: Plan, kind: type[PlanError] = PlanError, sites: object = "all") -> PlanError:
    """The error of a submission that the hub never sees: no study is made."""
    before = len(sound.hub.store.live_studies())
    with pytest.raises(kind) as caught:
        sound.project().submit(asked, sites=sites)
    assert caught.value.remedy.endswith((".", "?"))
    assert len(sound.hub.store.live_studies()) == before
    silent(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("text", "words", "remedy"),
    [
        ("table: [patients", "cannot be read at line", "sojourn study check"),
        ("- table", "mapping of words", "analyses"),
        ("", "mapping of words", "analyses"),
        (f"tabel: patients\n{ONE}", "Unknown word `tabel`", "Did you mean `table`?"),
        ("table: patients\nanalyses: {a: {count: {}}, a: {count: {by: sex}}}", "a word stands twice", ""),
        ("table: patients", "analyses", ""),
        ("table: patients\nanalyses: {}", "1 to 50 analyses", ""),
        ("table: patients\nanalyses: {n: {cuont: {}}}", "cuont", "Did you mean `count`?"),
        ("table: patients\nanalyses: {n: {count: {By: sex}}}", "By", "Did you mean `by`?"),
        ("table: patients\nanalyses: {n: {count: {by: [a, b, c, d]}}}", "by", ""),
        ("table: patients\nanalyses: {N n: {count: {}}}", "no name of an analysis", "small letter"),
        (f"table: patients\npurpose: fun\n{ONE}", "purpose", "HMB"),
        (f"table: patients\naggregation: blind\n{ONE}", "aggregation", "auto, clear, masked"),
        (f"table: patients\nmissing: impute\n{ONE}", "missing", "complete"),
        (f"table: patients\nmin_sites: 0\n{ONE}", "min_sites", "whole number from 1"),
        (f"table: patients\nmin_sites: three\n{ONE}", "min_sites", "whole number from 1"),
        (f"table: patients\nstragglers: never\n{ONE}", "stragglers", "wait, abort"),
        (f"table: ../etc/passwd\n{ONE}", "no name of a table", "letters"),
        (f"table: &a patients\n{ONE}", "anchors", "Write the value out"),
        (f"table: !!python/object/apply:os.system [id]\n{ONE}", "cannot be read", ""),
        ("table: patients\nanalyses: {m: {glm: {formula: 'y ~ '}}}", "analyses.m.glm.formula", ""),
        ("table: patients\nanalyses: {h: {histogram: {column: age, edges: [3, 2]}}}", "analyses.h", "increasing"),
    ],
)
def test_a_malformed_file(tmp_path, text, words, remedy):
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PlanError) as caught:
        sj.Plan.load(path)
    assert words in str(caught.value) + caught.value.remedy
    assert remedy in str(caught.value) + caught.value.remedy
    assert caught.value.remedy


def test_a_malformed_plan_in_python():
    for wrong in (
        {"analyses": {}},
        {"analyses": {f"a{i}": sj.count() for i in range(51)}},
        {"analyses": {"n": "count"}},
        {"analyses": {"n": sj.count}},
        {"table": 3},
        {"purpose": "curiosity"},
        {"aggregation": "none"},
        {"where": 18},
        {"min_sites": True},
        {"title": "two\nlines"},
    ):
        with pytest.raises(PlanError) as caught:
            sj.Plan(**{"table": "patients", "analyses": {"n": sj.count()}, **wrong})
        assert caught.value.remedy, wrong
    for call in (lambda: sj.count(by=7), lambda: sj.describe(), lambda: sj.histogram("age", edges="auto")):
        with pytest.raises(PlanError):
            call()


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ agee",
        "y ~ age + C(stag)",
        "y ~ C(sex, Treatment('X'))",
        "y ~ sqrt(sex)",
        "sex ~ age",
    ],
)
def test_a_formula_with_a_typo(sound, formula):
    error = fails(sound, plan(m=sj.glm(formula)))
    assert "analyses.m" in str(error) or "variables." in str(error)


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ __import__('os').system('id')",
        "y ~ {age.mean()}",
        "y ~ I(age**40)",
        "y ~ np.log(age)",
        "y ~ age if True else sex",
        "y ~ lambda: 0",
        "y ~ age[0]",
        "y ~ open(cost)",
        "y ~ (age",
        "y = age",
        "~ age",
        "",
        "y ~ " + "+".join(["age"] * 2000),
    ],
)
def test_code_in_a_formula_is_no_formula(formula):
    with pytest.raises(PlanError) as caught:
        sj.glm(formula)
    assert caught.value.remedy
    if 0 < len(formula) < 2000:
        assert isinstance(caught.value, FormulaError)


def test_an_unknown_column_is_named_with_the_nearest(sound):
    error = fails(sound, plan(d=sj.describe("agee")))
    assert "`agee`" in str(error) and error.remedy == "Did you mean `age`?"
    error = fails(sound, plan("sxe = 'F'"))
    assert "`sxe`" in str(error) and error.remedy == "Did you mean `sex`?"


def test_columns_that_no_dictionary_has_cannot_be_named(sound):
    for where in ("person_id = 'x'", "note = 'x'", "site = 'amber'"):
        error = fails(sound, plan(where))
        assert "person_id" not in error.remedy and "note" not in error.remedy
    fails(sound, plan(n=sj.count(by="note")))


@pytest.mark.parametrize(
    "where",
    [
        "age",
        "age >",
        "age >= eighteen",
        "age >= 18; drop table patients",
        "len(note) = 3",
        "age >= 18 or 1 = 1",
        "sex = F",
        "age between 60 and",
        "rowid = 1",
        "age >= 18 --",
        "age like '1%'",
    ],
)
def test_a_where_outside_the_grammar(sound, where):
    if where == "rowid = 1":
        fails(sound, plan(where))
        return
    with pytest.raises(WhereError, match=r"^where: ") as caught:
        plan(where)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("where", "remedy"),
    [
        ("sex >= 'F'", "Use `=`, `!=` or `in`."),
        ("sex = 'Female'", "Known here"),
        ("age = '60'", "number"),
        ("smoker = 1", "true or false"),
        ("age between 70 and 60", "smaller first"),
    ],
)
def test_a_where_that_does_not_fit_the_column(sound, where, remedy):
    assert remedy in fails(sound, plan(where), WhereError).remedy


def test_more_sites_than_there_are(sound):
    error = fails(sound, plan().replace(min_sites=4))
    assert "4 sites" in str(error) and "min_sites" in str(error)
    error = fails(sound, plan().replace(min_sites=2), sites=["amber"])
    assert "amber" in str(error)


def test_sites_that_do_not_exist(sound):
    assert "amber, beryl, coral" in fails(sound, plan(), sites=["ambar"]).remedy
    fails(sound, plan(), sites="amber")
    fails(sound, plan(), sites=[])


def test_a_plan_needs_a_purpose(sound):
    assert "HMB" in fails(sound, plan().replace(purpose="")).remedy


def test_a_table_that_nobody_has(sound):
    error = fails(sound, sj.Plan(table="patient", purpose="HMB", analyses={"n": sj.count()}))
    assert "`patient`" in str(error) and "patients" in error.remedy


def test_a_column_that_one_site_lacks_names_the_site():
    frames = {site: frame(site) for site in SITES}
    frames["coral"] = frames["coral"].drop(columns="stage")
    with federation(frames) as one:
        error = fails(one, plan(n=sj.count(by="stage")))
        assert "coral lacks the column `stage`" in str(error) and "amber" not in str(error)
        table = one.project().submit(plan(n=sj.count(by="stage")), sites=["amber", "beryl"]).wait(30)["n"].table
        assert len(table) == 3
        still_works(one)


def test_columns_of_two_kinds_name_the_sites():
    frames = {site: frame(site) for site in SITES}
    frames["beryl"]["age"] = frames["beryl"]["age"].astype(str) + " years"
    frames["beryl"]["age"] = frames["beryl"]["age"].str.slice(0, 1)
    with federation(frames) as one:
        error = fails(one, plan(d=sj.describe("age")))
        assert "`number` at amber, coral" in str(error) and "`category` at beryl" in str(error)
        still_works(one)


def test_a_site_without_the_table_is_not_asked_unless_it_is_named():
    sites = {site: {"patients": frame(site)} for site in SITES} | {"dune": {"visits": frame("dune")}}
    with Federation(sites) as one:
        assert set(one.run(plan())["n"].sites) == set(SITES)
        error = fails(one, plan(), sites=["amber", "beryl", "dune"])
        assert "dune lacks the table `patients`" in str(error)
        still_works(one)


@pytest.mark.parametrize(("change", "word"), [({"missing": "by analysis"}, "missing")])
def test_what_this_version_lacks_is_refused_with_what_to_write_instead(sound, change, word):
    error = fails(sound, plan().replace(**change))
    assert error.field == word and f"`{word}: " in error.remedy
