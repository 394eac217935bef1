"""Four masked plans, each over other complete cases, whose sums together tell of the few who lack two variables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from recorded import Figures

import sojourn as sj
from sojourn.disclosure import joint_populations
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam")
FEW, MANY = (2, 2, 1), (17, 17, 16)  # who lack both, by site


def rows(site: int, lacking: int) -> pd.DataFrame:
    """Three hundred persons, sixty of whom lack x, and sixty z."""
    draw = np.random.default_rng(site)
    found = pd.DataFrame({name: draw.normal(50, 10, 300).clip(0, 100).round(2) for name in ("income", "x", "z")})
    found.loc[:59, "x"] = np.nan
    found.loc[60 - lacking : 119 - lacking, "z"] = np.nan
    return found


def reviewed(draft: Dictionary) -> Dictionary:
    return replace(draft, columns={name: replace(one, low=0.0, high=100.0) for name, one in draft.columns.items()})


def lacking(by_site: tuple[int, ...]) -> Federation:
    tables = {site: {"patients": rows(at, by_site[at])} for at, site in enumerate(SITES)}
    return Federation(tables, review=reviewed)


@pytest.fixture
def federation() -> Iterator[Federation]:
    with lacking(FEW) as made:
        yield made


def asked(federation: Federation, *needed: str) -> tuple[float, float]:
    """Persons and their income: of all, or of those who have what else the plan needs."""
    plan = sj.Plan(table="patients", analyses={"m": sj.describe("income", *needed)}, aggregation="masked")
    found = federation.run(plan)["m"].table.loc["income"]
    return float(found["n"]), float(found["n"] * found["mean"])


def told(federation: Federation) -> np.ndarray:
    """Number and income of those who lack both."""
    plans = ((1, ()), (-1, ("x",)), (-1, ("z",)), (1, ("x", "z")))
    return sum(sign * np.array(asked(federation, *needed)) for sign, needed in plans)


@pytest.mark.nightly
@pytest.mark.timeout(400)
def test_a21_four_plans_with_other_complete_cases(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    with pytest.raises(sj.errors.DisclosureRefused, match="earlier sum"):
        told(federation)
    with lacking(MANY) as ordinary:
        assert told(ordinary)[0] == sum(MANY)  # an ordinary study
    monkeypatch.setattr(joint_populations, "TOGETHER", 2)
    with lacking(FEW) as naive:
        number, income = told(naive)
    tables = [rows(at, FEW[at]) for at in range(len(SITES))]
    few = pd.concat(one[one["x"].isna() & one["z"].isna()] for one in tables)
    assert (number, len(few)) == (sum(FEW), sum(FEW)) and income == pytest.approx(few["income"].sum(), abs=1e-6)
    figures(
        "A21",
        "means of all, of those with x, of those with z, and of those with both, a plan each; five of 900 lack both",
        without="number and income of the five exact, where at most two earlier plans are taken together",
        with_defence="the fourth plan is refused, as three earlier populations are taken together with it",
        mark="no sum over fewer than T persons",
        benign="the same four plans where 50 lack both: all released",
    )
