"""Imputed sets under masks: one person's row out of sums that differ by what was drawn; one site that lacks values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hand_hub import HandHub
from recorded import Figures

import sojourn as sj
from sojourn.errors import SojournError
from sojourn.hub.drive import Concluded, Wanted
from sojourn.node.dictionary import Dictionary
from sojourn.statistics.imputed_apart import Others
from sojourn.study.masked import MaskedReplay, replay_masked
from sojourn.testbed import Federation

pytestmark = pytest.mark.long

SITES = ("Avon", "Brent", "Cam")
ROWS, LACKING, UNITS = 300, 60, 33.0
ASKED = sj.imputed(sj.glm("y ~ x + z + x:z"), "x", m=2)
RANGES = {"x": (-10.0, 10.0), "z": (0.0, 100.0), "y": (-50.0, 50.0)}


def rows(seed: int, *, some: tuple[float, ...], lacking: int = LACKING) -> pd.DataFrame:
    """z is 0 for all who lack x but the first few; it is 0 for a third of all others."""
    random = np.random.default_rng(seed)
    z = random.integers(1, 40, ROWS) * (random.random(ROWS) < 0.7).astype(float)
    z[:LACKING] = [*some, *[0.0] * (LACKING - len(some))]
    x = random.uniform(-3, 3, ROWS) + z / 20
    y = np.round(1 + x + z / 10 + random.uniform(-1, 1, ROWS), 2)
    return pd.DataFrame({"x": np.where(np.arange(ROWS) < lacking, np.nan, x), "z": z, "y": y})


def bounded(dictionary: Dictionary) -> Dictionary:
    ranged = {name: replace(dictionary.columns[name], low=low, high=high) for name, (low, high) in RANGES.items()}
    return replace(dictionary, columns={**dictionary.columns, **ranged})


def raw(told: dict[str, np.ndarray], k: int, sums: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cross-products of a set's columns, and these with the outcome, about 0."""
    gram, moment, n = told[f"gram_{k}"], told[f"moment_{k}"], sums[0]
    gram = gram + np.outer(sums, centre) + np.outer(centre, sums) - n * np.outer(centre, centre)
    return gram, moment + centre * moment[0]


def read(hub: HandHub) -> tuple[float, float]:
    """z and y of one person, from two rounds of sums over all sites."""
    due = hub.go(until="start")
    assert isinstance(due, Wanted)
    sums = _latest(hub, due)
    due = hub.go(until="newton")
    assert isinstance(due, Wanted)
    at = next(past.ask.ask().broadcast for past in hub.rounds if past.ask.step == "start")
    last = _latest(hub, due)
    (gram, moment), (other, its) = (raw(last, k, sums[f"sum_{k}"], at[f"centre_{k}"]) for k in (1, 2))
    apart, outcome = other - gram, its - moment  # of the columns 1, x, z, x:z
    return apart[3, 2] / apart[1, 2], outcome[3] / apart[3, 0]


def _latest(hub: HandHub, due: Wanted) -> dict[str, np.ndarray]:
    told = replay_masked(hub.question, due.rounds)
    assert isinstance(told, MaskedReplay)
    return {name: np.asarray(array, dtype=float) for name, array in told.latest.arrays.items()}


def federation(*tables: pd.DataFrame) -> Federation:
    return Federation({site: {"t": one} for site, one in zip(SITES, tables, strict=True)}, review=bounded)


def one_of_many() -> list[pd.DataFrame]:
    """Of 180 who lack x one has a z. No site has a level of few: z has many values."""
    return [rows(seed, some=(UNITS,) * (seed == 1)) for seed in range(3)]


@pytest.mark.timeout(300)
def test_a09_a_number_that_one_of_those_has_who_lack_another(figures: Figures, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = sj.Plan(table="t", analyses={"n": ASKED}, aggregation="masked")
    person = one_of_many()[1].iloc[0]
    with federation(*one_of_many()) as made:
        end = HandHub(made, plan).go()
    assert isinstance(end, Concluded)
    assert end.estimate.facts["n"] == 2 * ROWS  # Brent takes part with nothing
    monkeypatch.setattr(Others, "share", lambda *_: 0.0)
    with federation(*one_of_many()) as made:
        z, y = read(HandHub(made, plan))
    assert z == pytest.approx(person["z"], abs=1e-5)
    assert y == pytest.approx(person["y"], abs=1e-5)
    figures(
        "A09",
        "two imputed sets of x under masks, where of 180 who lack x one has a z: y ~ x + z + x:z",
        without="from the difference of the sets' sums over all sites: this person's z and outcome, exact",
        with_defence="the site takes part with nothing: two persons give most of a sum by which sets differ",
        mark="no sum by which sets differ is one or two persons'",
        benign="the same sets are fitted over the other sites",
    )


@pytest.mark.timeout(300)
@pytest.mark.nightly
def test_a21_one_site_alone_lacks_values_of_few(figures: Figures) -> None:
    """Cam, where five lack x, takes no part in imputed sums: complete rows of all less these would be its own."""
    tables = [rows(seed, some=tuple(range(LACKING)), lacking=5 * (seed == 2)) for seed in range(3)]
    complete, filled = sj.glm("y ~ x + z"), sj.imputed(sj.glm("y ~ x + z"), "x", m=2)
    told: list[str] = []
    for first, second in ((filled, complete), (complete, filled)):
        with federation(*tables) as made:
            answers = [
                made.run(sj.Plan(table="t", title=title, analyses={"n": asked}, aggregation="masked"), timeout=250)["n"]
                for title, asked in (("first", first), ("second", second))
            ]
        assert answers[0].n == (2 * ROWS if first is filled else 3 * ROWS - 5)
        with pytest.raises(SojournError, match="Beyond any single site") as caught:
            answers[1].table  # noqa: B018
        told.append(str(caught.value))
    figures(
        "A21",
        "a masked model of imputed sets and one of complete rows, where five persons of one site lack a value",
        without=f"the difference of the sums is the {ROWS - 5} complete rows of that site alone",
        with_defence=f"{len(told)} of 2 orders: the second is refused, since only one site's persons differ",
        mark="no site's own sums follow",
        benign="the first of the two is answered",
    )
