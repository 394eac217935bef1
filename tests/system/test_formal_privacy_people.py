"""Formal privacy with people about: the last tenth of a budget waits for a checker, and rehearsals cost nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sojourn as sj
from sojourn.client.studies import Run
from sojourn.disclosure.review import APPROVE, Vote
from sojourn.identity.keys import PrivateKey
from sojourn.node.dictionary import Dictionary
from sojourn.node.review_view import listed
from sojourn.node.service import Node
from sojourn.testbed import Federation

SITE = "Avon"
PATIENCE = 30.0


def bounded(dictionary: Dictionary) -> Dictionary:
    return replace(
        dictionary, columns={**dictionary.columns, "age": replace(dictionary.columns["age"], low=0, high=99)}
    )


@pytest.fixture(scope="module")
def people() -> Iterator[Federation]:
    """Ten answers are in the budget; the tenth is close to its limit. One person checks."""
    number = np.arange(400)
    frame = pd.DataFrame({"age": 20.0 + number % 60, "sex": np.where(number % 2 == 0, "F", "M")})
    budget = {SITE: {"people": {"epsilon": 1.0, "release": 0.1}}}
    with Federation({SITE: {"people": frame}}, privacy=budget, review=bounded) as federation:
        yield federation
        assert federation.nodes[SITE].store.verify().ok


def plan(low: int = 0, **analyses: Any) -> sj.Plan:
    return sj.Plan(table="people", min_sites=1, purpose="NRES", where=f"age >= {low}", analyses=analyses)


def until(ready: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := ready()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def spent(node: Node) -> float:
    return float(node.show()["privacy"][0]["spent"])


def test_a_rehearsal_draws_noise_on_the_stand_in_and_spends_nothing(people: Federation) -> None:
    node = people.nodes[SITE]
    asked = plan(sexes=sj.count(by="sex"), ages=sj.describe("age"), model=sj.glm("age ~ sex"))
    results = people.project().rehearse(asked).wait(PATIENCE)
    assert results.rehearsal is not None
    assert results.rehearsal["sexes"] == results.rehearsal["ages"] == {SITE: "would be released"}
    assert results.rehearsal["model"] == {SITE: "would be refused: formal privacy"}
    mean = float(results["ages"].table["mean"].iloc[0])  # of its two rounds, which are of one draw
    assert 0 < mean < 99
    assert spent(node) == 0.0 and node.store.losses("people") == []
    (row, *_) = [one for one in node.released(results.study.study) if one["analysis"] == "sexes"]
    assert row["answer"]["release"]["header"]["noise"]


def test_the_last_tenth_waits_for_a_checker(people: Federation) -> None:
    node, key = people.nodes[SITE], PrivateKey.generate()
    node.desk.enrol("Carol", key.public.hex)
    project = people.project()
    for low in range(9):
        assert project.submit(plan(low, n=sj.count())).wait(PATIENCE)["n"].sites == {SITE: "contributed"}
    run: Run = project.submit(plan(9, n=sj.count()))
    (held,) = until(lambda: listed(node.desk, False))
    assert (held["tier"], held["family"]) == ("medium", "privacy budget")
    said = Vote(held["review"], held["sha256"], APPROVE, reason="looked", conditions=(), for_run=False, hide=(), time=1)
    assert node.desk.vote(said.signed(key).to_dict())["state"] == "approved"
    assert run.wait(PATIENCE)["n"].sites == {SITE: "contributed"}
    assert node.store.ledger_of(run.study) == [] and spent(node) == 1.0
    over = project.submit(plan(10, n=sj.count())).wait(PATIENCE)
    assert over.sites[SITE] == {"n": "not released: privacy budget"}


def test_all_quantiles_of_a_column_are_read_from_one_noisy_answer() -> None:
    """Beside a site that answers exactly: what both say adds up."""
    ages = 20.0 + np.arange(3_000) % 60
    tables = {site: {"people": pd.DataFrame({"age": ages})} for site in (SITE, "Brent")}
    budget = {SITE: {"people": {"epsilon": 1.0, "release": 0.1}}}
    with Federation(tables, privacy=budget, review=bounded) as both:
        asked = both.run(plan(q=sj.quantiles("age", precision=1)))["q"]
        again = both.run(plan(q=sj.quantiles("age", q=[0.25, 0.5], precision=1)))["q"]
        assert spent(both.nodes[SITE]) == 0.1
    assert "differentially private" in asked.exactness
    found, truth = asked.table["value"].astype(float), np.quantile(np.tile(ages, 2), [0.25, 0.5, 0.75])
    # Laplace noise of scale 10 in 100 bins: 100 rows to the middle, of the 800 in eight years.
    assert np.allclose(found, truth, atol=8.0)
    assert again.table["value"].tolist() == found.tolist()[:2]
    assert again.table["n"].iloc[0] == asked.table["n"].iloc[0]
