"""Requests that must not run: wrong keys, wrong clocks, old and replayed ones, and a hub that alters things."""

from __future__ import annotations

import base64
import dataclasses
import json
import time
from functools import partial

import pytest
from small_frames import SITES, events, families, federation, plan, silent, still_works
from sqlalchemy import update

import sojourn as sj
from sojourn.audit.entry import Entry
from sojourn.errors import REASONS, IdentityError, PlanError, SojournError, StudyFailed, TooFewSites
from sojourn.hub.tables import studies
from sojourn.identity.envelope import REQUEST_TYPE, sign
from sojourn.identity.keys import PrivateKey
from sojourn.messages import Task
from sojourn.testbed import PROJECT

pytestmark = pytest.mark.long

NOW = 1_800_000_000


def at(seconds: float) -> float:
    return NOW + seconds


def refused(one, run, reason: str, sites=SITES) -> None:
    """These sites say this word and nothing else; the analyst reads it with its remedy."""
    results = run.wait(30)
    [result] = results.values()
    assert families(result) == {site: reason if site in sites else "" for site in SITES}
    if set(sites) == set(SITES):
        with pytest.raises(TooFewSites) as caught:
            _ = result.table
        assert REASONS[reason].sentence in str(caught.value)
        assert caught.value.remedy == REASONS[reason].remedy
        silent(caught.value)
    silent(json.dumps(results.to_dict()), *events(run))


# ---- keys


def test_a_stranger_is_refused_by_the_hub(sound):
    with pytest.raises(IdentityError) as caught:
        sound.connection(PrivateKey.generate()).project(PROJECT).submit(plan())
    assert "key" in str(caught.value) and "hub" in caught.value.remedy
    with pytest.raises(IdentityError, match="does not belong to the project"):
        sound.project("elsewhere").submit(plan())


def test_a_member_whom_no_custodian_approved_is_refused_at_every_site(sound):
    ada = PrivateKey.generate()
    sound.hub.add_member(PROJECT, ada.public.hex)
    run = sound.connection(ada).project(PROJECT).submit(plan())
    refused(sound, run, "not approved")
    assert sound.connection(ada).study(run.study).view().finished
    sound.nodes["beryl"].approve(PROJECT, ada.public.hex)
    refused(sound, sound.connection(ada).project(PROJECT).submit(plan()), "not approved", ("amber", "coral"))


def test_another_researchers_study_cannot_be_seen_or_cancelled(sound):
    run = sound.project().submit(plan())
    run.wait(30)
    stranger = sound.connection(PrivateKey.generate())
    for look in (stranger.study(run.study).view, stranger.study(run.study).results, stranger.study(run.study).cancel):
        with pytest.raises(IdentityError):
            look()
    eve = PrivateKey.generate()
    sound.hub.add_member(PROJECT, eve.public.hex)
    with pytest.raises(IdentityError, match="may cancel"):
        sound.connection(eve).study(run.study).cancel()


# ---- times


@pytest.mark.parametrize(("ahead", "accepted"), [(30, True), (31, False)])
def test_a_request_more_than_a_minute_ahead_of_a_sites_clock(ahead, accepted):
    clocks = {"hub": partial(at, 0), "amber": partial(at, -30), "beryl": partial(at, 30), "coral": partial(at, 0)}
    with federation(clock=clocks) as one:
        run = one.connection(clock=partial(at, ahead)).project(PROJECT).submit(plan())
        refused(one, run, "" if accepted else "clock", ("amber",))
        still_works(one)


@pytest.mark.parametrize("skew", [-61, 61])
def test_a_clock_that_differs_from_the_hubs(skew):
    with federation(clock=partial(at, 0)) as one:
        with pytest.raises(IdentityError) as caught:
            one.connection(clock=partial(at, skew)).project(PROJECT).submit(plan())
        assert "more than a minute" in str(caught.value) and "time server" in caught.value.remedy
        still_works(one)


def test_an_expired_request():
    clocks = {"hub": partial(at, 0), "amber": partial(at, 30), "beryl": partial(at, 0), "coral": partial(at, 0)}
    with federation(clock=clocks) as one:
        project = one.project()
        request = dataclasses.replace(project.request(plan()), issued=NOW - 100, expires=NOW + 30)
        refused(one, project.send(request), "expired", ("amber",))
        for issued, expires, words in (
            (NOW - 100, NOW - 60, "expired"),
            (NOW + 61, NOW + 100, "clock|future"),
            (NOW, NOW + 86_401, "longer than a site allows"),
        ):
            wrong = dataclasses.replace(project.request(plan()), issued=issued, expires=expires)
            with pytest.raises(IdentityError, match=words) as caught:
                project.send(wrong)
            assert caught.value.remedy
        still_works(one)


# ---- once only


def test_a_request_is_accepted_once(sound):
    request = sound.project().request(plan())
    sound.project().send(request).wait(30)
    with pytest.raises(StudyFailed) as caught:
        sound.project().send(request)
    assert "submitted before" in str(caught.value)


