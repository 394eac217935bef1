"""Held outputs in a whole federation: hold, look, decide; what leaves, what is told, and what is remembered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rfc8785
from sqlalchemy import select

import sojourn as sj
from sojourn.client.studies import Run
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.review import APPROVE, Vote
from sojourn.errors import DisclosureRefused
from sojourn.identity.keys import PrivateKey
from sojourn.node.review_view import listed
from sojourn.node.service import Node
from sojourn.node.tables import ledger, releases, reviews
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam")
LINES = ("a", "b")
POLICY = StandardPolicy(Parameters(dimensions=1))  # two dimensions are of medium risk here
PATIENCE = 30.0


def rows(seed: int, each: int = 40) -> pd.DataFrame:
    """Two columns of three levels with `each` persons in each of their nine cells, and two numbers."""
    cells = np.indices((3, 3)).reshape(2, -1)
    frame = pd.DataFrame({name: np.repeat(cells[place], each) for place, name in enumerate(LINES)})
    frame = "level " + frame.astype(str)
    random = np.random.default_rng(seed)
    x = random.normal(size=len(frame))
    return frame.assign(x=x, y=x + random.normal(size=len(frame)))


def medium(**words: Any) -> sj.Plan:
    """Two dimensions: more than leave by themselves under this policy."""
    return sj.Plan(table="patients", purpose="HMB", analyses={"table": sj.count(by=list(LINES))}, **words)


@pytest.fixture
def wards() -> Iterator[Federation]:
    with Federation(
        {site: {"patients": rows(number)} for number, site in enumerate(SITES)}, rules=POLICY
    ) as federation:
        yield federation


def enrol(node: Node, *names: str) -> dict[str, PrivateKey]:
    keys = {name: PrivateKey.generate() for name in names}
    for name, key in keys.items():
        node.desk.enrol(name, key.public.hex)
    return keys


def until(what: str, ready: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := ready()):
        assert time.monotonic() < end, what
        time.sleep(0.01)
    return found


def waits(node: Node) -> dict[str, Any]:
    """The one held output of a node, once it is there."""
    (found,) = until("a held output", lambda: listed(node.desk, False))
    return found


def vote(node: Node, key: PrivateKey, review: dict[str, Any], verdict: str = APPROVE, **words: Any) -> dict[str, Any]:
    said = {"reason": "looked at it", "conditions": (), "for_run": False, "hide": (), "time": 1} | words
    cast = Vote(review["review"], said.pop("digest", review["sha256"]), verdict, **said)
    return node.desk.vote(cast.signed(key).to_dict())


def events(run: Run, state: str) -> list[dict[str, Any]]:
    return [event for event in run.view().events if event["state"] == state]


def test_a_medium_output_waits_for_one_checker_and_then_leaves_as_it_was_checked(wards):
    carol = {site: enrol(node, "Carol")["Carol"] for site, node in wards.nodes.items()}
    run = wards.project().submit(medium())
    held = {site: waits(node) for site, node in wards.nodes.items()}
    until("the hub's knowledge", lambda: len(events(run, "in review")) == 3)
    assert run.view().state == "running"
    for site, node in wards.nodes.items():
        row = node.store.row(select(reviews))
        assert hashlib.sha256(row["document"]).hexdigest() == held[site]["sha256"]
        assert node.store.rows(select(ledger)) == []  # charged when it leaves
        assert vote(node, carol[site], held[site])["state"] == "approved"
    results = run.wait(PATIENCE)
    assert results["table"].table["n"].tolist() == [120] * 9
    assert results.trusted
    for node in wards.nodes.values():
        (row,) = node.store.rows(select(releases))
        release = json.loads(row["answer"])["release"]
        assert release["tier"] == "medium"
        assert node.store.row(select(reviews))["document"] == rfc8785.dumps(release)
        assert len(node.store.rows(select(ledger))) > 9
        assert listed(node.desk, False) == []
        assert node.store.verify().ok
    assert results["table"].sites == dict.fromkeys(SITES, "contributed")
    assert held["Avon"]["needs"] == 1


def test_without_a_checker_it_is_refused_as_before(wards):
    results = wards.run(medium())
    with pytest.raises(DisclosureRefused) as refused:
        _ = results["table"].table
    assert refused.value.family == "minimum frequency"
    assert all(listed(node.desk, True) == [] for node in wards.nodes.values())
