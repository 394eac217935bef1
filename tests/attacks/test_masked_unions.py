"""Masked sums of which no two are near one another, and that tell of one person together: unions of cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from recorded import Figures

import sojourn as sj
from sojourn.disclosure import joint_questions
from sojourn.disclosure.joint_unions import Unions
from sojourn.node.dictionary import Dictionary
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam")
VICTIM = 77.0


def rows(site: int) -> pd.DataFrame:
    """Sixty persons in four wards; at the first site one of ward a is older than all others, and has her income."""
    draw = np.random.default_rng(site)
    income = np.clip(draw.normal(40, 10, 60), 0, 100).round(2)
    found = pd.DataFrame({"ward": list("abcd") * 15, "age": draw.integers(20, 90, 60).astype(float), "income": income})
    if site == 0:
        found.loc[0, ["age", "income"]] = 103.0, VICTIM
    return found


def reviewed(draft: Dictionary) -> Dictionary:
    columns = dict(draft.columns)
    columns["age"] = replace(columns["age"], low=0.0, high=120.0)
    columns["income"] = replace(columns["income"], low=0.0, high=100.0)
    return replace(draft, columns=columns)


@pytest.fixture
def federation() -> Iterator[Federation]:
    tables = {site: {"patients": rows(number)} for number, site in enumerate(SITES)}
    with Federation(tables, review=reviewed) as made:
        yield made


def summed(federation: Federation, where: str = "", **by: list[str]) -> pd.DataFrame:
    plan = sj.Plan(table="patients", analyses={"m": sj.describe("income", **by)}, where=where, aggregation="masked")
    return federation.run(plan)["m"].table


def told(federation: Federation) -> float:
    """What two sums leave of one person: two wards of a table, and both without the oldest."""
    table = summed(federation, by=["ward"])
    wards = table[table.index.get_level_values("ward").isin(["a", "b"])]
    both = summed(federation, "ward in ('a', 'b') and age <= 100").iloc[0]
    assert wards["n"].sum() - both["n"] == 1
    return float((wards["n"] * wards["mean"]).sum() - both["n"] * both["mean"])


@pytest.mark.nightly
def test_a21_two_wards_of_a_table_and_both_but_one_person(
    federation: Federation, monkeypatch: pytest.MonkeyPatch, figures: Figures
) -> None:
    with pytest.raises(sj.errors.DisclosureRefused, match="earlier sum"):
        told(federation)
    assert summed(federation, "ward in ('a', 'b')").iloc[0]["n"] == 90  # exactly two wards: known already
    assert 30 < summed(federation, "age < 50").iloc[0]["n"] < 120  # a group by another variable
    tables = {site: {"patients": rows(number)} for number, site in enumerate(SITES)}
    monkeypatch.setattr(joint_questions, "beside_earlier", lambda *_: Unions((), ()))  # pairs of single sets alone
    with Federation(tables, review=reviewed) as naive:
        assert told(naive) == pytest.approx(VICTIM, abs=1e-6)
    figures(
        "A21",
        "means by ward, and of two wards without one person",
        without="the person's income exact, where each two sets are compared",
        with_defence="the second sum is refused, as unions of cells are compared as well",
        mark="no exact value",
        benign="both wards together, and those under fifty: released",
    )
