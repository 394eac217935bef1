"""Held outputs in a whole federation: hold, look, decide; what leaves, what is told, and what is remembered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rfc8785
from sqlalchemy import MetaData, select

import sojourn as sj
from sojourn.client.studies import Run
from sojourn.disclosure.output import Finding, Output, Tier, Verdict
from sojourn.disclosure.parameters import Parameters
from sojourn.disclosure.policy import StandardPolicy
from sojourn.disclosure.review import APPROVE, HIDE, REJECT, Vote
from sojourn.disclosure.risk import WORDS
from sojourn.errors import REASONS, DisclosureRefused, ReviewError
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Poll
from sojourn.node.airlock import Airlock
from sojourn.node.review_store import ReviewStore
from sojourn.node.review_view import listed, shown
from sojourn.node.service import Node
from sojourn.node.tables import ledger, releases, reviews
from sojourn.storage.log import log_tables
from sojourn.testbed import Federation

SITES = ("Avon", "Brent", "Cam")
LINES = ("a", "b")
POLICY = StandardPolicy(Parameters(dimensions=1))  # two dimensions are of medium risk here
AHEAD = {"hub": 0.0}  # seconds by which the hub's clock is ahead
PATIENCE = 30.0


def rows(seed: int, each: int = 40) -> pd.DataFrame:
    """Two columns of three levels with `each` persons in each of their nine cells, and two numbers."""
    cells = np.indices((3, 3)).reshape(2, -1)
    frame = pd.DataFrame({name: np.repeat(cells[place], each) for place, name in enumerate(LINES)})
    frame = "level " + frame.astype(str)
    random = np.random.default_rng(seed)
    x = random.normal(size=len(frame))
    x[0] = 8.0  # one person's leverage is above 1/T, and below the limit
    return frame.assign(x=x, y=x + random.normal(size=len(frame)))


def medium(**words: Any) -> sj.Plan:
    """Two dimensions: more than leave by themselves under this policy."""
    return sj.Plan(table="patients", purpose="HMB", analyses={"table": sj.count(by=list(LINES))}, **words)


@dataclass(frozen=True)
class High(StandardPolicy):
    """What is of medium risk elsewhere is of high risk here."""

    def judge(self, output: Output) -> Finding:
        finding = super().judge(output)
        return finding if finding.tier is not Tier.MEDIUM else replace(finding, tier=Tier.HIGH)


@pytest.fixture(scope="module")
def wards() -> Iterator[Federation]:
    """Avon: medium risk, one checker. Brent: high risk, three. Cam: nobody checks."""
    tables = {site: {"patients": rows(number)} for number, site in enumerate(SITES)}
    policies = {"Avon": POLICY, "Brent": High(POLICY.parameters), "Cam": POLICY}
    clocks = {"hub": lambda: time.time() + AHEAD["hub"]}
    with Federation(tables, rules=policies, clock=clocks) as federation:
        KEYS["Avon"] = enrol(federation.nodes["Avon"], "Carol")
        KEYS["Brent"] = enrol(federation.nodes["Brent"], "Carol", "Dora", "Emil")
        yield federation
        for node in federation.nodes.values():
            assert node.store.verify().ok


KEYS: dict[str, dict[str, PrivateKey]] = {}


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


def asked(wards: Federation, site: str, plan: sj.Plan | None = None) -> tuple[Run, dict[str, Any]]:
    """A study of one site, and its output that waits there."""
    run = wards.project().submit(plan or medium(), sites=[site])
    return run, waits(wards.nodes[site], run)


def waits(node: Node, run: Run) -> dict[str, Any]:
    """The held output of a study, once it is there."""
    (found,) = until("a held output", lambda: [row for row in listed(node.desk, False) if row["study"] == run.study])
    return found


def vote(node: Node, name: str, review: dict[str, Any], verdict: str = APPROVE, **words: Any) -> dict[str, Any]:
    key = words.pop("key", None) or KEYS[node.home.site][name]
    said = {"reason": "looked at it", "conditions": (), "for_run": False, "hide": (), "time": 1, **words}
    digest = said.pop("digest", review["sha256"])
    return node.desk.vote(Vote(review["review"], digest, verdict, **said).signed(key).to_dict())


def events(run: Run, state: str) -> list[dict[str, Any]]:
    return [event for event in run.view().events if event["state"] == state]


def of(node: Node, table: Any, run: Run) -> list[Any]:
    return node.store.rows(select(table).where(table.c.study == run.study))


def logged(node: Node, run: Run) -> list[dict[str, Any]]:
    entry = log_tables(MetaData()).entry.c
    found = node.store.rows(select(entry.data).where(entry.study == run.study).order_by(entry.position))
    return [json.loads(row["data"]) for row in found]


def test_a_medium_output_waits_for_one_checker_and_leaves_as_it_was_checked(wards):
    node = wards.nodes["Avon"]
    run, held = asked(wards, "Avon")
    until("the hub's knowledge", lambda: events(run, "in review"))
    assert [event["site"] for event in events(run, "in review")] == ["Avon"]
    assert run.view().state == "running"
    assert of(node, ledger, run) == of(node, releases, run) == []  # charged when it leaves
    assert vote(node, "Carol", held)["state"] == "approved"
    results = run.wait(PATIENCE)
    assert results["table"].table["n"].tolist() == [40] * 9
    assert results["table"].sites == {"Avon": "contributed"}
    assert results.trusted
    (review,), (row,) = of(node, reviews, run), of(node, releases, run)
    release = json.loads(row["answer"])["release"]
    assert hashlib.sha256(review["document"]).hexdigest() == held["sha256"] == review["digest"]
    assert rfc8785.dumps(release) == review["document"]
    assert release["tier"] == row["tier"] == "medium"
    charged = [row["digest"] for row in of(node, ledger, run)]  # nine cells, six margins, and all together
    assert len(charged) == len(set(charged)) == 16
    kinds = [entry["kind"] for entry in logged(node, run)]
    assert [kinds.count(kind) for kind in ("review.opened", "review.approved", "ledger.charged")] == [1, 1, 1]
    with pytest.raises(ReviewError, match="approved"):
        vote(node, "Carol", held)
    assert 'sojourn_node_reviews_total{outcome="approved"}' in node.metrics.text()


def test_without_a_checker_it_is_refused_as_before(wards):
    run = wards.project().submit(medium(), sites=["Cam"])
    with pytest.raises(DisclosureRefused) as refused:
        _ = run.wait(PATIENCE)["table"].table
    assert refused.value.family == "minimum frequency"
    assert of(wards.nodes["Cam"], reviews, run) == []


def test_a_rejection_is_one_word_for_the_researcher_and_a_hash_in_the_log(wards):
    node = wards.nodes["Avon"]
    run, held = asked(wards, "Avon")
    assert vote(node, "Carol", held, REJECT, reason="Mrs Quuxly would be known")["state"] == "rejected"
    with pytest.raises(DisclosureRefused) as refused:
        _ = run.wait(PATIENCE)["table"].table
    assert refused.value.family == "review"
    entries = logged(node, run)
    assert "Quuxly" not in json.dumps(entries)
    (rejected,) = [entry for entry in entries if entry["kind"] == "review.rejected"]
    assert rejected["facts"]["votes"][0]["reason"] == hashlib.sha256(b"Mrs Quuxly would be known").hexdigest()
    assert shown(node.desk, held["review"])["votes"][0]["reason"] == "Mrs Quuxly would be known"
    assert of(node, ledger, run) == []


def test_high_risk_needs_two_who_do_not_see_each_other_s_vote(wards):
    node = wards.nodes["Brent"]
    run, held = asked(wards, "Brent")
    assert (held["tier"], held["needs"]) == ("high", 2)
    assert vote(node, "Carol", held)["state"] == "voted once"
    assert of(node, releases, run) == []
    seen = json.dumps([shown(node.desk, held["review"]), listed(node.desk, False), node.show(), logged(node, run)])
    assert "approve" not in seen.replace('"approved"', "").replace("researcher.approve", "").replace("An approval", "")
    with pytest.raises(ReviewError, match="You have voted"):
        vote(node, "Carol", held)
    assert vote(node, "Dora", held)["state"] == "approved"
    assert run.wait(PATIENCE)["table"].sites == {"Brent": "contributed"}
    assert [cast["checker"] for cast in shown(node.desk, held["review"])["votes"]] == ["Carol", "Dora"]


@pytest.mark.parametrize("verdicts", [(APPROVE, REJECT), (REJECT, APPROVE)])
def test_two_who_do_not_agree_let_nothing_leave(wards, verdicts):
    node = wards.nodes["Brent"]
    run, held = asked(wards, "Brent")
    states = [
        vote(node, name, held, verdict)["state"] for name, verdict in zip(("Carol", "Dora"), verdicts, strict=True)
    ]
    assert states == ["voted once", "rejected"]
    assert run.wait(PATIENCE)["table"].sites == {"Brent": "not released: review"}


def test_authors_never_check_their_own(wards):
    """Neither by the key that asks, nor by a key of their own as a checker, under the name that the custodian knows."""
    node = wards.nodes["Avon"]
    node.approve("testbed", wards._key.public.hex, name="Carol")
    node.desk.enrol("Dora", wards._key.public.hex)
    try:
        run = wards.project().submit(medium(), sites=["Avon"])
        assert run.wait(PATIENCE)["table"].sites == {"Avon": "not released: minimum frequency"}
        emil = enrol(node, "Emil")["Emil"]
        run, held = asked(wards, "Avon")
        assert held["may_check"] == ["Emil"]
        with pytest.raises(ReviewError, match="Authors never"):
            vote(node, "Carol", held)
        with pytest.raises(ReviewError, match="Authors never"):
            vote(node, "", held, key=wards._key)
        with pytest.raises(ReviewError, match="no checker's"):
            vote(node, "", held, key=PrivateKey.generate())
        assert vote(node, "", held, key=emil)["state"] == "approved"
        run.wait(PATIENCE)
    finally:
        node.approve("testbed", wards._key.public.hex)
        for name in ("Dora", "Emil"):
            node.desk.dismiss(name)


def test_editing_hides_more_makes_other_bytes_and_resets_votes(wards):
    node = wards.nodes["Brent"]
    run, held = asked(wards, "Brent")
    vote(node, "Carol", held)
    edited = vote(node, "Dora", held, HIDE, hide=("count[1,1]",))
    assert edited["digest"] != held["sha256"]
    assert (edited["state"], edited["version"]) == ("open", 1)
    with pytest.raises(ReviewError, match="changed meanwhile"):
        vote(node, "Emil", held)
    now = waits(node, run)
    assert now["has"] == 0
    with pytest.raises(ReviewError, match="hidden already"):
        vote(node, "Dora", now, HIDE, hide=("count[1,1]",))
    with pytest.raises(ReviewError, match="no such cell"):
        vote(node, "Dora", now, HIDE, hide=("count[7,1]",))
    assert [vote(node, name, now)["state"] for name in ("Carol", "Dora")] == ["voted once", "approved"]
    cells = [str(cell) for cell in run.wait(PATIENCE)["table"].table["n"]]
    assert sum(cell.startswith("suppressed") for cell in cells) >= 4  # the cell, and so much that it cannot be had
    assert cells[4].startswith("suppressed")


def test_who_checks_no_more_has_no_vote(wards):
    node = wards.nodes["Brent"]
    run, held = asked(wards, "Brent")
    vote(node, "Carol", held)
    node.desk.dismiss("Carol")
    assert vote(node, "Dora", held)["state"] == "voted once"
    assert vote(node, "Emil", held)["state"] == "approved"
    run.wait(PATIENCE)
    node.desk.enrol("Carol", KEYS["Brent"]["Carol"].public.hex)


def test_what_was_withdrawn_meanwhile_does_not_leave(wards):
    node, key = wards.nodes["Avon"], wards._key.public.hex
    run, held = asked(wards, "Avon")
    sweep, node.desk.airlock.reviews.store.objection = node.desk.airlock.reviews.store.objection, lambda study: ""
    try:
        node.revoke("testbed", key)  # and nobody has looked at what waits
    finally:
        node.desk.airlock.reviews.store.objection = sweep
    try:
        with pytest.raises(ReviewError, match="may leave"):
            vote(node, "Carol", held)
        assert run.wait(PATIENCE)["table"].sites == {"Avon": "not released: revoked"}
        assert [row["how"] for row in of(node, reviews, run)] == ["revoked"]
        assert of(node, ledger, run) == []
    finally:
        node.approve("testbed", key)


def test_a_withdrawal_closes_what_waits_at_once(wards):
    node, key = wards.nodes["Avon"], wards._key.public.hex
    run, _ = asked(wards, "Avon")
    node.revoke("testbed", key)
    try:
        assert run.wait(PATIENCE)["table"].sites == {"Avon": "not released: revoked"}
    finally:
        node.approve("testbed", key)
    assert [row["state"] for row in of(node, reviews, run)] == ["closed"]


def test_a_cancelled_study_closes_what_waits(wards):
    node = wards.nodes["Avon"]
    run, held = asked(wards, "Avon")
    assert run.cancel()
    until("the end of its review", lambda: not [row for row in listed(node.desk, False) if row["study"] == run.study])
    with pytest.raises(ReviewError, match="closed"):
        vote(node, "Carol", held)
    assert of(node, releases, run) == []


def test_the_custodian_s_own_no_needs_no_key(wards):
    run, held = asked(wards, "Avon")
    assert wards.nodes["Avon"].desk.close(held["review"], "not now")["state"] == "rejected"
    assert run.wait(PATIENCE)["table"].sites == {"Avon": "not released: review"}


@pytest.mark.parametrize("for_run", [True, False])
def test_an_approval_for_the_run_covers_later_rounds_that_are_no_riskier(wards, for_run):
    node = wards.nodes["Avon"]
    plan = sj.Plan(table="patients", purpose="HMB", analyses={"model": sj.glm("y ~ x", family="gaussian")})
    run, held = asked(wards, "Avon", plan)
    assert held["family"] == "design support"
    assert "covers later rounds" in shown(node.desk, held["review"])["covers"]
    vote(node, "Carol", held, for_run=for_run)
    if for_run:
        assert run.wait(PATIENCE)["model"].rounds > 1
        assert len(of(node, reviews, run)) == 1
    else:
        second = until(
            "round 2", lambda: [row for row in of(node, reviews, run) if row["round"] == 2 and row["state"] == "open"]
        )
        assert second
        run.cancel()


def test_a_study_that_waits_only_so_long_says_that_it_was_in_review(wards):
    run, _ = asked(wards, "Avon", medium(stragglers=20))
    until("the hub's knowledge", lambda: events(run, "in review"))
    AHEAD["hub"] = 25.0
    try:
        assert run.wait(PATIENCE)["table"].sites == {"Avon": "no answer: in review"}
    finally:
        AHEAD["hub"] = 0.0


def test_what_was_released_since_is_asked_again_at_the_approval(wards, monkeypatch):
    """The ledger's word comes again: riskier by now, it waits anew under other bytes, and then for two."""
    node = wards.nodes["Avon"]
    run, held = asked(wards, "Avon")
    later = Finding(Verdict.RELEASE, tier=Tier.HIGH, raised="class disclosure")
    monkeypatch.setattr(Airlock, "again", lambda self, place, output, finding: later)
    assert vote(node, "Carol", held)["state"] == "open"
    now = waits(node, run)
    assert (now["tier"], now["family"], now["needs"], now["has"]) == ("high", "class disclosure", 2, 0)
    assert now["sha256"] != held["sha256"]
    dora = enrol(node, "Dora")["Dora"]
    vote(node, "Carol", now)
    assert vote(node, "", now, key=dora)["state"] == "approved"
    assert run.wait(PATIENCE).sites["Avon"] == {"table": "contributed"}
    node.desk.dismiss("Dora")


