"""A planted outlier and a planted rare level: neither may show in anything that a site answers (A13)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recorded import Figures

import sojourn as sj
from sojourn.analysis.statistic import Suppressed
from sojourn.disclosure.rules import UnsafeReleaseAll
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

PERSONS = 300
SITE = "Cleveland"
OUTLIER = 7_654_321.0
RANDOM = np.random.default_rng(13)
COST = np.where(np.arange(PERSONS) == 42, OUTLIER, np.round(RANDOM.normal(500, 60, PERSONS)))
TABLE = pd.DataFrame(
    {
        "cost": COST,
        "age": RANDOM.integers(30, 80, PERSONS).astype(float),
        "ward": np.where(np.arange(PERSONS) == 42, "planted", RANDOM.choice(["east", "west"], PERSONS)),
        "sex": RANDOM.choice(["f", "m"], PERSONS),
    }
)
ASKS: dict[str, Any] = {
    "mean": sj.describe("cost"),
    "by_sex": sj.describe("cost", by="sex"),
    "by_ward": sj.describe("age", by="ward"),
    "bins": sj.histogram("cost", edges=[400, 600, 1_000_000, 10_000_000]),
    "count": sj.count(by="ward"),
    "crosstab": sj.crosstab("ward", "sex"),
    "outcome": sj.glm("cost ~ age + sex"),
    "covariate": sj.glm("age ~ cost"),
    "level": sj.glm("age ~ ward"),
}
BENIGN: dict[str, Any] = {
    "mean": sj.describe("age"),
    "by_sex": sj.describe("age", by="sex"),
    "bins": sj.histogram("age", edges=[40, 50, 60, 70]),
    "crosstab": sj.count(by="sex"),
    "outcome": sj.glm("age ~ sex"),
}


@pytest.fixture(scope="module")
def safe() -> Iterator[Federation]:
    with Federation({SITE: {"costs": TABLE}}) as federation:
        yield federation


def answers(federation: Federation, analyses: dict[str, Any]) -> Any:
    return federation.run(Plan(table="costs", analyses=analyses, min_sites=1))


def near(document: Any, wanted: float) -> int:
    """How many numbers of a document are within 1 % of this one, or of it spread over all persons or a group."""
    if isinstance(document, dict):
        return sum(near(value, wanted) for value in document.values())
    if isinstance(document, list | tuple):
        return sum(near(value, wanted) for value in document)
    shares = (wanted, wanted / PERSONS, wanted / PERSONS * 2, wanted / PERSONS**0.5)
    return isinstance(document, float) and any(abs(document - share) < 0.05 * share for share in shares)


def test_a_planted_outlier_and_a_planted_level(safe: Federation, figures: Figures) -> None:
    with Federation({SITE: {"costs": TABLE}}, rules=UnsafeReleaseAll()) as bare:
        open_answers = answers(bare, ASKS)
    seen = sum(near(open_answers[name].to_dict(), OUTLIER) for name in ASKS)
    assert seen >= 5
    assert open_answers["count"].table["n"]["planted"] == 1
    shown = answers(safe, ASKS)
    assert sum(near(shown[name].to_dict(), OUTLIER) for name in ASKS) == 0
    assert str(int(OUTLIER)) not in json.dumps([result.to_dict() for result in shown.values()])
    for name in ("count", "by_ward", "crosstab"):
        table = shown[name].table
        rows = table[["planted" in (index if isinstance(index, tuple) else (index,)) for index in table.index]]
        rows = rows.drop(columns="missing", errors="ignore")
        assert (
            rows.drop(columns="missing", errors="ignore").map(lambda cell: isinstance(cell, Suppressed)).all(axis=None)
        )
    for result in answers(safe, BENIGN).values():
        table = result.table.drop(columns="missing", errors="ignore")
        assert not table.map(lambda cell: isinstance(cell, Suppressed)).any(axis=None)
    figures(
        "A13",
        f"one person's outlier and a level that one person has, through {len(ASKS)} statistics",
        without=f"{seen} numbers show the outlier; the level's count is 1",
        with_defence="0 numbers; the level is hidden wherever it stands",
        mark="the planted outlier never appears",
        benign=f"{len(BENIGN)} like statistics of an ordinary column are released whole",
    )
