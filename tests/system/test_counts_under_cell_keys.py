"""A site that chooses cell keys: the same persons have the same noisy count, however and whenever it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.errors import TooFewSites
from sojourn.testbed import Federation, derive

RANDOM = np.random.default_rng(8)
PATIENTS = pd.DataFrame(
    {
        "pid": [f"p{number}" for number in range(600)],
        "ward": RANDOM.choice(list("abcd"), 600),
        "sex": RANDOM.choice(["F", "M"], 600),
        "age": RANDOM.integers(20, 90, 600).astype(float),
    }
)


@pytest.fixture(scope="module")
def federation() -> Iterator[Federation]:
    policy = StandardPolicy(Parameters(cell_key=90_210))
    with Federation({"Avon": {"patients": PATIENTS}}, rules=policy, person="pid") as made:
        yield made


def counted(federation: Federation, analysis: object, where: str = "") -> pd.Series:
    plan = sj.Plan(table="patients", analyses={"n": analysis}, min_sites=1)
    return federation.run(plan.replace(where=where) if where else plan)["n"].table["n"].astype(int)


def test_equal_sets_have_equal_noise_and_totals_do_not_tell(federation: Federation) -> None:
    truth = PATIENTS.groupby(["ward", "sex"]).size()
    table = counted(federation, sj.count(by=["ward", "sex"]))
    off = table - truth
    assert 0 < np.abs(off).max() <= 5
    turned = counted(federation, sj.count(by=["sex", "ward"]))
    assert (turned.swaplevel().sort_index() == table.sort_index()).all()
    women = counted(federation, sj.count(by=["ward"]), "sex == 'F'")
    assert (women == table.xs("F", level="sex")).all()
    # Each total has a noise of its own, which by chance may be the sum of its parts' noise, but not everywhere.
    told = [counted(federation, sj.count(by=name)) - table.groupby(name).sum() for name in ("ward", "sex")]
    assert np.abs(np.concatenate(told)).max() > 0


def test_another_snapshot_keeps_the_noise_of_the_same_persons(federation: Federation) -> None:
    before = counted(federation, sj.count(by="ward"))
    path = federation.folder / "again.parquet"
    PATIENTS.iloc[::-1].to_parquet(path)
    federation.nodes["Avon"].add_dataset(path, derive(path, "patients", "pid"))
    assert (counted(federation, sj.count(by="ward")) == before).all()


def test_sums_beside_counts_are_not_released(federation: Federation) -> None:
    plan = sj.Plan(table="patients", analyses={"n": sj.describe("age", by="ward")}, min_sites=1)
    with pytest.raises(TooFewSites):
        _ = federation.run(plan)["n"].table