def test_cells_that_the_ledger_hides_by_now_are_hidden_before_anything_leaves(wards, monkeypatch):
    node = wards.nodes["Avon"]
    run, held = asked(wards, "Avon")
    mask = np.zeros((3, 3), dtype=bool)
    mask[:2, :2] = True
    now_hidden = Finding(Verdict.SUPPRESS, "differencing", {"count": mask})
    monkeypatch.setattr(Airlock, "again", lambda self, place, output, finding: now_hidden)
    assert vote(node, "Carol", held)["state"] == "open"
    now = waits(node, run)
    assert now["sha256"] != held["sha256"] and now["has"] == 0
    assert vote(node, "Carol", now)["state"] == "approved"
    (row,) = of(node, releases, run)
    left = json.loads(row["answer"])["release"]["partial"]
    assert left["suppressed"] == {"count": [0, 1, 3, 4]}
    assert len(of(node, ledger, run)) < 16


def test_a_checker_sees_the_numbers_the_rule_and_what_was_released_before(wards):
    node = wards.nodes["Avon"]
    run, held = asked(wards, "Avon")
    seen = shown(node.desk, held["review"])
    (table,) = seen["tables"]
    assert table["heads"] == ["cell", "a", "b", "count", "persons", "risky"]
    assert table["rows"][0] == ["count[0,0]", "level 0", "level 0", 40, 40, ""]
    assert seen["rule"] == REASONS["minimum frequency"].sentence
    assert "more dimensions" in seen["note"]
    assert seen["before"][0]["kind"] == "count"
    assert seen["before"][0]["close"] == 0
    assert seen["waited"] >= 0
    vote(node, "Carol", held)
    run.wait(PATIENCE)


