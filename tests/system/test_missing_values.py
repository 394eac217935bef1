"""Models of columns that lack values through hub and nodes, under the product's own rules."""

import numpy as np
import pandas as pd
import pytest

from sojourn.analysis.population import Population
from sojourn.analysis.variable import Kind, Variable
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


def test_a_worker_reads_which_rows_lack_a_value(tmp_path):
    columns, gone = {"x": np.array([1.0, 0.0])}, np.array([False, True])
    one = Population("s", {"x": Variable(Kind.NUMBER)}, columns, np.arange(2, dtype=np.uint32), {}, {"x": gone})
    write_population(one, tmp_path / "p.npz")
    read = read_population(tmp_path / "p.npz")
    assert np.array_equal(read.absent["x"], one.absent["x"])
