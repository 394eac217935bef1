"""What must hold of a GLM whatever the data: any split gives one answer; estimates that do not exist say why."""

import numpy as np
import pytest
from federated import BOOLEAN, NUMBER, category, column, federation, population, run
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.variable import Kind, Variable, with_site
from sojourn.errors import ConvergenceError, DisclosureRefused, FormulaError, PlanError, SiteRefused
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_models import glm

VARIABLES = {"x": NUMBER, "y": NUMBER, "w": NUMBER, "b": BOOLEAN, "c": category("k", "l", "m")}


def rows(n=240, seed=1):
    rng = np.random.default_rng(seed)
    x, c, w, b = rng.normal(size=n), rng.integers(0, 3, n), rng.integers(0, 3, n), rng.random(n) < 0.5
    y = (rng.random(n) < 1 / (1 + np.exp(-0.7 * x - 0.5 * (c == 1)))).astype(float)
    return {"x": x, "y": y, "w": w.astype(float), "b": b, "c": np.array(list("klm"))[c]}


def split(columns, places, sites):
    parts = {f"s{i}": {name: values[places == i] for name, values in columns.items()} for i in range(sites)}
    return federation(VARIABLES, parts)


@settings(max_examples=25, deadline=None)
@given(
    places=st.lists(st.integers(0, 3), min_size=240, max_size=240),
    order=st.randoms(use_true_random=False),
    formula=st.sampled_from(["y ~ x + c", "y ~ x * b", "y ~ 0 + x + c", "y ~ x + I(x**2) + c:x"]),
    family=st.sampled_from(["gaussian", "binomial"]),
)
def test_any_split_in_any_order_gives_the_same_answer(places, order, formula, family):
    columns = rows()
    permutation = list(range(240))
    order.shuffle(permutation)
    shuffled = {name: values[permutation] for name, values in columns.items()}
    pooled, _ = run(glm(formula, family), split(columns, np.zeros(240), 1))
    apart, _ = run(glm(formula, family), split(shuffled, np.array(places), 4))
    errors = column(pooled, "std_error")
    assert np.max(np.abs(column(apart, "estimate") - column(pooled, "estimate")) / errors) < 1e-9
    assert column(apart, "std_error") == pytest.approx(errors, rel=1e-8)
    assert apart.facts["log_likelihood"] == pytest.approx(pooled.facts["log_likelihood"], rel=1e-10)


def test_a_covariate_far_from_zero_loses_nothing():
    columns = rows()
    near, _ = run(glm("y ~ x + c", "binomial"), split(columns, np.arange(240) % 3, 3))
    exact = np.round(columns["x"] * 1024) / 1024  # so that adding 1e9 rounds nothing
    near, _ = run(glm("y ~ x + c", "binomial"), split({**columns, "x": exact}, np.arange(240) % 3, 3))
    far, _ = run(glm("y ~ x + c", "binomial"), split({**columns, "x": exact + 1e9}, np.arange(240) % 3, 3))
    assert column(far, "estimate")[1:] == pytest.approx(column(near, "estimate")[1:], rel=1e-11)
    assert column(far, "std_error")[1:] == pytest.approx(column(near, "std_error")[1:], rel=1e-9)


def test_an_empty_site_and_rows_without_weight_change_nothing():
    columns = rows()
    kept = {name: values[columns["w"] > 0] for name, values in columns.items()}
    model = glm("y ~ x + c", "binomial", weights="w")
    expected, _ = run(model, split(kept, np.zeros(len(kept["x"])), 1))
    empty, _ = run(model, split(kept, np.arange(len(kept["x"])) % 2, 3))
    idle = {name: np.concatenate([values, values[:50]]) for name, values in columns.items()}
    idle["w"][240:] = 0  # a site where no row has weight
    without, _ = run(model, split(idle, np.r_[np.zeros(240), np.ones(50)], 2))
    for found in (empty, without):
        assert column(found, "estimate") == pytest.approx(column(expected, "estimate"), rel=1e-9, abs=1e-12)
        assert found.facts["n"] == expected.facts["n"]
        assert found.facts["aic"] == pytest.approx(expected.facts["aic"], rel=1e-12)


def test_a_site_with_one_level_is_no_obstacle():
    columns = rows()
    places = (columns["c"] == "m").astype(int)
    pooled, _ = run(glm("y ~ x + c", "binomial"), split(columns, np.zeros(240), 1))
    apart, _ = run(glm("y ~ x + c", "binomial"), split(columns, places, 2))
    assert column(apart, "estimate") == pytest.approx(column(pooled, "estimate"), rel=1e-9)


@pytest.mark.parametrize("distance", [0.0, 3.0])
def test_separation_names_the_term(distance):
    columns = rows()
    columns["b"] = columns["y"] > 0 if distance == 0 else (columns["y"] > 0) & (columns["x"] > 0.5)
    with pytest.raises(ConvergenceError, match=r"b\[T.True\] grows without end") as caught:
        run(glm("y ~ x + b", "binomial"), split(columns, np.arange(240) % 3, 3))
    assert "Leave the term out" in caught.value.remedy


