"""A node of a newer version refuses with a word that its hub and the client have no sentence for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import MetaData, select

import sojourn as sj
from sojourn.client.verification import _outcome
from sojourn.errors import REASONS, UNKNOWN_WORD, TooFewSites
from sojourn.hub.views import Outcome
from sojourn.node.airlock import Airlock
from sojourn.node.decisions import Place
from sojourn.node.tables import releases
from sojourn.storage.log import log_tables
from sojourn.testbed import Federation

LATER = "a word of later"
FEW = {"person_id": np.arange(40), "sex": np.where(np.arange(40) < 3, "F", "M")}


@pytest.fixture(scope="module")
def wards() -> Iterator[Federation]:
    with Federation({"Avon": {"patients": pd.DataFrame(FEW)}}) as federation:
        yield federation


def test_a_word_that_the_hub_does_not_know(wards: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is settled, logged and told as a refusal; nothing says that the site failed."""
    real = Airlock.refuse

    def refuse(self: Airlock, place: Place, reason: str, note: str, now: float) -> None:
        real(self, place, LATER, note, now)

    monkeypatch.setattr(Airlock, "refuse", refuse)
    plan = sj.Plan(table="patients", where="sex = 'F'", analyses={"n": sj.count()}, min_sites=1, purpose="HMB")
    run = wards.project().submit(plan)
    result = run.wait(60)["n"]
    assert result.sites == {"Avon": f"not released: {UNKNOWN_WORD}"}
    with pytest.raises(TooFewSites) as told:
        _ = result.table
    assert REASONS[UNKNOWN_WORD].sentence in str(told.value) and "upgrade" in told.value.remedy
    [row] = wards.nodes["Avon"].store.rows(select(releases).where(releases.c.study == run.study))
    assert row["reason"] == LATER  # the site's own store has the word
    entry = log_tables(MetaData()).entry.c
    logged = [json.loads(row["data"]) for row in wards.hub.store.rows(select(entry.data))]
    assert [one["facts"]["reason"] for one in logged if one["kind"] == "round.refused"] == [UNKNOWN_WORD]


def test_a_word_that_the_client_does_not_know() -> None:
    said = _outcome(Outcome(status="not released", reason=LATER, bytes=0), masked=False)
    assert (said.family, said.remedy) == (UNKNOWN_WORD, REASONS[UNKNOWN_WORD].remedy)
