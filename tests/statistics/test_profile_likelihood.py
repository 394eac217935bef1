"""Profile likelihoods: the pooled likelihood with each site's own nuisance, and meta-analysis where all is normal."""

import json

import numpy as np
import pytest
from federated import BOOLEAN, NUMBER, column, federation, run
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.heterogeneity import Studies
from sojourn.analysis.meta_analysis import combine
from sojourn.analysis.profile_likelihood import common, random_effects
from sojourn.errors import ConvergenceError, PlanError
from sojourn.statistics.catalogue import make
from sojourn.statistics.catalogue_models import glm, profile_likelihood

VARIABLES = {"age": NUMBER, "drug": BOOLEAN, "y": BOOLEAN}
GRID = np.linspace(-4, 4, 81)


def rows(n, seed, share=0.04, effect=0.8):
    rng = np.random.default_rng(seed)
    drug, age = rng.random(n) < 0.4, rng.normal(60, 10, n)
    return {"age": age, "drug": drug, "y": rng.random(n) < share * np.exp(effect * drug)}


@pytest.fixture(scope="module")
def rare():
    columns = {site: rows(400, seed) for seed, site in enumerate("abc")}
    columns["b"]["y"] &= ~columns["b"]["drug"]  # no event under the drug: no finite estimate there
    return federation(VARIABLES, columns)


def test_a_common_value_is_that_of_the_pooled_likelihood(rare):
    found, _ = run(profile_likelihood("y ~ drug", "drug[T.True]", -3, 3, points=61), rare)
    pooled, _ = run(glm("y ~ drug + C(site)", "binomial"), rare)
    place = [row[0] for row in pooled.rows].index("drug[T.True]")
    assert column(found, "estimate")[0] == pytest.approx(column(pooled, "estimate")[place], abs=2e-4)
    assert found.rows[0][1:] != found.rows[1][1:]
    assert set(found.facts["profiles"]) == set("abc")
    with pytest.raises(ConvergenceError, match="grows without end"):
        run(glm("y ~ drug", "binomial"), [rare[1]])
    left, _ = run(glm("y ~ drug", "binomial", combine="meta"), rare)
    assert set(left.facts["by_site"]["b"]) == set()  # a meta-analysis is without it


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(0.05, 0.5)), min_size=2, max_size=5))
def test_of_normal_profiles_it_is_the_meta_analysis(drawn):
    y, v = (np.array(part) for part in zip(*drawn, strict=True))
    profiles = -((GRID[None, :] - y[:, None]) ** 2) / 2 / v[:, None]
    fixed, likely = combine(Studies.of(y, v), "fixed"), combine(Studies.of(y, v), "ML", "normal")
    shared = common(GRID, profiles)
    assert shared.estimate == pytest.approx(fixed.estimate[0], abs=1e-6)
    assert [shared.ci_low, shared.ci_high] == pytest.approx([fixed.ci_low[0], fixed.ci_high[0]], abs=1e-4)
    assert shared.p_value == pytest.approx(fixed.p_value[0], abs=1e-4)
    varying = random_effects(GRID, profiles)
    assert varying.estimate == pytest.approx(likely.estimate[0], abs=0.02)
    assert varying.tau == pytest.approx(np.sqrt(likely.tau2), abs=0.06)


def test_other_coefficients_are_the_likeliest_at_each_value(rare):
    import statsmodels.api as sm

    found, _ = run(profile_likelihood("y ~ drug + age", "drug[T.True]", -2, 2, points=9), rare)
    first = rare[0]
    y, drug, age = (first.numeric(name) for name in ("y", "drug", "age"))
    design = np.stack([np.ones(len(y)), age - 60], axis=1)
    lines = [
        sm.GLM(y, design, offset=value * drug, family=sm.families.Binomial()).fit(tol=1e-12).llf
        for value in found.facts["grid"]
    ]
    assert found.facts["profiles"]["a"] == pytest.approx(np.array(lines) - max(lines), abs=1e-7)


def test_sites_without_a_profile_and_grids_that_are_too_narrow_are_named(rare):
    nobody = {**rows(300, 9), "y": np.zeros(300, dtype=bool)}  # no event at all: no likeliest constant
    sites = federation(VARIABLES, {"a": rows(500, 1), "z": nobody})
    found, _ = run(profile_likelihood("y ~ drug", "drug[T.True]", -3, 3), sites)
    assert any("z" in warning for warning in found.warnings)
    with pytest.raises(ConvergenceError, match="end of the grid"):
        run(profile_likelihood("y ~ drug", "drug[T.True]", 1.5, 3), sites)
    with pytest.raises(ConvergenceError, match="No site has"):
        run(profile_likelihood("y ~ drug", "drug[T.True]", -3, 3), federation(VARIABLES, {"z": nobody}))
    with pytest.raises(ConvergenceError, match="no profile"):
        common(np.array([0.0, 1.0]), np.zeros((1, 2)))


def test_every_value_of_the_grid_is_judged(rare):
    near, far = (profile_likelihood("y ~ drug", "drug[T.True]", -high, high, points=9) for high in (0.5, 12))
    [one] = [site for site in rare if site.site == "a"]
    told = [asked.working("profile", one, {}) for asked in (near, far)]
    assert all(told)
    assert told[1].effective < told[0].effective


def test_arguments_and_errors():
    asked = profile_likelihood("y ~ drug", "drug[T.True]", -3, 3, "poisson", points=21, offset="age")
    assert make("profile_likelihood", json.loads(json.dumps(asked.arguments()))) == asked
    for low, high, points in ((1, 1, 9), (-1, 1, 4), (-1, 1, 9.5), (-1e9, 1, 9)):
        with pytest.raises(PlanError) as caught:
            profile_likelihood("y ~ drug", "drug", low, high, points=points)
        assert caught.value.field == "profile_likelihood.points"
    variables = federation(VARIABLES, {"a": rows(20, 1)})[0].variables
    with pytest.raises(PlanError, match="no such term"):
        profile_likelihood("y ~ drug", "drugs", -1, 1).check(variables)
