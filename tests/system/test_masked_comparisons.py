"""Hospitals compare groups under masks: the answers are those of the pooled rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import sojourn as sj
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import Federation

BOUNDS = {"age": (20.0, 110.0), "bmi": (5.0, 70.0), "years": (0.0, 10.0)}


def bounded(dictionary: Dictionary) -> Dictionary:
    """As custodians declare."""
    columns = dict(dictionary.columns)
    for name, (low, high) in BOUNDS.items():
        columns[name] = replace(columns[name], low=low, high=high)
    return replace(dictionary, columns=columns)


def patients(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age, years = np.round(np.clip(rng.normal(60, 9, rows), 25, 100), 1), np.round(rng.uniform(0.5, 8, rows), 1)
    bmi, treated = np.round(rng.normal(24, 3, rows) + age / 20, 1), rng.random(rows) < 0.5
    return pd.DataFrame({"age": age, "bmi": bmi, "years": years, "treated": treated, "died": rng.random(rows) < 0.3})


@pytest.mark.nightly
def test_tests_rates_and_correlations_under_masks() -> None:
    frames = {f"S{place}": patients(75, place) for place in range(4)}
    pooled = pd.concat(frames.values())
    analyses = {
        "t": sj.t_test("age", by="treated"),
        "r": sj.correlation("age", "bmi"),
        "rate": sj.incidence("died", "years", by="treated"),
    }
    with Federation({site: {"p": frame} for site, frame in frames.items()}, review=bounded) as federation:
        results = federation.run(sj.Plan(table="p", analyses=analyses, aggregation="masked"))
    assert results.trusted
    no, yes = (part for _, part in pooled.groupby("treated"))
    welch = stats.ttest_ind(yes["age"], no["age"], equal_var=False)
    assert results["t"].table.loc["age", "statistic"] == pytest.approx(welch.statistic, rel=1e-9)
    r = stats.pearsonr(pooled["age"], pooled["bmi"])
    assert results["r"].table.loc[("age", "bmi"), "estimate"] == pytest.approx(r.statistic, rel=1e-9)
    assert results["rate"].table.loc[True, "rate"] == pytest.approx(yes["died"].sum() / yes["years"].sum(), rel=1e-12)
