"""Models of columns that lack values through hub and nodes, under the product's own rules."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import sojourn.disclosure.joint as joint
from sojourn.analysis.population import Population
from sojourn.analysis.statistic import Statistic
from sojourn.analysis.variable import Kind, Variable
from sojourn.client.results import Result
from sojourn.errors import SojournError
from sojourn.node.dictionary import Dictionary
from sojourn.node.prepared import read_population, write_population
from sojourn.statistics.catalogue_counts import describe
from sojourn.statistics.catalogue_models import glm, imputed, indicated
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

SIZES = {"a": 220, "b": 260, "c": 240}
LINEAR = glm("y ~ x + z + c")


def frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    z, c = rng.uniform(-2, 2, n), rng.random(n) < 0.5  # without tails, so that nobody's leverage is large
    x = 1 + 0.6 * z + 0.4 * c + rng.uniform(-2, 2, n)
    y = 1 + x - 0.5 * z + 0.3 * c + rng.normal(size=n)
    x = np.where(rng.random(n) < 1 / (1 + np.exp(0.8 - z)), np.nan, x)
    return pd.DataFrame({"x": x, "z": z, "y": y, "c": c})


FRAMES = {site: frame(n, seed) for seed, (site, n) in enumerate(SIZES.items())}


@pytest.fixture(scope="module")
def hospitals():
    with Federation({site: {"t": one} for site, one in FRAMES.items()}) as made:
        yield made


@pytest.mark.long
def test_the_products_own_rules_let_it_pass_and_the_same_study_is_the_same(hospitals):
    asked = {"i": imputed(LINEAR, "x"), "k": indicated(LINEAR, "x"), "z": describe("z")}
    results = hospitals.run(Plan(table="t", analyses=asked))
    assert set(results["i"].sites.values()) == {"contributed"}
    assert int(results["z"].table["n"].iloc[0]) == sum(SIZES.values())  # one population: rows without x are in it
    again = hospitals.run(Plan(table="t", title="Again", analyses=asked))
    assert again["i"].to_dict() == results["i"].to_dict()
    complete = hospitals.run(Plan(table="t", analyses={"m": LINEAR}))
    assert complete["m"].n == sum(int(one["x"].notna().sum()) for one in FRAMES.values())


def test_auxiliary_columns_must_be_complete_in_every_row(hospitals):
    """One population a plan: it has no row that lacks a value of one, and all that lack a value to be filled in."""
    asked = {"i": imputed(glm("c ~ x", "binomial"), "x", m=2, using=["y", "z"])}
    results = hospitals.run(Plan(table="t", analyses=asked))
    assert results["i"].n == sum(SIZES.values())
    other = imputed(glm("c ~ z", "binomial"), "z", m=2, using="x")
    complete = hospitals.run(Plan(table="t", title="Other", analyses={"m": other}))
    assert complete["m"].n == sum(int(one["x"].notna().sum()) for one in FRAMES.values())


LOST = {"enough": 100, "few_for_so_many_sets": 30, "few_missing": 9, "few_observed": 251, "none_observed": 260}


def test_too_few_missing_or_observed_do_not_leave():
    """The same rows at each site, of which x is taken from more and more."""
    whole = frame(260, 1)
    whole["x"] = whole["y"] - whole["z"] + np.random.default_rng(9).uniform(-1, 1, 260)
    sites = {site: {"t": whole.assign(x=whole["x"].where(np.arange(260) >= n))} for site, n in LOST.items()}
    with Federation(sites) as made:
        asked = {"five": imputed(glm("y ~ x + z"), "x"), "two": imputed(glm("y ~ x + z"), "x", m=2)}
        results = made.run(Plan(table="t", analyses=asked))
        told = {name: {site for site, said in results[name].sites.items() if said == "contributed"} for name in asked}
        assert told == {"five": {"enough"}, "two": {"enough", "few_for_so_many_sets"}}
        assert set(results["five"].sites.values()) == {"contributed", "not released: design support"}


def bounded(dictionary: Dictionary) -> Dictionary:
    """As a custodian declares: without ranges there is no joint test."""
    columns = dict(dictionary.columns)
    for name, high in (("x", 10.0), ("y", 20.0), ("z", 3.0)):
        columns[name] = replace(columns[name], low=-high, high=high)
    return replace(dictionary, columns=columns)


def answer(sites: dict[str, pd.DataFrame], asked: Statistic, aggregation: str) -> Result:
    """Each in a federation of its own: what left one in clear stands in the way of a masked sum."""
    with Federation({site: {"t": one} for site, one in sites.items()}, review=bounded) as made:
        return made.run(Plan(table="t", analyses={"i": asked}, aggregation=aggregation), timeout=250)["i"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "asked",
    [
        imputed(glm("c ~ x + z", "binomial"), "x", m=2),
        pytest.param(imputed(LINEAR, "x"), marks=pytest.mark.nightly),
        pytest.param(imputed(glm("c ~ x + z", "binomial", robust="HC1"), "x", m=3), marks=pytest.mark.long),
        pytest.param(indicated(LINEAR, "x"), marks=pytest.mark.long),
    ],
    ids=["two sets", "five sets", "sets that wait", "indicators"],
)
def test_masked_equals_clear(asked):
    clear, masked = (answer(FRAMES, asked, aggregation).table for aggregation in ("clear", "masked"))
    assert ((masked["estimate"] - clear["estimate"]).abs() / clear["std_error"]).max() < 1e-9
    assert masked["std_error"].to_numpy() == pytest.approx(clear["std_error"].to_numpy(), rel=1e-8)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_under_masks_a_site_with_few_missing_takes_part_with_nothing():
    few = frame(230, 7)
    few["x"] = (few["y"] - few["z"] + np.random.default_rng(9).uniform(-1, 1, 230)).where(
        np.arange(230) >= 30
    )  # enough for four sets, not for five
    asked = imputed(glm("y ~ x + z"), "x")
    without, masked = answer(FRAMES, asked, "clear"), answer({**FRAMES, "few": few}, asked, "masked")
    assert masked.n == sum(SIZES.values())
    assert ((masked.table["estimate"] - without.table["estimate"]).abs() / without.table["std_error"]).max() < 1e-9
    assert set(masked.sites.values()) == {"took part"}


@pytest.mark.timeout(400)
@pytest.mark.long
def test_few_missing_at_each_site_are_not_shown_for_being_many_together(monkeypatch):
    """At three sites 12 each: for five sets nine persons a difference, so that each site takes part with nothing."""
    sites = {}
    for site, one in FRAMES.items():
        noise = np.random.default_rng(9).uniform(-1, 1, len(one))
        sites[site] = one.assign(x=(one["y"] - one["z"] + noise).where(np.arange(len(one)) >= 12))
    asked = imputed(glm("y ~ x + z"), "x")
    with pytest.raises(SojournError, match="Beyond any single site"):
        answer(sites, asked, "masked").table  # noqa: B018
    monkeypatch.setattr(joint, "demand_apart", lambda *_: None)
    planted = answer(sites, asked, "masked")
    assert planted.n == sum(SIZES.values())  # the joint test alone lets it pass


def test_a_worker_reads_which_rows_lack_a_value(tmp_path):
    columns, gone = {"x": np.array([1.0, 0.0])}, np.array([False, True])
    one = Population("s", {"x": Variable(Kind.NUMBER)}, columns, np.arange(2, dtype=np.uint32), {}, {"x": gone})
    write_population(one, tmp_path / "p.npz")
    read = read_population(tmp_path / "p.npz")
    assert np.array_equal(read.absent["x"], one.absent["x"])