def test_a_hub_that_forwards_a_request_again_is_refused(sound, monkeypatch):
    """The same envelope under another study's name: each node has spent its nonce."""
    run = sound.project().submit(plan())
    run.wait(30)
    old = json.loads(sound.hub.store.study(run.study)["request"])
    wrongly(monkeypatch, sound, lambda task: task.model_copy(update={"request": old}))
    refused(sound, sound.project().submit(plan()), "replayed")
    monkeypatch.undo()


# ---- a hub that alters what it carries


def wrongly(monkeypatch, one, change) -> None:
    """Let the hub hand out other tasks than it should."""
    tasks_for = one.hub.studies.tasks_for
    monkeypatch.setattr(one.hub.studies, "tasks_for", lambda *asked: [change(task) for task in tasks_for(*asked)])


def payload_of(task: Task) -> dict:
    return json.loads(base64.b64decode(task.request["payload"]))


def with_payload(task: Task, document: dict) -> Task:
    body = base64.b64encode(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).decode()
    return task.model_copy(update={"request": {**task.request, "payload": body}})


def other_plan(task: Task) -> Task:
    document = payload_of(task)
    document["plan"]["where"] = "rank <= 30"
    return with_payload(task, document)


def fewer_sites(task: Task) -> Task:
    document = payload_of(task)
    document["roster"] = {site: document["roster"][site] for site in ("amber",)}
    return with_payload(task, document)


def own_signature(task: Task) -> Task:
    envelope = sign(REQUEST_TYPE, base64.b64decode(task.request["payload"]), PrivateKey.generate())
    return task.model_copy(update={"request": envelope.to_dict()})


def garbage(task: Task) -> Task:
    return task.model_copy(update={"request": {"payload": "x"}})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_plan, "signature"),
        (fewer_sites, "signature"),
        (own_signature, "not approved"),
        (garbage, "malformed"),
        (lambda task: task.model_copy(update={"request": {**task.request, "payloadType": "text/plain"}}), "signature"),
    ],
)
def test_a_hub_that_alters_the_request(sound, monkeypatch, change, reason):
    wrongly(monkeypatch, sound, change)
    refused(sound, sound.project().submit(plan()), reason)
    monkeypatch.undo()


def test_a_hub_that_asks_what_does_not_follow(sound, monkeypatch):
    """A broadcast of its own, e.g. coefficients that would read out a row."""

    def change(task: Task) -> Task:
        if task.ask.step != "start":
            return task
        ask = task.ask.ask()
        moved = dataclasses.replace(ask, broadcast={"centre": ask.broadcast["centre"] + 1.0})
        return task.model_copy(update={"ask": type(task.ask).of(moved)})

    answered = []
    wrongly(monkeypatch, sound, change)
    run = sound.project().submit(plan(m=sj.glm("y ~ age")))
    for node in sound.nodes.values():
        until = time.monotonic() + 20
        while not (said := [row for row in node.released(run.study) if row["reason"]]) and time.monotonic() < until:
            time.sleep(0.02)
        answered += [row["reason"] for row in said]
    assert answered == ["broadcast"] * 3
    run.cancel()
    monkeypatch.undo()


def test_a_hub_that_shows_another_request_is_found_out_by_the_client(sound):
    run, other = (sound.project().submit(plan(where)) for where in ("", "rank <= 400"))
    run.wait(30)
    other.wait(30)
    stored = sound.hub.store.study(other.study)["request"]
    swap = update(studies).where(studies.c.id == run.study).values(request=stored)
    entry = Entry("study.altered", "administrator", study=run.study)
    sound.hub.store.write(entry, lambda connection: connection.execute(swap))
    with pytest.raises(IdentityError, match="did not sign") as caught:
        run.results()
    assert "custodians" in caught.value.remedy


# ---- what the client of another version could send


@pytest.mark.parametrize(("change", "reason"), [({"missing": "by analysis"}, "missing by analysis")])
def test_what_this_version_lacks_is_refused_at_the_sites_too(sound, change, reason):
    request = sound.project().request(plan())
    asked = sj.Plan.from_dict(dict(request.plan)).replace(**change)
    refused(sound, sound.project().send(changed(request, asked)), reason)


def test_a_plan_that_the_client_should_not_have_sent(sound):
    request = sound.project().request(plan())
    undeclared = sj.Plan.from_dict(dict(request.plan)).replace(analyses={"n": sj.count(by="stage")})
    with pytest.raises(PlanError, match="`stage` is not declared"):
        sound.project().send(changed(request, undeclared))
    with pytest.raises(IdentityError, match="not the one that was signed"):
        sound.project().send(dataclasses.replace(request, plan_hash="0" * 64))
    with pytest.raises(SojournError, match="Not sites of this federation: dune"):
        sound.project().send(dataclasses.replace(request, roster={**request.roster, "dune": "0" * 64}))
    with pytest.raises(StudyFailed, match="seal key"):
        sound.project().send(dataclasses.replace(request, seal_key="0" * 64))


def test_more_sites_demanded_than_asked(sound):
    request = dataclasses.replace(sound.project().request(plan()), min_sites=4)
    [result] = sound.project().send(request).wait(30).values()
    with pytest.raises(TooFewSites):
        _ = result.table


def changed(request, asked):
    return dataclasses.replace(request, plan=asked.to_dict(), plan_hash=asked.hash)
