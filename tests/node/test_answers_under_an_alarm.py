"""While an alarm stands about a researcher: nothing known leaves again by itself, and no noise is drawn for her."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import func, select

import sojourn as sj
from sojourn.client.studies import Run
from sojourn.disclosure.review import APPROVE, Vote
from sojourn.identity.keys import PrivateKey
from sojourn.node.computing import Computation
from sojourn.node.histories import UNUSUAL
from sojourn.node.review_view import listed
from sojourn.node.tables import ledger, losses, noisy, releases
from sojourn.testbed import PROJECT, Federation

SITE = "Aarau"
NUMBER = np.arange(120)
TABLE = pd.DataFrame({"record": NUMBER.astype(float), "sex": np.where(NUMBER % 2, "F", "M")})
SECRET = [f"secret{number}" for number in range(5)]
OPEN, PRIVATE = "persons", "counted"


@pytest.fixture(scope="module")
def site() -> Iterator[Federation]:
    privacy = {SITE: {PRIVATE: {"epsilon": 4.0, "release": 0.5}}}
    tables = dict.fromkeys([OPEN, PRIVATE, *SECRET], TABLE)
    with Federation({SITE: tables}, usual_asks=5, privacy=privacy) as federation:
        yield federation
        assert federation.nodes[SITE].store.verify().ok


class Asker:
    """A researcher with a key of her own, approved for two tables."""

    def __init__(self, federation: Federation) -> None:
        self.federation, self.key = federation, PrivateKey.generate()
        self.node = federation.nodes[SITE]
        federation.hub.add_member(PROJECT, self.key.public.hex)
        self.node.approve(PROJECT, self.key.public.hex, [OPEN, PRIVATE])

    def submit(self, table: str = OPEN, where: str = "") -> Run:
        plan = sj.Plan(table=table, where=where, analyses={"n": sj.count(by="sex")}, min_sites=1, purpose="HMB")
        return self.federation.connection(self.key).project(PROJECT).submit(plan)

    def ask(self, table: str = OPEN, where: str = "") -> Any:
        """The decision on one ask."""
        run = self.submit(table, where)
        run.wait(60)
        return self.decision(run)

    def decision(self, run: Run) -> Any:
        (row,) = self.node.store.rows(select(releases).where(releases.c.study == run.study))
        return row

    @contextmanager
    def suspected(self) -> Iterator[None]:
        """She asks for every table that she may not have; in the end the custodian is content."""
        for table in SECRET:
            self.submit(table).wait(60)
        assert self.node.histories.standing(self.key.public.hex)
        yield
        self.node.histories.clear(self.key.public.id, "spoke with her", self.node.clock())


@contextmanager
def checkers(federation: Federation) -> Iterator[dict[str, PrivateKey]]:
    desk, keys = federation.nodes[SITE].desk, {name: PrivateKey.generate() for name in ("Carol", "Dora")}
    for name, key in keys.items():
        desk.enrol(name, key.public.hex)
    yield keys
    for name in keys:
        desk.dismiss(name)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The analyses that are computed."""
    seen: list[str] = []
    really = Computation.round

    def noted(self: Computation, analysis: str, ask: Any) -> Any:
        seen.append(analysis)
        return really(self, analysis, ask)

    monkeypatch.setattr(Computation, "round", noted)
    return seen


def drawn(asker: Asker) -> list[int]:
    """How many losses there are, and how many noisy answers."""
    return [asker.node.store.rows(select(func.count().label("n")).select_from(one))[0]["n"] for one in (losses, noisy)]


def test_formal_privacy_draws_nothing_and_spends_nothing(site: Federation, computed: list[str]) -> None:
    """Neither what is new nor what is known already; no checker is asked, since none looks at a noisy answer."""
    asker, where = Asker(site), "record >= 20"
    before = asker.ask(PRIVATE, where)
    assert before["reason"] == "" and computed == ["n"]
    spent = drawn(asker)
    with asker.suspected():
        computed.clear()
        held = [asker.ask(PRIVATE, where), asker.ask(PRIVATE, "record >= 50")]
        with checkers(site):
            held += [asker.ask(PRIVATE, where), asker.ask(PRIVATE, "record >= 50")]
            assert listed(asker.node.desk, False) == []
        assert [(row["reason"], row["answer"]) for row in held] == [(UNUSUAL, None)] * 4
        assert computed == [] and drawn(asker) == spent
        assert Asker(site).ask(PRIVATE, where)["reason"] == ""  # of her alone
    again = asker.ask(PRIVATE, where)
    assert again["reason"] == "" and drawn(asker) == spent and computed == []
    assert partial(again) == partial(before)


def test_what_left_before_does_not_leave_again_by_itself(site: Federation, computed: list[str]) -> None:
    asker, other = Asker(site), Asker(site)
    first = asker.ask(where="record >= 20")
    assert first["reason"] == "" and computed == ["n"]
    with asker.suspected():
        assert asker.ask(where="record >= 20")["reason"] == UNUSUAL
        computed.clear()
        repeated = other.ask(where="record >= 20")
        assert (repeated["reason"], repeated["first_study"]) == ("", first["study"]) and computed == []
        with checkers(site) as keys:
            run = asker.submit(where="record >= 20")
            row = approved(asker, run, keys)
            assert (row["reason"], row["first_study"], computed) == ("", "", ["n"])
            assert partial(row) == partial(first)
    computed.clear()
    assert asker.ask(where="record >= 20")["first_study"] == first["study"] and computed == []


def test_what_two_checkers_let_out_for_her_is_not_repeated(site: Federation, computed: list[str]) -> None:
    """Nobody else stands under an alarm, so for anybody else it is an ask like any other: computed, and charged."""
    asker, other = Asker(site), Asker(site)
    with asker.suspected(), checkers(site) as keys:
        row = approved(asker, asker.submit(where="record >= 40"), keys)
        assert (row["reason"], row["tier"]) == ("", "high")
        computed.clear()
        fresh = other.ask(where="record >= 40")
        assert (fresh["reason"], fresh["first_study"], fresh["tier"]) == ("", "", "low") and computed == ["n"]
        charges = asker.node.store.rows(select(ledger.c.study).where(ledger.c.study == fresh["study"]))
        assert charges and partial(fresh) == partial(row)


def approved(asker: Asker, run: Run, keys: dict[str, PrivateKey]) -> Any:
    """The decision after both checkers have said yes."""
    end = time.monotonic() + 60
    while not (waiting := listed(asker.node.desk, False)):
        assert time.monotonic() < end
        time.sleep(0.01)
    (held,) = waiting
    assert (held["study"], held["tier"], held["family"], held["needs"]) == (run.study, "high", UNUSUAL, 2)
    for key in keys.values():
        vote = Vote(held["review"], held["sha256"], APPROVE, "agreed", (), False, (), 1)
        asker.node.desk.vote(vote.signed(key).to_dict())
    run.wait(60)
    return asker.decision(run)


def partial(row: Any) -> Any:
    """The numbers that left."""
    return json.loads(row["answer"])["release"]["partial"]
