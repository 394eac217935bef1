"""What is cut off between two steps is taken up again, once; what may not leave any more does not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import contextmanager
from unittest.mock import patch

import pytest
from small_frames import ENTRIES, federation, plan
from sqlalchemy import select

import sojourn as sj
from sojourn.errors import AuditError, TransportError
from sojourn.hub.tables import tasks
from sojourn.node import polling
from sojourn.node.tables import releases
from sojourn.testbed import PROJECT, Federation

SITE = "amber"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def federated():
    # After a failure the next try waits for the poll in hand.
    with patch.object(polling, "LONGEST_POLL", 0.5), federation() as made:
        yield made


@pytest.fixture
def one(federated):
    """Three sites, all of which have approved the researcher."""
    yield federated
    federated.nodes[SITE].approve(PROJECT, federated._key.public.hex)


def entries(store, kind: str, study: str = "") -> list[dict]:
    found = store.read(lambda connection: [json.loads(row[0]) for row in connection.exec_driver_sql(ENTRIES)])
    return [entry for entry in found if entry["kind"] == kind and entry["study"] == study]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def once(owner: object, name: str, error: Exception, *, before: bool = True):
    """The method fails at its first call: before it does anything, or when it has done everything."""
    real, calls = getattr(owner, name), []

    def fails(*arguments, **settings):
        calls.append(arguments)
        if len(calls) > 1:
            return real(*arguments, **settings)
        if not before:
            real(*arguments, **settings)
        raise error

    return patch.object(owner, name, fails)


def lost() -> Exception:
    return TransportError("Lost.", remedy="Send again.")


def full() -> Exception:
    return AuditError("The disk is full.", remedy="Make room.")


@contextmanager
def unreachable(one: Federation, *, arrives: bool):
    """What amber hands over is lost, or only the answers to it are; a study is under way meanwhile."""
    link = one.nodes[SITE]._polling.link
    real, tried = link.deliver, []

    def deliver(message):
        if arrives:
            real(message)
        tried.append(message)
        raise lost()

    with patch.object(link, "deliver", deliver):
        run = one.project().submit(plan())
        until(lambda: bool(tried))
        yield run


def row_of(one: Federation, study: str):
    return one.nodes[SITE].store.row(select(releases).where(releases.c.study == study))


def revoke(one: Federation) -> None:
    one.nodes[SITE].revoke(PROJECT, one._key.public.hex)


def test_what_was_sealed_before_a_revocation_is_not_sent_after_it(one):
    node = one.nodes[SITE]
    with unreachable(one, arrives=False) as run:
        revoke(one)
    results = run.wait(PATIENCE)
    assert row_of(one, run.study)["reason"] == "revoked"
    [task] = one.hub.store.rows(select(tasks).where(tasks.c.study == run.study, tasks.c.site == SITE))
    assert (task["state"], task["reason"], task["answer"]) == ("not released", "revoked", None)
    assert results["n"].sites[SITE] == "not released: revoked"
    until(lambda: row_of(one, run.study)["acknowledged"])
    assert len(entries(node.store, "release.withdrawn", run.study)) == 1
    [acknowledged] = entries(node.store, "release.acknowledged", run.study)
    assert acknowledged["facts"]["settled"] == "round.refused"


def test_a_withdrawn_release_that_had_arrived_is_known_as_such(one):
    node = one.nodes[SITE]
    with unreachable(one, arrives=True) as run:
        revoke(one)
    assert run.wait(PATIENCE)["n"].sites[SITE].startswith("contributed")
    until(lambda: row_of(one, run.study)["acknowledged"])
    assert row_of(one, run.study)["reason"] == ""
    [acknowledged] = entries(node.store, "release.acknowledged", run.study)
    assert acknowledged["facts"]["settled"] == "round.answered"
    assert len(entries(one.hub.store, "round.answered", run.study)) == 3


def test_what_was_sealed_before_the_runs_end_is_not_sent_after_it(one):
    with unreachable(one, arrives=False) as run:
        run.cancel()
        until(lambda: one.nodes[SITE].store.run(run.study)["ended"] == "cancelled")
    until(lambda: row_of(one, run.study)["acknowledged"])
    assert row_of(one, run.study)["reason"] == "cancelled"
    assert all(entry["facts"]["site"] != SITE for entry in entries(one.hub.store, "round.answered", run.study))


def test_a_node_whose_disk_is_full_when_the_receipt_comes_goes_on(one):
    """The line of a study must not die of it: the next round would never run."""
    node = one.nodes[SITE]
    with once(node.store, "acknowledge", full()):
        run = one.project().submit(plan(moments=sj.describe("age")))
        results = run.wait(PATIENCE)
    assert results["moments"].table is not None
    until(lambda: node.store.unacknowledged() == [])
    assert len(entries(node.store, "release.acknowledged", run.study)) == 2


def test_a_repeated_receipt_leaves_no_second_entry(one):
    run = one.project().submit(plan())
    run.wait(PATIENCE)
    node = one.nodes[SITE]
    until(lambda: node.store.unacknowledged() == [])
    row = row_of(one, run.study)
    node._polling._send_again.set()
    node._polling._resend()
    node._polling.send(row["study"], row["analysis"], row["ask"])
    assert len(entries(node.store, "release.acknowledged", run.study)) == 1
    node.runner.end(row["study"], "completed")
    until(lambda: node.store.live_runs() == [])
    node.runner.end(row["study"], "completed")
    assert len(entries(node.store, "run.ended", run.study)) == 1


def test_a_receipt_of_something_else_acknowledges_nothing(one):
    before = one.project().submit(plan())
    before.wait(PATIENCE)
    node = one.nodes[SITE]
    link, real = node._polling.link, node._polling.link._call
    until(lambda: node.store.unacknowledged() == [])
    stored = json.loads(row_of(one, before.study)["receipt"])
    refused = []

    def call(path, message):
        answer = real(path, message)
        return {"receipt": stored} if path.endswith("deliveries") and not refused else answer

    def journal(study, text):
        refused.append(text)

    with patch.object(link, "_call", call), patch.object(node._polling, "_journal", journal):
        run = one.project().submit(plan())
        run.wait(PATIENCE)
        until(lambda: bool(refused))
        assert "of something else" in refused[0]
        until(lambda: node.store.unacknowledged() == [])


@pytest.mark.parametrize("step", ["conclude", "dispatch", "finish"])
def test_the_hub_takes_up_what_a_full_disk_left_between_two_writes(one, step):
    with once(one.hub.store, step, full()):
        try:
            run = one.project().submit(plan(moments=sj.describe("age")))
        except sj.errors.SojournError:
            [row] = one.hub.store.live_studies()
            run = one.connection().study(row["id"])
        assert run.wait(PATIENCE)["moments"].table is not None


def test_an_abort_that_a_full_disk_prevented_is_done_later(one):
    revoke(one)
    with once(one.hub.store, "finish", full()):
        run = one.project().submit(plan().replace(stragglers="abort", min_sites=1))
        until(lambda: run.view().state == "failed")
    assert "stragglers: abort" in run.view().message


def test_telling_the_same_again_leaves_no_entry(one):
    node = one.nodes[SITE]
    before = len(entries(one.hub.store, "site.published"))
    one.hub.publish(SITE, node.publication())
    assert len(entries(one.hub.store, "site.published")) == before