def test_what_a_site_has_learnt_can_hold_what_would_leave(wards, monkeypatch):
    node = wards.nodes["Avon"]
    flat = sj.Plan(table="patients", purpose="HMB", analyses={"table": sj.count(by="a")})
    assert wards.project().submit(flat, sites=["Avon"]).wait(PATIENCE)["table"].sites == {"Avon": "contributed"}
    few, many = ({**dict.fromkeys(WORDS, 0.0), "cells": float(np.log1p(n))} for n in (3, 50))
    monkeypatch.setattr(ReviewStore, "decisions", lambda self: [(few, True), (many, False)] * 40)
    monkeypatch.setattr(ReviewStore, "decided", lambda self: 80)
    enrol(node, "Dora")
    other = sj.Plan(table="patients", purpose="HMB", analyses={"table": sj.count(by="b")})  # not what left before
    run, held = asked(wards, "Avon", other)
    node.desk.dismiss("Dora")
    seen = shown(node.desk, held["review"])
    assert held["family"] == "review"
    assert seen["risk"]["chance"] > 0.5
    assert seen["risk"]["reasons"]
    node.desk.close(held["review"], "as was learnt")
    assert run.wait(PATIENCE)["table"].sites == {"Avon": "not released: review"}


def test_an_older_hub_hears_nothing_that_it_does_not_know():
    words = {"protocol": 1, "software": "0.1.0", "known": [], "running": [], "wait": 0.0}
    assert "reviews" not in Poll(**words).model_dump(mode="json")
    assert Poll(**words, reviews=["a" * 64]).model_dump(mode="json")["reviews"] == ["a" * 64]
    assert Poll.model_validate(words).reviews is None


def test_a_dataset_s_own_stricter_rules_hold_through_its_review():
    """Its threshold is what the desk compares with and completes by, not the site's milder one."""
    strict = StandardPolicy(POLICY.parameters, {"patients": replace(POLICY.parameters, threshold=20)})
    with Federation({"Avon": {"patients": rows(0)}}, rules=strict) as one:
        node = one.nodes["Avon"]
        key = enrol(node, "Carol")["Carol"]
        run, held = asked(one, "Avon")
        assert vote(node, "", held, HIDE, key=key, hide=("count[0,0]",))["state"] == "open"
        again = waits(node, run)
        assert vote(node, "", again, key=key)["state"] == "approved"
        (row,) = of(node, releases, run)
        release = json.loads(row["answer"])["release"]
        assert release["header"]["hidden_max"] == 19 and len(release["partial"]["suppressed"]["count"]) >= 4