def test_separation_of_a_few_among_many_is_not_taken_for_convergence():
    rng = np.random.default_rng(2)
    n = 20_000
    b = np.arange(n) < 12
    columns = {"x": rng.normal(size=n), "y": np.where(b, 1.0, rng.random(n) < 0.4), "b": b}
    with pytest.raises(ConvergenceError, match=r"b\[T.True\]"):
        run(glm("y ~ x + b", "binomial"), federation({"x": NUMBER, "y": NUMBER, "b": BOOLEAN}, {"s": columns}))


@pytest.mark.parametrize("change", ["constant", "constant far out", "copy", "empty level"])
def test_collinear_terms_are_named(change):
    columns = rows()
    name, formula = "w", "y ~ x + w"
    if change == "empty level":
        columns["c"] = np.where(columns["c"] == "m", "k", columns["c"])
        name, formula = r"c\[T.m\]", "y ~ x + c"
    else:
        columns["w"] = {
            "constant": np.full(240, 0.1),
            "constant far out": np.full(240, 1e9 + 0.1),
            "copy": 2 * columns["x"],
        }[change]
    with pytest.raises(ConvergenceError, match=name) as caught:
        run(glm(formula, "binomial"), split(columns, np.arange(240) % 3, 3))
    assert "Leave these terms out" in caught.value.remedy


def test_more_terms_than_rows_and_a_perfect_fit_are_refused():
    small = {name: values[:3] for name, values in rows().items()}
    with pytest.raises(ConvergenceError, match="as many terms as"):
        run(glm("y ~ x + c"), split(small, np.zeros(3), 1))
    exact = {**rows(), "y": np.ones(240)}
    with pytest.raises(ConvergenceError, match="exactly"):
        run(glm("y ~ 1"), split(exact, np.zeros(240), 1))


def test_a_site_says_only_that_a_mean_is_outside_its_domain():
    [one] = split(rows(), np.zeros(240), 1)
    model = glm("y ~ x", "binomial", "log")
    partial = model.local("newton", one, {"centre": np.zeros(2), "coefficients": np.array([3.0, 1.0])})
    assert partial["invalid"].tolist() == [1]
    assert all(not array.any() for name, array in partial.arrays.items() if name != "invalid")


def test_a_suppressed_number_ends_the_fit():
    with pytest.raises(DisclosureRefused):
        run(glm("y ~ x"), split(rows(), np.arange(240) % 2, 2), hide={"s1": {"sum": [1]}})


def test_outcomes_and_weights_outside_their_domain_stay_inside_the_site():
    columns = {**rows(), "y": np.full(240, 17.25), "w": np.full(240, -3.5)}
    [one] = split(columns, np.zeros(240), 1)
    for model in (glm("y ~ x", "binomial"), glm("x ~ b", "poisson"), glm("x ~ b", weights="w")):
        with pytest.raises(SiteRefused) as caught:
            model.local("handshake", one, {})
        assert caught.value.reason == "dictionary"
        assert "17" not in str(caught.value)
        assert "3.5" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"formula": "Surv(x, y) ~ b"}, "m.glm.formula"),
        ({"formula": "y ~ x", "link": "logit"}, "m.glm.link"),
        ({"formula": "y ~ x + offset(w)", "offset": "w"}, "m.glm.offset"),
        ({"formula": "y ~ {x}"}, "m.glm.formula"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, field):
    with pytest.raises(PlanError) as caught:
        make("glm", arguments, "m")
    assert caught.value.field == field
    assert caught.value.remedy


def test_check_reads_the_declared_ranges():
    wide = {**VARIABLES, "y": Variable(Kind.NUMBER, low=0, high=7), "w": Variable(Kind.NUMBER, low=-1)}
    for model in (glm("y ~ x", "binomial"), glm("y ~ x", weights="w"), glm("y ~ x", weights="c"), glm("y ~ nobody")):
        with pytest.raises(PlanError) as caught:
            model.check(wide)
        assert caught.value.remedy
    with pytest.raises(FormulaError):
        glm("y ~ system('x')")


def test_canonical_arguments_make_the_same_model():
    model = glm("y~x+C(c)", "binomial", "logit", weights="w", offset="b")
    assert model.arguments() == {"formula": "y ~ x + C(c) + offset(b)", "family": "binomial", "weights": "w"}
    assert make("glm", model.arguments()) == model
    assert model.variables() == ("b", "c", "w", "x", "y")


# --- support -----------------------------------------------------------------------------------------------------


def support(formula, columns, family="gaussian", persons=None, variables=VARIABLES, weights=None):
    declared = with_site(variables, ("here", "there"))
    return glm(formula, family, weights=weights).support(population("here", declared, columns, persons))


