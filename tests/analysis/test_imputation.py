"""Chained equations: what is drawn, what it depends on, and that it draws what other programs draw."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.analysis.imputation import Chain, _logistic, width_of
from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable, with_site

VARIABLES = with_site(
    {
        "x": Variable(Kind.NUMBER),
        "y": Variable(Kind.NUMBER),
        "b": Variable(Kind.BOOLEAN),
        "c": Variable(Kind.CATEGORY, levels=("k", "l", "m")),
    },
    ("s", "t"),
)
CHAIN = Chain(("b", "c", "x"), ("b", "c", "x", "y"))


def rows(n: int = 300, seed: int = 1, share: float = 0.3, site: str = "s") -> Population:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    x, b = 2 + y + rng.normal(size=n), rng.random(n) < 1 / (1 + np.exp(-2 * y))
    c = np.clip(np.round(y + rng.normal(size=n) + 1), 0, 2)
    absent = {name: rng.random(n) < share for name in CHAIN.columns}
    columns = {"x": x, "y": y, "b": b.astype(np.int8), "c": c.astype(np.int32)}
    for name, gone in absent.items():
        columns[name][gone] = 0
    return Population(site, VARIABLES, columns, np.arange(n, dtype=np.uint32), {}, absent)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 99), share=st.sampled_from([0.0, 0.1, 0.6]), n=st.integers(12, 60))
def test_what_is_there_stays_and_what_is_drawn_was_seen(seed, share, n):
    before = rows(n, seed, share)
    for one in CHAIN.completed(before, 2):
        assert not one.absent
        for name in VARIABLES.keys() - {"site"}:
            gone = before.absent.get(name, np.zeros(n, dtype=bool))
            assert one.column(name).dtype == before.columns[name].dtype
            assert np.array_equal(one.column(name)[~gone], before.columns[name][~gone])
            if not gone.all():
                assert set(one.column(name)[gone]) <= set(before.columns[name][~gone])


def test_the_same_rows_give_the_same_sets_whatever_their_number():
    two, five = CHAIN.completed(rows(), 2), CHAIN.completed(rows(), 5)
    for one, other in zip(two, five, strict=False):
        assert all(np.array_equal(one.columns[name], other.columns[name]) for name in one.columns)
    assert len({one.columns["x"].tobytes() for one in five}) == 5


def test_another_row_person_site_or_column_is_another_draw():
    """What an analyst does not know decides the draws: nobody can play them again."""
    base = rows()
    changed = base.columns["y"].copy()
    changed[0] += 1e-9
    others = [
        (CHAIN, replace(base, columns={**base.columns, "y": changed})),
        (CHAIN, replace(base, persons=base.persons + 1)),
        (CHAIN, replace(base, site="t")),
        (Chain(CHAIN.columns, ("b", "c", "x")), base),
    ]
    gone = base.absent["b"]
    drawn = [chain.completed(one, 1)[0].columns["b"][gone].tobytes() for chain, one in [(CHAIN, base), *others]]
    assert len(set(drawn)) == len(drawn)


def test_a_column_that_is_not_complete_cannot_be_read():
    with pytest.raises(ValueError, match="not complete"):
        rows().column("x")
    [one] = Chain(("x",), ("x", "y")).completed(rows(), 1)
    with pytest.raises(ValueError, match="not complete"):
        one.column("b")


def test_nothing_observed_is_left_to_the_evidence():
    base = rows(40)
    base = replace(base, absent={"x": np.ones(40, dtype=bool)})
    [one] = Chain(("x",), ("x", "y")).completed(base, 1)
    assert not one.columns["x"].any()


def test_the_drawn_are_as_the_lost_were():
    """Values are lost by y alone, so that the means of the observed are wrong and those of the drawn are right."""
    rng = np.random.default_rng(7)
    n = 4000
    whole = rows(n, 3, 0.0)
    gone = rng.random(n) < 1 / (1 + np.exp(-2 * whole.columns["y"]))
    names = ("x", "b", "c")
    before = replace(whole, absent=dict.fromkeys(names, gone))
    drawn = CHAIN.completed(before, 3)
    for name in names:
        values = whole.columns[name].astype(float)
        mean = np.mean([one.columns[name].mean() for one in drawn])
        error = values.std() / np.sqrt((~gone).sum())
        assert abs(mean - values.mean()) < 4 * error
        assert abs(values[~gone].mean() - values.mean()) > 8 * error
        slope = [np.cov(one.columns[name], one.columns["y"])[0, 1] for one in drawn]
        assert np.mean(slope) == pytest.approx(np.cov(values, whole.columns["y"])[0, 1], rel=0.15)


def test_the_logistic_mode_is_the_likelihoods_where_the_prior_is_weak():
    rng = np.random.default_rng(5)
    x = np.stack([np.ones(3000), rng.normal(size=3000), rng.normal(size=3000)], 1)
    codes = (x[:, 1] + rng.logistic(size=3000) > 0).astype(int) + (x[:, 2] + rng.logistic(size=3000) > 1)
    mode, curvature = _logistic(x, codes, 3)
    oracle = sm.MNLogit(codes, x).fit(disp=0, tol=1e-12)
    assert pytest.approx(np.asarray(oracle.params), abs=1e-3) == mode.reshape(2, 3).T
    assert pytest.approx(np.asarray(oracle.bse), rel=1e-3) == np.sqrt(np.diag(np.linalg.inv(curvature))).reshape(2, 3).T


def test_levels_that_are_separated_are_drawn_all_the_same():
    x = np.stack([np.ones(60), np.linspace(-2, 2, 60)], 1)
    mode, curvature = _logistic(x, (x[:, 1] > 0).astype(int), 2)
    assert np.isfinite(mode).all()
    assert np.linalg.eigvalsh(curvature).min() > 0


def test_the_width_is_that_of_the_widest_model():
    assert width_of(("x", "y"), VARIABLES) == 2
    assert width_of(("b", "c", "x", "y"), VARIABLES) == 8  # of c: two levels by an intercept and three others


def test_rows_with_equal_predictions_are_donors_alike():
    """A model of one level: whoever stands first in the file is no more a donor than others."""
    n = 200
    columns = {"x": np.arange(n, dtype=float), "b": np.zeros(n, dtype=np.int8)}
    gone = np.arange(n) >= 100
    base = Population("s", VARIABLES, columns, np.arange(n, dtype=np.uint32), {}, {"x": gone})
    drawn = [one.columns["x"][gone] for one in Chain(("x",), ("b", "x")).completed(base, 40)]
    assert len(set(np.concatenate(drawn))) > 60
