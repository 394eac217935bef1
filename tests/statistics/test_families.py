"""The derivatives of every family and link against differences of its deviance; numbers far out; planted defects."""

import dataclasses

import numpy as np
import pytest
from statsmodels.genmod.families import links

from sojourn.statistics.families import LINKS, family

INVERSES = {
    "logit": links.Logit(),
    "probit": links.Probit(),
    "cloglog": links.CLogLog(),
    "log": links.Log(),
    "identity": links.Identity(),
}
PAIRS = [(name, link) for name, known in LINKS.items() for link in known]
INSIDE = {
    "logit": (-4, 4),
    "probit": (-3, 3),
    "cloglog": (-4, 1),
    "log": (-3, -0.2),
    "identity": (0.1, 0.9),
}


def rows(name, link):
    rng = np.random.default_rng(5)
    eta = rng.uniform(*INSIDE[link], 60)
    y = {"binomial": rng.integers(0, 5, 60) / 4, "poisson": rng.integers(0, 6, 60), "gaussian": rng.normal(size=60)}
    return eta, y[name].astype(float), rng.uniform(0.5, 2, 60)


def slopes_are_right(model, name, link):
    """Score and observed information are the differences of the log-likelihood -deviance / 2."""
    eta, y, w = rows(name, link)
    step = 1e-4
    low, at, high = (model.slopes(eta + move, y, w) for move in (-step, 0.0, step))
    score = -(high.deviance - low.deviance) / (4 * step)
    curvature = -(high.score - low.score) / (2 * step)
    return np.allclose(at.score, score, rtol=1e-5, atol=1e-6) and np.allclose(
        at.curvature, curvature, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("name", "link"), PAIRS)
def test_score_and_information_are_derivatives(name, link):
    assert slopes_are_right(family(name, link), name, link)


@pytest.mark.parametrize("part", ["score", "curvature", "deviance"])
def test_a_wrong_derivative_is_seen(part):
    model = family("binomial", "log")

    def wrong(eta, y, w):  # the derivative of the logit link, as one peer has it
        at = model.slopes(eta, y, w)
        return dataclasses.replace(at, **{part: getattr(at, part) * (1 - np.exp(eta))})

    assert not slopes_are_right(dataclasses.replace(model, slopes=wrong), "binomial", "log")


@pytest.mark.parametrize(("name", "link"), PAIRS)
def test_information_is_the_variance_of_the_score(name, link):
    model, eta = family(name, link), np.linspace(*INSIDE[link], 7)
    one = np.ones(7)
    if name == "binomial":
        p = INVERSES[link].inverse(eta)
        mean = p * model.slopes(eta, one, one).score + (1 - p) * model.slopes(eta, 0 * one, one).score
        second = p * model.slopes(eta, one, one).score ** 2 + (1 - p) * model.slopes(eta, 0 * one, one).score ** 2
        assert mean == pytest.approx(0 * one, abs=1e-12)
        assert model.slopes(eta, one, one).information == pytest.approx(second, rel=1e-9)
    else:
        mean = np.exp(eta) if link == "log" else eta
        assert np.abs(model.slopes(eta, np.abs(mean), one).score) == pytest.approx(0 * one, abs=1e-12)
        slope = mean if link == "log" else one
        variance = mean if name == "poisson" else one
        assert model.slopes(eta, mean, one).information == pytest.approx(slope**2 / variance, rel=1e-12)


@pytest.mark.parametrize("link", ["logit", "probit"])
def test_far_out_nothing_overflows(link):
    eta = np.array([-1e4, -700.0, -40.0, 40.0, 700.0, 1e4])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        at = family("binomial", link).slopes(eta, np.array([0.0, 1.0, 1.0, 0.0, 0.0, 1.0]), np.ones(6))
    assert np.isfinite([at.deviance, at.score, at.information]).all()
    assert at.deviance[1] > 1000


@pytest.mark.parametrize(
    ("name", "link", "eta"),
    [
        ("binomial", "log", 0.1),
        ("binomial", "identity", 1.1),
        ("poisson", "identity", -0.1),
        ("binomial", "identity", -0.1),
    ],
)
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_outside_its_domain_a_mean_has_no_valid_information(name, link, eta, y):
    with np.errstate(all="ignore"):
        at = family(name, link).slopes(np.array([eta]), np.array([y]), np.ones(1))
    assert not (at.information[0] >= 0 and np.isfinite(at.information[0]))