def test_support_holds_every_level_and_pair_and_class():
    columns = rows()
    found = support("y ~ x + c + b + C(site)", columns, "binomial").design
    y, b, c = columns["y"] == 1, columns["b"], columns["c"]
    assert set(found.levels["c=k"]) == set(np.flatnonzero(c == "k"))
    assert set(found.levels["b=True & c=m"]) == set(np.flatnonzero(b & (c == "m")))
    classes = {label: set(persons) for label, persons in found.levels.items() if "y=" in label}
    assert classes["y=upper"] == set(np.flatnonzero(y))
    assert set(np.flatnonzero(b & ~y)) in classes.values()
    assert not any("site" in label for label in found.levels)
    assert found.events == min(y.sum(), (~y).sum())
    assert found.parameters == 6 - 1  # the other site's column is no parameter here
    assert found.persons == found.rows == 240


def test_support_counts_persons_of_pairs_by_row():
    """A person with one row in each of two levels stands behind neither pair alone."""
    columns = {"x": [1.0, 2.0, 3.0, 5.0] * 4, "y": [1.0, 4.0, 2.0, 7.0] * 4, "b": [0, 1] * 8, "c": ["k", "l"] * 8}
    found = support("y ~ x + b + c", columns, persons=np.arange(16) // 2).design
    assert len(found.levels["b=True & c=l"]) == 8
    assert len(found.levels["b=True & c=k"]) == 0
    assert len(found.levels["b=True"]) == 8
    assert (found.persons, found.rows) == (8, 16)


def test_support_sees_a_dummy_in_disguise():
    columns = rows()
    columns["w"] = np.where(np.arange(240) == 7, 3.25, -1.5)  # 1 for one person, scaled
    assert list(support("y ~ x + w", columns).design.levels["w=upper"]) == [7]
    columns["w"] = np.r_[-1.0, 1.0, np.full(238, 2.0)]  # two values once squared
    levels = support("y ~ x + I(w**2)", columns).design.levels
    assert {frozenset(persons) for label, persons in levels.items() if label.startswith("I(w")} >= {frozenset({0, 1})}


@pytest.mark.parametrize("weights", [None, "w"])
def test_leverage_is_that_of_the_hat_matrix(weights):
    columns = rows()
    columns["w"] += 0.5
    columns["x"][3] = 40.0
    persons = np.arange(240) // 2
    found = support("y ~ x + c", columns, persons=persons, weights=weights).design
    x = np.column_stack([np.ones(240), columns["x"], columns["c"] == "l", columns["c"] == "m"])
    w = columns["w"] if weights else np.ones(240)
    root = x * np.sqrt(w)[:, None]
    hat = np.diag(root @ np.linalg.pinv(root))
    assert found.leverage == pytest.approx(np.bincount(persons, weights=hat).max(), rel=1e-9)
    summed = np.bincount(persons, weights=w)
    assert found.effective == (pytest.approx(summed.sum() ** 2 / (summed**2).sum()) if weights else None)


def test_leverage_with_columns_that_are_empty_here():
    columns = {**rows(), "c": np.array(["k"] * 240)}
    found = support("y ~ x + c", columns).design
    x = np.column_stack([np.ones(240), columns["x"]])
    assert found.leverage == pytest.approx(np.diag(x @ np.linalg.pinv(x)).max(), rel=1e-9)


def test_a_saturated_model_shows_its_rarest_pattern():
    columns = {**rows(), "b": np.arange(240) < 17, "c": np.array(["k", "l"] * 120)}
    assert support("y ~ b * c", columns).design.patterns == 8
    assert support("y ~ b + c", columns).design.patterns is None
    assert support("y ~ x + b", columns).design.patterns is None


def test_contributions_are_raw_and_by_person():
    columns = {**rows(), "x": np.r_[-90.0, -20.0, 30.0, np.ones(237)]}
    found = support("y ~ x", columns, persons=np.r_[0, 0, np.arange(1, 239)])
    sums, outcome, *levels = found.contributions
    assert all(one.local for one in levels)  # the outcome has two values here
    assert sums.output == ("sum",)
    assert (sums.largest[1], sums.second[1], sums.total[1]) == (110.0, 30.0, 377.0)
    y = np.abs(columns["y"])
    of_person = np.sort(np.r_[y[0] + y[1], y[2:]])
    assert (outcome.largest, outcome.second, outcome.total) == pytest.approx((of_person[-1], of_person[-2], y.sum()))


def test_rows_without_weight_take_no_part_in_support():
    columns = rows()
    found = support("y ~ x", columns, "binomial", weights="w")
    assert set(found.population) == set(np.flatnonzero(columns["w"] > 0))
    assert found.design.persons == (columns["w"] > 0).sum()


def test_an_empty_site_has_support_too():
    found = support("y ~ x + c", {name: values[:0] for name, values in rows().items()}, "binomial", weights="w")
    assert (found.design.persons, found.design.events, len(found.population)) == (0, 0, 0)


def test_events_of_a_binomial_outcome_without_events_are_none_at_all():
    columns = {**rows(), "y": np.zeros(240)}
    found = support("y ~ x", columns, "binomial")
    assert found.design.events == 0
    assert found.constant == ("y",)
    assert found.cells[0].counts().tolist() == [240, 0]
    assert support("y ~ x", {**columns, "y": np.arange(240.0)}, "poisson").design.events == 239
    assert support("y ~ x", {**columns, "y": np.arange(240.0)}).design.events is None
