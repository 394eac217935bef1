"""Restored backups in a whole federation: the others notice, nothing runs until people say so, nothing is forgotten."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from pyroaring import BitMap
from restorable import Restorable, until
from small_frames import SITES, frame, plan
from sqlalchemy import select

import sojourn as sj
from sojourn.audit.entry import Entry
from sojourn.audit.receipt import decode
from sojourn.audit.witness import cosigned
from sojourn.errors import ConfigurationError, SiteRefused, SojournError, StudyFailed
from sojourn.forms import log_of
from sojourn.hub.tables import metadata as hub_tables
from sojourn.messages import PROTOCOL, Task
from sojourn.node import polling
from sojourn.node.hub_link import HubLink
from sojourn.node.tables import ledger, person_sets, releases, runs
from sojourn.storage.log import entries, log_tables
from sojourn.storage.witnessing import Peer
from sojourn.testbed import NAME

pytestmark = pytest.mark.long

LOG = log_tables(hub_tables)
THREE = {"n": sj.count(by="sex"), "fit": sj.glm("ill ~ age + smoker", family="binomial"), "d": sj.describe("age")}


@pytest.fixture
def one(monkeypatch):
    monkeypatch.setattr(polling, "LONGEST_POLL", 0.3)  # a log is shown with each poll
    # A repetition is charged when it is recalled: nobody knows then whose numbers it repeats.
    with Restorable({site: {"patients": frame(site)} for site in SITES}, repeats=False) as federation:
        yield federation


def told(store):
    return [decode(data) for data in store.read(lambda connection: list(entries(connection, LOG)))]


def kinds(store):
    return [entry["kind"] for entry in told(store)]


def submitted(one):
    return one.project().submit(plan())


def suspended(one):
    return {view.site: view.suspended for view in one.hub.site_views()}


def charges(node):
    rows = node.store.rows(select(ledger).order_by(ledger.c.study, ledger.c.analysis, ledger.c.label))
    words = ("study", "analysis", "snapshot", "measure", "label", "digest")
    return [tuple(row[word] for word in words) for row in rows]


def test_an_honest_federation_is_witnessed_all_round(one):
    for _ in range(3):
        one.run(plan())
    facts = {row["witness"]: row for row in one.hub.witnessing.facts()["witnessed_by"]}
    assert set(facts) == {log_of(site) for site in SITES}
    for site, node in one.nodes.items():
        row = facts[log_of(site)]
        assert row["size"] > 0 and not row["refused"]
        assert cosigned(row["note"], log_of(site), node.store.public_key) is not None
        [own] = node.show()["log"]["witnessed_by"]
        assert own["witness"] == NAME and own["size"] > 0 and not own["behind"]
    assert set(suspended(one).values()) == {None}
    for store in (one.hub.store, *(node.store for node in one.nodes.values())):
        assert not [kind for kind in kinds(store) if kind.startswith("witness")]


def replay(node, task):
    """A hub asks an old question again; what the node makes of it."""
    with pytest.raises(SiteRefused) as caught:
        node.runner.admission.run(task, node.clock())
    return caught.value.reason


def test_messages_that_cross_each_other_hold_nothing_up(one, monkeypatch):
    """A poll of the same moment arrives first: what the hub remembers is not what the delivery was proven from."""
    monkeypatch.setattr(polling, "LONGEST_POLL", 20.0)
    node, genuine, crossed = one.nodes["amber"], HubLink.deliver, []

    def deliver(link, message):
        if link.site == "amber" and len(crossed) < 3:
            node.store.write(Entry("thing.added", "custodian"), lambda connection: None)
            [memory] = [row for row in one.hub.witnessing.facts()["witness_of"] if row["log"] == log_of("amber")]
            shown = node.witnessing.show(NAME, memory["size"])
            crossed.append(one.hub.witnessing.hear(Peer(log_of("amber"), node.store.public_key), shown).refused)
        return genuine(link, message)

    monkeypatch.setattr(HubLink, "deliver", deliver)
    assert submitted(one).wait(15)["n"].table["n"].notna().all()
    assert crossed == ["", "", ""] and not node.witnessing.distrusts(NAME)
    assert "not accepted" not in (node.home.folder / "journal.log").read_text()


def test_a_restored_hub_gets_nothing_from_a_node_until_its_custodian_accepts(one):
    one.run(plan())
    request = one.project().request(plan())
    old = one.backup(one.hub)
    run = one.project().send(request)
    first = run.wait(30)
    [(analysis, digest)] = one.hub.store.asks_of(run.study)
    task = one.hub.studies._task_of(run.study, analysis, digest)
    one.run(plan())
    charged = {site: charges(node) for site, node in one.nodes.items()}

    one.restore_hub(old)
    nodes = one.nodes.values()
    until("the alarm", lambda: all(node.witnessing.distrusts(NAME) for node in nodes), told=one.standing)
    assert {node.witnessing.distrusts(NAME) for node in nodes} == {"rollback"}
    until("the hub hears it", lambda: set(suspended(one).values()) == {"log"})
    for node in one.nodes.values():
        assert kinds(node.store).count("witness.refused") == 1
        assert "rollback" in (node.home.folder / "journal.log").read_text()
        [shown] = node.show()["log"]["witness_of"]
        assert (shown["log"], shown["refused"]) == (NAME, "rollback")
    waiting = submitted(one)
    with pytest.raises(StudyFailed):
        waiting.wait(1.0)
    assert all(node.store.run(waiting.study) is None for node in one.nodes.values())
    assert one.hub.store.study(waiting.study)["state"] == "running", "it waits, by its straggler policy"

    for node in one.nodes.values():
        assert node.accept_log("the hub was restored on Monday")["was"] == "rollback"
        assert kinds(node.store)[-1] == "witness.accepted" and node.witnessing.evidence(NAME)
    assert waiting.wait(60)["n"].table["n"].notna().all()
    until("the hub hears it", lambda: set(suspended(one).values()) == {None})
    assert kinds(one.hub.store).count("witness.behind") == 3
    # Nonces and budgets live at the nodes: what the hub forgot, they did not.
    for site, node in one.nodes.items():
        assert {row for row in charges(node) if row[0] != waiting.study} == set(charged[site])
        assert replay(node, task) == "cancelled"
    # What it had acknowledged before is said to it again, in the same bytes, and in no others.
    again = one.project().send(request).wait(60)
    assert again["n"].table.equals(first["n"].table) and again["n"].sites == dict.fromkeys(SITES, "contributed")
    for site, node in one.nodes.items():
        assert {row for row in charges(node) if row[0] != waiting.study} == set(charged[site])
        of_run = [entry["kind"] for entry in told(node.store) if entry["study"] == run.study]
        assert of_run.count("release.sealed") == 1 and of_run.count("release.acknowledged") == 2


def test_a_restored_node_runs_nothing_until_it_recovered_and_the_hub_accepts(one):
    node = one.nodes["amber"]
    one.run(plan())
    old = one.backup(node)
    run = submitted(one)
    run.wait(30)
    [(analysis, digest)] = one.hub.store.asks_of(run.study)
    task = one.hub.studies._task_of(run.study, analysis, digest)
    one.run(sj.Plan(table="patients", purpose="HMB", analyses=THREE))
    one.run(sj.Plan(table="patients", purpose="HMB", where="age > 200", analyses={"n": sj.count()}))  # refused
    until("acknowledged", lambda: not node.store.unacknowledged())
    charged, decided = charges(node), decisions(node)

    node = one.restore_node("amber", old)
    assert len(charges(node)) < len(charged)
    until("the node knows", lambda: node.witnessing.behind(NAME))
    until("the hub suspects", lambda: one.hub.witnessing.distrusts(log_of("amber")) == "rollback")
    assert suspended(one) == {**dict.fromkeys(SITES), "amber": "log"}
    assert "sojourn node recover" in (node.home.folder / "journal.log").read_text()
    waiting = submitted(one)
    until("the others answer", lambda: [row["site"] for row in one.hub.store.waiting_in(waiting.study)] == ["amber"])

    one.hub.accept_log("amber", "restored on Monday")  # alone, it is not enough
    until("trusted", lambda: suspended(one)["amber"] is None)
    until("a task is offered", lambda: one.hub.studies.tasks_for("amber", set()))
    assert node.witnessing.behind(NAME) and node.store.run(waiting.study) is None

    assert node.recover() == {"studies": 3, "answers": len(decided) - 2, "refusals": 1, "sets": len(charged) - 3}
    assert charges(node) == charged and decisions(node) == decided
    assert {row["ended"] for row in node.store.rows(select(runs)) if row["study"] == run.study} == {"restored"}
    assert [kind for kind in kinds(node.store) if "re" in kind][-1] == "node.recovered"
    assert waiting.wait(60)["n"].table["n"].notna().all()
    with pytest.raises(ConfigurationError, match="nothing to recover"):
        node.recover()
    assert replay(node, task) == "cancelled"


def decisions(node):
    found = node.store.rows(select(releases))
    return {(row["ask"], row["reason"], row["round"]): row["answer"] and json.loads(row["answer"]) for row in found}


@pytest.mark.nightly
def test_without_its_snapshot_a_restored_node_charges_everyone(one):
    node = one.nodes["amber"]
    old = one.backup(node)
    one.run(plan())
    node = one.restore_node("amber", old)
    until("the node knows", lambda: node.witnessing.behind(NAME))
    for path in (node.home.folder / "datasets").rglob("*.duckdb"):
        path.unlink()
    assert node.recover()["sets"] == 1
    [row] = node.store.rows(select(ledger))
    assert row["label"] == "restored: everyone, as the snapshot is gone"
    [kept] = node.store.rows(select(person_sets))
    assert kept["digest"] == row["digest"] and len(BitMap.deserialize(kept["persons"])) == 2**32
    with pytest.raises(SojournError):  # nobody can say what the next answer would tell together with the lost one
        _ = one.run(plan())["n"].table


def test_a_restored_node_charges_what_it_gave_away_under_formal_privacy(monkeypatch):
    """Its noisy numbers are gone, so that an equal question costs again; the budget knows of both."""
    monkeypatch.setattr(polling, "LONGEST_POLL", 0.3)
    budget = {"amber": {"patients": {"epsilon": 2.0, "release": 0.5}}}
    sites = {site: {"patients": frame(site)} for site in SITES}
    with Restorable(sites, privacy=budget, review=lambda one: replace(one, rows_per_person=1)) as one:
        old = one.backup(one.nodes["amber"])
        one.run(plan())
        assert one.nodes["amber"].show()["privacy"][0]["spent"] == 0.25
        node = one.restore_node("amber", old)
        assert node.show()["privacy"][0]["spent"] == 0
        until("the node knows", lambda: node.witnessing.behind(NAME))
        node.recover()
        assert node.show()["privacy"][0]["spent"] == 0.25
        one.hub.accept_log("amber", "restored")
        until("the node works", lambda: not node.witnessing.behind(NAME))
        one.run(plan())
        assert node.show()["privacy"][0]["spent"] == 0.5


def test_what_the_hub_recalls_is_not_believed_but_verified(one):
    node = one.nodes["amber"]
    old = one.backup(node)
    one.run(plan())
    node = one.restore_node("amber", old)
    until("the node knows", lambda: node.witnessing.behind(NAME))
    genuine = HubLink.recall

    def altered(change):
        def recall(link, after):
            found = genuine(link, after)
            return [study.model_copy(update=change(study)) for study in found]

        return recall

    other = one.hub.studies.recall("beryl", "")[0]
    [mine] = one.hub.studies.recall("amber", "")[0].tasks
    lies = [
        lambda study: {"request": {**study.request, "payload": study.request["payload"][:-4] + "AAAA"}},
        lambda study: {"study": "f" * 32},
        lambda study: {"tasks": other.tasks},
        lambda study: {"tasks": [mine.model_copy(update={"answer": other.tasks[0].answer})]},
        lambda study: {"tasks": [mine.model_copy(update={"ask": "0" * 64})]},
        lambda study: {"tasks": [mine.model_copy(update={"receipt": {**mine.receipt, "index": 0}})]},
    ]
    for lie in lies:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(HubLink, "recall", altered(lie))
            with pytest.raises(SojournError):
                node.recover()
        assert node.witnessing.behind(NAME) and not node.store.rows(select(ledger))
    assert node.recover()["answers"] == 1


def test_an_older_node_that_shows_no_log_still_works(one):
    """It is answered without the words that it does not know; so is an older client."""
    link = one.nodes["amber"]._polling.link
    one.nodes["amber"].leave()
    until("silence", lambda: not one.nodes["amber"]._polling._thread.is_alive())
    document = {"protocol": PROTOCOL, "software": "0.1.0", "known": [], "running": [], "wait": 0.0}
    assert set(link.client.post("/v1/sites/amber/poll", json=document).json()) == {"tasks", "ended", "time", "software"}
    run = submitted(one)
    body = link.client.post("/v1/sites/amber/poll", json=document).json()
    assert body["tasks"] == [], "it showed its log before: it may not fall silent"
    assert all("suspended" not in view.model_dump(mode="json") for view in one.hub.site_views())
    with one.hub.store._engine.connect() as connection:
        connection.exec_driver_sql("DELETE FROM witness WHERE origin = 'amber.node'")
        connection.commit()
    [task] = link.client.post("/v1/sites/amber/poll", json=document).json()["tasks"]
    refusal = {"study": run.study, "analysis": "n", "ask": Task.model_validate(task).key(), "reason": "internal"}
    answered = link.client.post("/v1/sites/amber/deliveries", json={**refusal, "sealed": None}).json()
    assert set(answered) == {"receipt"} and answered["receipt"]["entry"]
