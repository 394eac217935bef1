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
    "inverse": (0.1, 0.9),
}
SHAPE = 0.3  # the logarithm of theta


def rows(name, link):
    rng = np.random.default_rng(5)
    eta = rng.uniform(*INSIDE[link], 60)
    y = {"binomial": rng.integers(0, 5, 60) / 4, "gaussian": rng.normal(size=60), "gamma": rng.gamma(2.0, size=60)}
    y = {"poisson": rng.integers(0, 6, 60), "negative_binomial": rng.integers(0, 6, 60)} | y
    return eta, y[name].astype(float), rng.uniform(0.5, 2, 60)


def shape_of(model):
    return (SHAPE,) if model.shape else ()


def slopes_are_right(model, name, link):
    """Score and observed information are the differences of the log-likelihood -deviance / 2."""
    eta, y, w = rows(name, link)
    step = 1e-4
    low, at, high = (model.slopes(eta + move, y, w, *shape_of(model)) for move in (-step, 0.0, step))
    score = -(high.deviance - low.deviance) / (4 * step)
    curvature = -(high.score - low.score) / (2 * step)
    return np.allclose(at.score, score, rtol=1e-5, atol=1e-6) and np.allclose(
        at.curvature, curvature, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(("name", "link"), PAIRS)
def test_score_and_information_are_derivatives(name, link):
    assert slopes_are_right(family(name, link), name, link)


def shaped_is_right(model):
    """The derivatives by the shape are differences of saturated - deviance / 2 and of the scores."""
    eta, y, w = rows(model.name, "log")
    step = 1e-4
    low, at, high = (model.slopes(eta, y, w, SHAPE + move) for move in (-step, 0.0, step))
    lower, higher = (
        model.saturated(y, w, SHAPE + move) - one.deviance / 2 for one, move in ((low, -step), (high, step))
    )
    found = ((higher - lower), low.shape[0] - high.shape[0], low.score - high.score)
    return all(np.allclose(a, b / (2 * step), rtol=1e-5, atol=1e-6) for a, b in zip(at.shape, found, strict=True))


def test_derivatives_by_the_shape():
    model = family("negative_binomial", "log")
    assert shaped_is_right(model)
    for part in range(3):

        def wrong(*given, part=part):
            at = model.slopes(*given)
            return dataclasses.replace(at, shape=tuple(s * (1.01 if i == part else 1) for i, s in enumerate(at.shape)))

        assert not shaped_is_right(dataclasses.replace(model, slopes=wrong))


def test_a_negative_binomial_of_great_theta_is_poisson():
    eta, y, w = rows("negative_binomial", "log")
    far, poisson = family("negative_binomial", "log").slopes(eta, y, w, np.log(1e8)), family("poisson", "log")
    at = poisson.slopes(eta, y, w)
    assert far.deviance == pytest.approx(at.deviance, rel=1e-5, abs=1e-6)
    assert far.score == pytest.approx(at.score, rel=1e-6)
    assert np.isfinite(far.shape).all()


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
        mean = {"log": np.exp(eta), "identity": eta, "inverse": 1 / eta}[link]
        at = model.slopes(eta, mean, one, *shape_of(model))
        assert np.abs(at.score) == pytest.approx(0 * one, abs=1e-12)
        slope = {"log": mean, "identity": one, "inverse": mean**2}[link]
        variance = {"poisson": mean, "gaussian": one, "gamma": mean**2}.get(name, mean + mean**2 / np.exp(SHAPE))
        assert at.information == pytest.approx(slope**2 / variance, rel=1e-12)


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
        ("gamma", "identity", -0.1),
        ("gamma", "inverse", -0.1),
    ],
)
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_outside_its_domain_a_mean_has_no_valid_information(name, link, eta, y):
    with np.errstate(all="ignore"):
        at = family(name, link).slopes(np.array([eta]), np.array([y]), np.ones(1))
    assert not (at.information[0] >= 0 and np.isfinite(at.information[0]))
