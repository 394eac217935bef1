"""Statistics by name: canonical arguments, schemas, and errors that name the field and a remedy."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sojourn as sj
from sojourn.analysis.statistic import MOST_ROUNDS
from sojourn.errors import PlanError
from sojourn.statistics import catalogue

EXAMPLES = {
    "anova": sj.anova("age", by="stage", variance="unequal"),
    "balance": sj.balance("age", "sex", by="dead"),
    "correlation": sj.correlation("age", "bmi"),
    "direct_standardisation": sj.direct_standardisation("dead", "years", "sex", {"F": 2, "M": 1}, per=1000),
    "incidence": sj.incidence("dead", "years", by=("sex", "site"), per=1000),
    "indirect_standardisation": sj.indirect_standardisation("dead", "years", "sex", {"F": 0.2, "M": 0.1}),
    "mantel_haenszel": sj.mantel_haenszel("dead", "sex", ["stage", "site"]),
    "prevalence": sj.prevalence("dead", by="sex", interval="exact"),
    "t_test": sj.t_test("age", by="sex", variance="equal"),
    "trend": sj.trend("dead", by="stage", scores=(0, 1, 4)),
    "at_least": sj.at_least(40, by=("sex", "site")),
    "count": sj.count(by=("sex", "site")),
    "crosstab": sj.crosstab("sex", "dead"),
    "describe": sj.describe("age", by="sex"),
    "histogram": sj.histogram("age", edges=range(0, 100, 10)),
    "overlap": sj.overlap(most=500),
    "profile_likelihood": sj.profile_likelihood("died ~ drug", "drug", -3, 3, "poisson", points=21),
    "quantiles": sj.quantiles("age", by="sex", q=(0.5, 0.9), precision=1),
    "elastic_net": sj.elastic_net("died ~ age", "binomial", 0.5, lambdas=(0.1, 0.2), cross_validate=True),
    "firth": sj.firth("died ~ age", "poisson", offset="w"),
    "glmm": sj.glmm("died ~ age", family="poisson"),
    "lmm": sj.lmm("hba1c ~ age", "ward", slopes="age", method="ML"),
    "glm": sj.glm("died ~ age", "binomial", "probit", weights="w"),
}


def test_every_statistic_has_a_function_an_example_and_rules():
    assert set(EXAMPLES) == set(catalogue.NAMES)
    for name, statistic in EXAMPLES.items():
        assert statistic.name == name
        assert statistic.rules
        # Two rounds a step; four more for each element of a covariance beyond the first.
        more = {"firth": MOST_ROUNDS, "lmm": 8, "glmm": 2 * MOST_ROUNDS}
        assert 1 <= statistic.rounds() <= MOST_ROUNDS + more.get(name, 0)
        documentation = getattr(sj, name).__doc__
        assert "Leaves a site" in documentation
        assert "Rounds" in documentation


@pytest.mark.parametrize("name", EXAMPLES)
def test_canonical_arguments_are_json_and_make_the_same_value(name):
    statistic = EXAMPLES[name]
    document = json.loads(json.dumps(statistic.arguments()))
    jsonschema.validate(document, catalogue.schemas()[name])
    again = catalogue.make(name, document, "analyses.x")
    assert again == statistic
    assert hash(again) == hash(statistic)
    assert again.arguments() == statistic.arguments()
    assert "site" not in statistic.variables()
    assert list(statistic.variables()) == sorted(statistic.variables())


def test_schemas_are_schemas():
    for schema in catalogue.schemas().values():
        jsonschema.Draft202012Validator.check_schema(schema)


NUMBERS = st.integers(-5, 5) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.sampled_from(["", "x", "y ~ x", "binomial", "probit", "log"])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=5), max_leaves=6
)
WORDS = ["by", "columns", "column", "edges", "q", "precision", "formula", "family", "link", "weights", "offset"]
WORDS += ["k", "most", "robust", "cluster", "alpha", "lambdas", "standardise", "variance", "events", "time", "per"]
WORDS += ["strata", "standard", "interval", "outcome", "term", "low", "high", "points", "combine", "meta", "other"]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(catalogue.NAMES), st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=4))
def test_make_accepts_nothing_that_the_schema_refuses(name, arguments):
    valid = jsonschema.Draft202012Validator(catalogue.schemas()[name]).is_valid(arguments)
    if not valid:
        with pytest.raises(PlanError) as caught:
            catalogue.make(name, arguments, "f")
        assert caught.value.field.startswith(f"f.{name}")
        assert caught.value.remedy


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["count", "crosstab", "describe"]), st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=2))
def test_make_refuses_nothing_that_the_schema_accepts(name, arguments):
    if jsonschema.Draft202012Validator(catalogue.schemas()[name]).is_valid(arguments):
        assert catalogue.make(name, arguments).name == name


@pytest.mark.parametrize(
    ("name", "arguments", "field", "remedy"),
    [
        ("glmn", {}, "analyses.m", "`glm`"),
        ("glm", {}, "analyses.m.glm", "`formula`"),
        ("glm", {"formula": "y ~ x", "famly": "binomial"}, "analyses.m.glm", "`family`"),
        ("glm", {"formula": "y ~ x", "family": "binomal"}, "analyses.m.glm.family", "`binomial`"),
        ("glm", {"formula": 3}, "analyses.m.glm.formula", "a text"),
        ("count", {"by": 3}, "analyses.m.count.by", "a text or a list"),
        ("count", {"by": ["a", "b", "c", "d"]}, "analyses.m.count.by", "at most 3"),
        ("count", {"by": ["a", "a"]}, "analyses.m.count.by", "once"),
        ("at_least", {"k": 15}, "analyses.m.at_least.k", "multiple of 10"),
        ("at_least", {"k": 20_000}, "analyses.m.at_least.k", "multiple of 10"),
        ("at_least", {}, "analyses.m.at_least", "`k`"),
        ("crosstab", {"columns": ["a"]}, "analyses.m.crosstab.columns", "2 to 3"),
        ("describe", {"columns": ["a", 1]}, "analyses.m.describe.columns[1]", "a text"),
        ("histogram", {"column": "a", "edges": [1, 1]}, "analyses.m.histogram.edges", "increasing"),
        ("histogram", {"column": "a", "edges": [1, True]}, "analyses.m.histogram.edges[1]", "a number"),
        ("histogram", {"column": "a", "edges": [1, float("nan")]}, "analyses.m.histogram.edges[1]", "a number"),
        ("histogram", {"column": "a", "edges": [1]}, "analyses.m.histogram.edges", "2 to"),
    ],
)
def test_errors_name_the_field_and_a_remedy(name, arguments, field, remedy):
    with pytest.raises(PlanError) as caught:
        catalogue.make(name, arguments, "analyses.m")
    assert caught.value.field == field
    assert remedy in caught.value.remedy


def test_functions_say_the_same():
    with pytest.raises(PlanError) as caught:
        sj.describe("age", by=3)
    assert caught.value.field == "describe.by"
    with pytest.raises(PlanError):
        sj.histogram("age", edges="1,2")
