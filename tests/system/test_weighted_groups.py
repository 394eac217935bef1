"""Groups balanced by weights through hub and nodes, under the product's own rules."""

import numpy as np
import pandas as pd
import pytest

from sojourn.statistics.catalogue_comparisons import balance
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

ASKED = balance("age", "dead", by="treated", weights="w")


def patients(seed: int) -> pd.DataFrame:
    """Older ones are treated more often; weights are inverse probabilities of what they got."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(40, 80, 400)
    chance = 1 / (1 + np.exp(-(age - 60) / 20))
    treated = rng.random(400) < chance
    weight = np.where(treated, 1 / chance, 1 / (1 - chance))
    return pd.DataFrame({"age": age, "dead": rng.random(400) < 0.3, "treated": treated, "w": weight})


def answer(frames: dict[str, pd.DataFrame]):
    with Federation({site: {"t": frame} for site, frame in frames.items()}) as made:
        return made.run(Plan(table="t", analyses={"b": ASKED}))["b"]


@pytest.mark.long
def test_weights_balance_and_three_persons_who_weigh_nearly_all_hide_what_they_would_show():
    frames = {site: patients(seed) for seed, site in enumerate(("a", "b", "c"))}
    found, pooled = answer(frames), pd.concat(frames.values())
    no, yes = (part for _, part in pooled.groupby("treated"))
    apart = np.average(yes["age"], weights=yes["w"]) - np.average(no["age"], weights=no["w"])
    expected = apart / np.sqrt((yes["age"].var() + no["age"].var()) / 2)
    assert found.table.loc["age", "weighted_smd"] == pytest.approx(expected, rel=1e-9)
    assert abs(expected) < 0.1 < found.table.loc["age", "smd"]
    assert not found.warnings
    frames["b"].loc[np.flatnonzero(frames["b"]["treated"])[:3], "w"] = 1e6
    hidden = answer(frames)
    assert hidden.table["weighted_smd"].map(str).eq("suppressed").all()
    assert hidden.table.loc["age", "smd"] == pytest.approx(found.table.loc["age", "smd"], rel=1e-12)
    assert "too few persons" in hidden.warnings[0]
