"""The hub's door and its patience: who may do what on every route, and how every wait ends."""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

import sojourn as sj
from sojourn.client.studies import datasets_of
from sojourn.errors import AuditError, ConfigurationError, IdentityError, SojournError
from sojourn.hub import program as hub_program
from sojourn.hub.api import application
from sojourn.hub.config import HubHome
from sojourn.identity.envelope import REQUEST_TYPE, Request, sign
from sojourn.identity.keys import PrivateKey
from sojourn.messages import PROTOCOL, Delivery, Federation, Join, Poll, Publish
from sojourn.operations.logs import open_log
from sojourn.study.catalogue import complete
from sojourn.wire.authorities import create_authority, issue_server
from sojourn.wire.requests import SignedAuth
from sojourn.wire.serving import serve
from sojourn.wire.transport import AccessRefused, Loop, ServerRefused, call, https_client, in_memory_client

NAME = "door.test"
NOW = 1_800_000_000.0
SITES = ("Avon", "Brent", "Cam")
TABLE = {"table": "patients", "columns": {"age": {"kind": "number", "low": 0.0, "high": 120.0}}}
OPEN = {("GET", "/v1/health"), ("GET", "/v1/log/checkpoint"), ("GET", "/v1/ready")}


class Door:
    """A hub in this process with three sites that we play ourselves, and a clock that we turn."""

    def __init__(self, folder: Path, database: str = "") -> None:
        self.now = NOW
        folder.mkdir(mode=0o700)
        home = HubHome(folder, NAME, "localhost", 0, database)
        PrivateKey.generate().save(home.log_key)
        self.home = home
        self.hub = hub_program.open_hub(home, lambda: self.now, abort_after=5.0)
        self.app = application(self.hub)
        self.loop = Loop().start()
        self.clients: list[httpx.Client] = []
        self.sites = {site: PrivateKey.generate() for site in SITES}
        self.ada, self.bob, self.eve = (PrivateKey.generate() for _ in range(3))
        for project, key in (("heart", self.ada), ("lung", self.bob)):
            self.hub.add_project(project)
            self.hub.add_member(project, key.public.hex)
        for site, key in self.sites.items():
            self.knock(site, key, self.hub.invite(site))
            rules = {"version": "1"}
            self.say(key, "POST", f"/v1/sites/{site}/publication", Publish(datasets=[TABLE], rules=rules, sandbox=""))

    def client(self, key: PrivateKey | None) -> httpx.Client:
        auth = None if key is None else SignedAuth(key, audience=NAME, clock=lambda: self.now)
        self.clients.append(in_memory_client(self.app, auth, self.loop))
        return self.clients[-1]

    def say(self, key: PrivateKey | None, method: str, path: str, message: Any = None) -> dict[str, Any]:
        body = message.model_dump(mode="json") if hasattr(message, "model_dump") else message
        return call(self.client(key), method, path, body)

    def knock(self, site: str, key: PrivateKey, token: str, /, **other: str) -> dict[str, Any]:
        words = {"key": key.public.hex, "log_key": PrivateKey.generate().public.hex} | other
        message = Join(protocol=PROTOCOL, software="t", site=site, token=token, **words)
        return self.say(key, "POST", "/v1/join", message)

    def submit(self, key: PrivateKey, project: str, lifetime: int = 3600, **words: Any) -> str:
        """A signed study over all sites; its id."""
        view = Federation.model_validate(self.say(key, "POST", f"/v1/projects/{project}/preparations", {}))
        plan = sj.Plan(table="patients", purpose="HMB", analyses={"count": sj.count()}, **words)
        plan = complete(plan, datasets_of(view.sites))
        request = Request(
            study=secrets.token_hex(16),
            project=project,
            plan=plan.to_dict(),
            plan_hash=plan.hash,
            roster={site.site: site.key for site in view.sites},
            min_sites=plan.least_sites,
            seal_key=view.seal_key,
            software="t",
            policy_version="1",
            issued=int(self.now),
            expires=int(self.now) + lifetime,
            nonce=secrets.token_hex(16),
        )
        envelope = sign(REQUEST_TYPE, request.encode(), key)
        return str(self.say(key, "POST", "/v1/studies", envelope.to_dict())["study"])

    def poll(self, site: str, **words: Any) -> dict[str, Any]:
        message = Poll(protocol=PROTOCOL, software="t", **{"known": [], "running": [], "wait": 0.0} | words)
        return self.say(self.sites[site], "POST", f"/v1/sites/{site}/poll", message)

    def decline(self, site: str, study: str, reason: str = "minimum frequency") -> dict[str, Any]:
        """A site's word that nothing leaves."""
        ask = self.hub.store.tasks_of(study)[0]["ask"]
        message = Delivery(study=study, analysis="count", ask=ask, reason=reason)
        return self.say(self.sites[site], "POST", f"/v1/sites/{site}/deliveries", message)

    def state(self, study: str) -> str:
        row = self.hub.store.study(study)
        assert row is not None
        return str(row["state"])

    def wait(self, seconds: float) -> None:
        """Time goes by, and the hub looks at its clock."""
        self.now += seconds
        self.hub.keep_deadlines()

    def restart(self) -> None:
        """The hub ends and starts again on its home."""
        self.hub.close()
        self.hub = hub_program.open_hub(self.home, lambda: self.now, abort_after=5.0)
        self.hub.studies.resume()
        self.app = application(self.hub)

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.loop.close()
        self.hub.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Door]:
    on_server = request.param == "postgresql"
    made = Door(tmp_path / "hub", request.getfixturevalue("postgresql").database() if on_server else "")
    yield made
    made.close()


def routes(door: Door, study: str) -> list[tuple[str, str]]:
    """Every route of the application, its places filled in with what exists."""
    found = []
    for route in door.app.routes:
        for method in getattr(route, "methods", ()) - {"HEAD"}:
            path = route.path.format(site="Avon", project="heart", study=study)
            found.append((method, path))
    return sorted(found)


def test_every_route_but_three_demands_a_signature(door: Door) -> None:
    study = door.submit(door.ada, "heart")
    found = routes(door, study)
    assert len(found) == 14
    for method, path in found:
        if (method, path) in OPEN:
            assert door.say(None, method, path)
            continue
        for key in (None, door.eve):
            with pytest.raises((AccessRefused, ServerRefused)) as refused:
                door.say(key, method, path, {} if method == "POST" else None)
            if not path.endswith("/join"):
                assert isinstance(refused.value, AccessRefused), path


def test_a_site_s_routes_take_its_own_key_alone(door: Door) -> None:
    study = door.submit(door.ada, "heart")
    message = {"study": study, "analysis": "count", "ask": "0" * 64, "sealed": None, "reason": "internal"}
    poll = Poll(protocol=PROTOCOL, software="t", known=[], running=[], wait=0.0)
    publication = Publish(datasets=[], rules={}, sandbox="")
    for site in (*SITES, "Nowhere"):
        for key in [door.ada, door.eve, *(key for name, key in door.sites.items() if name != site)]:
            for word, body in (("poll", poll), ("deliveries", message), ("publication", publication)):
                with pytest.raises(AccessRefused):
                    door.say(key, "POST", f"/v1/sites/{site}/{word}", body)
    assert all(view.datasets for view in door.hub.site_views())


def test_studies_are_seen_by_their_project_and_ended_by_their_researcher(door: Door) -> None:
    study = door.submit(door.ada, "heart")
    cleo = PrivateKey.generate()
    door.hub.add_member("heart", cleo.public.hex)
    places = [("GET", ""), ("GET", "/results"), ("POST", "/cancellation")]
    for key in (door.bob, door.eve, *door.sites.values()):
        for method, place in places:
            with pytest.raises(AccessRefused):
                door.say(key, method, f"/v1/studies/{study}{place}")
    assert door.say(cleo, "GET", f"/v1/studies/{study}")["state"] == "running"
    with pytest.raises(AccessRefused, match="Only the researcher"):
        door.say(cleo, "POST", f"/v1/studies/{study}/cancellation")
    with pytest.raises(AccessRefused):
        door.submit(door.bob, "heart")
    with pytest.raises(AccessRefused):  # existing or not, a stranger hears the same
        door.say(door.bob, "GET", f"/v1/studies/{'0' * 32}")
    assert door.say(door.ada, "POST", f"/v1/studies/{study}/cancellation") == {"cancelled": True}
    assert door.say(door.ada, "POST", f"/v1/studies/{study}/cancellation") == {"cancelled": False}


def test_a_token_admits_one_site_of_its_name_in_time(door: Door) -> None:
    key, token = PrivateKey.generate(), door.hub.invite("Derwent")
    for site, shown in (("Exe", token), ("Derwent", "0" * 48), ("Derwent", "")):
        with pytest.raises(AccessRefused, match="token"):
            door.knock(site, key, shown)
    with pytest.raises(AccessRefused, match="not signed with the key"):
        door.knock("Derwent", key, token, key=door.eve.public.hex)
    with pytest.raises(AccessRefused, match="has joined"):
        door.knock("Avon", key, door.hub.invite("Avon"))
    with pytest.raises(AccessRefused, match="has joined"):
        door.knock("Derwent", door.sites["Avon"], token)
    assert door.knock("Derwent", key, token)["site"] == "Derwent"
    with pytest.raises(AccessRefused, match="token"):
        door.knock("Derwent", PrivateKey.generate(), token)
    late = door.hub.invite("Exe")
    door.now += 7 * 86400 + 1
    with pytest.raises(AccessRefused, match="token"):
        door.knock("Exe", PrivateKey.generate(), late)


def test_a_request_that_was_used_is_refused_by_every_kind_of_caller(door: Door) -> None:
    study = door.submit(door.ada, "heart")
    poll = Poll(protocol=PROTOCOL, software="t", known=[], running=[], wait=0.0).model_dump(mode="json")
    for key, method, path, body in (
        (door.ada, "GET", f"/v1/studies/{study}", None),
        (door.ada, "POST", "/v1/projects/heart/preparations", {}),
        (door.sites["Avon"], "POST", "/v1/sites/Avon/poll", poll),
    ):
        client = door.client(key)
        request = client.build_request(method, path, json=body)
        assert client.send(request).status_code == 200
        again = httpx.Request(method, request.url, headers=request.headers, content=request.content)
        refused = door.client(None).send(again)
        assert (refused.status_code, refused.json()["reason"]) == (403, "replayed")


def test_strangers_cannot_fill_the_memory_of_nonces(door: Door) -> None:
    door.app = application(door.hub, remembered=4)
    for _ in range(10):
        for path in ("/v1/projects/heart/preparations", "/v1/join", "/v1/sites/Avon/poll"):
            with pytest.raises((AccessRefused, ServerRefused)):
                door.say(PrivateKey.generate(), "POST", path, {})
    assert door.say(door.ada, "POST", "/v1/projects/heart/preparations", {})["sites"]
    for _ in range(4):  # researchers fill their own memory, and nodes go on
        with pytest.raises((AccessRefused, ServerRefused)):
            door.say(door.bob, "POST", "/v1/projects/heart/preparations", {})
    with pytest.raises(AccessRefused, match="Too many"):
        door.say(door.ada, "POST", "/v1/projects/heart/preparations", {})
    assert door.poll("Avon")["tasks"] == []


def test_a_request_may_not_live_for_ever(door: Door) -> None:
    with pytest.raises(SojournError, match="longer than a site allows"):
        door.submit(door.ada, "heart", lifetime=25 * 3600)


def test_a_site_that_missed_the_answer_to_its_joining_may_ask_again(door: Door) -> None:
    key, log_key, token = PrivateKey.generate(), PrivateKey.generate().public.hex, door.hub.invite("Derwent")
    for _ in range(2):
        assert door.knock("Derwent", key, token, log_key=log_key)["site"] == "Derwent"
    with pytest.raises(AccessRefused, match="token"):
        door.knock("Derwent", key, token)  # another log: not the node that joined
    assert entries(door).count("site.joined") == len(SITES) + 1


def entries(door: Door) -> list[str]:
    """The kinds in the hub's log."""
    found = door.hub.store.read(lambda connection: connection.exec_driver_sql("SELECT data FROM log_entry").all())
    return [json.loads(data)["kind"] for (data,) in found]


def test_a_removed_site_s_key_is_taken_no_more_and_its_name_may_join_again(door: Door) -> None:
    study = door.submit(door.ada, "heart", stragglers="wait", min_sites=2)
    lost, unused = door.sites["Cam"], door.hub.invite("Cam")
    door.hub.remove("Cam")
    ask = door.hub.store.tasks_of(study)[0]["ask"]
    late = Delivery(study=study, analysis="count", ask=ask, reason="internal")
    for act in (lambda: door.poll("Cam"), lambda: door.say(lost, "POST", "/v1/sites/Cam/deliveries", late)):
        with pytest.raises(AccessRefused, match="not known"):
            act()
    states = {task["site"]: task["state"] for task in door.hub.store.tasks_of(study)}
    assert states == {"Avon": "waiting", "Brent": "waiting", "Cam": "no answer"}
    assert door.state(study) == "running"
    assert {view.site for view in door.hub.site_views()} == {"Avon", "Brent"}
    with pytest.raises(AccessRefused, match="token"):
        door.knock("Cam", PrivateKey.generate(), unused)
    with pytest.raises(AccessRefused, match="removed"):
        door.knock("Cam", lost, door.hub.invite("Cam"))
    with pytest.raises(ConfigurationError, match="no site"):
        door.hub.remove("Cam")
    door.sites["Cam"] = PrivateKey.generate()
    assert door.knock("Cam", door.sites["Cam"], door.hub.invite("Cam"))["site"] == "Cam"
    assert door.poll("Cam")["tasks"] == []  # what was asked of the old key is not for the new one
    assert entries(door).count("site.removed") == 1 and entries(door).count("round.dropped") == 1
    assert door.hub.store.verify().ok


def test_what_a_site_says_while_it_is_removed_is_not_recorded(door: Door) -> None:
    """The request was let in before, and its word comes to be written after: the writing itself asks again."""
    study = door.submit(door.ada, "heart", min_sites=2)
    task, key = door.hub.store.tasks_of(study)[0], door.sites["Avon"].public
    door.hub.keep_deadlines = lambda: None  # type: ignore[method-assign]  # as if it were killed just before
    door.hub.remove("Avon")
    late = Delivery(study=study, analysis="count", ask=task["ask"], reason="internal")
    with pytest.raises(IdentityError, match="removed"):
        door.hub.studies.deliver("Avon", key, late)
    door.restart()
    door.wait(1)
    assert [row["state"] for row in door.hub.store.tasks_of(study) if row["site"] == "Avon"] == ["no answer"]
    assert "round.refused" not in entries(door)


def test_a_waiting_poll_of_a_removed_site_ends_at_once(door: Door) -> None:
    refused: list[BaseException] = []

    def wait() -> None:
        try:
            door.poll("Cam", wait=30.0)
        except AccessRefused as error:
            refused.append(error)

    polling = threading.Thread(target=wait)
    polling.start()
    end = time.monotonic() + 10
    while not door.hub.presence.last("Cam"):  # it listens before its key is asked, and is present after
        assert time.monotonic() < end, "the poll never came"
        time.sleep(0.01)
    door.hub.remove("Cam")
    polling.join(10)
    assert not polling.is_alive() and "removed" in str(refused[0])


def test_seconds_as_policy_drop_the_silent(door: Door) -> None:
    study = door.submit(door.ada, "heart", stragglers=10)
    door.decline("Avon", study)
    door.wait(9)
    assert door.state(study) == "running"
    door.wait(2)
    assert door.state(study) == "failed"
    states = {task["site"]: task["state"] for task in door.hub.store.tasks_of(study)}
    assert states == {"Avon": "not released", "Brent": "no answer", "Cam": "no answer"}


def test_the_hub_s_own_absence_is_no_site_s_delay(door: Door) -> None:
    counted = door.submit(door.ada, "heart", stragglers=10)
    aborting = door.submit(door.ada, "heart", stragglers="abort")
    door.hub.close()
    door.now += 3000
    door.restart()
    door.wait(4)
    assert door.state(counted) == door.state(aborting) == "running"
    for _ in range(3):
        for site in SITES:
            door.poll(site)
        door.wait(3)
    assert (door.state(counted), door.state(aborting)) == ("failed", "running")


def test_abort_ends_a_study_at_a_refusal_and_when_a_site_is_out_of_reach(door: Door) -> None:
    refused = door.submit(door.ada, "heart", stragglers="abort")
    door.decline("Brent", refused)
    assert door.state(refused) == "failed"
    silent = door.submit(door.ada, "heart", stragglers="abort")
    for _ in range(4):
        for site in SITES:
            door.poll(site)
        door.wait(4)
    assert door.state(silent) == "running"  # everyone is there; a computation may take its time
    for _ in range(2):
        door.poll("Avon"), door.poll("Brent")
        door.wait(3)
    row = door.hub.store.study(silent)
    assert row is not None and (row["state"], row["message"].split()[0]) == ("failed", "Cam")


def test_waiting_ends_with_the_request(door: Door) -> None:
    study = door.submit(door.ada, "heart", stragglers="wait")
    door.wait(3599)
    assert door.state(study) == "running"
    door.wait(3)
    assert door.state(study) == "failed"
    assert door.poll("Avon", running=[study, "f" * 32])["ended"] == {study: "failed", "f" * 32: "failed"}


def test_what_comes_too_late_is_logged_and_thrown_away(door: Door) -> None:
    study = door.submit(door.ada, "heart")
    assert door.say(door.ada, "POST", f"/v1/studies/{study}/cancellation") == {"cancelled": True}
    ask = door.hub.store.tasks_of(study)[0]["ask"]
    assert door.poll("Brent", known=[ask])["ended"] == {study: "cancelled"}  # taken, but not yet running when it asked
    first, again = door.decline("Avon", study), door.decline("Avon", study)
    assert (
        json.loads(first["receipt"]["entry"])["kind"] == json.loads(again["receipt"]["entry"])["kind"] == "round.late"
    )
    assert first["receipt"]["index"] == again["receipt"]["index"]
    assert {task["state"] for task in door.hub.store.tasks_of(study)} == {"waiting"}
    assert door.poll("Avon")["tasks"] == []


def test_the_same_delivery_again_gets_the_same_receipt(door: Door) -> None:
    study = door.submit(door.ada, "heart")
    first, again, other = (door.decline("Avon", study, reason) for reason in ("internal", "internal", "time"))
    assert first["receipt"]["index"] == again["receipt"]["index"] == other["receipt"]["index"]
    assert door.hub.store.tasks_of(study)[0]["reason"] == "internal"
    strange = Delivery(study=study, analysis="count", ask="0" * 64, reason="internal")
    with pytest.raises(ServerRefused, match="not asked"):
        door.say(door.sites["Avon"], "POST", "/v1/sites/Avon/deliveries", strange)


def test_a_combination_that_fails_ends_its_study_and_not_the_hub(
    door: Door, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    study = door.submit(door.ada, "heart")
    with monkeypatch.context() as planted:
        planted.setattr("sojourn.hub.studies.drive", broken)
        planted.setattr("sojourn.operations.logs.SILENT", open_log("hub"))
        door.restart()
    assert door.state(study) == "failed"
    assert "could not combine" in str(door.hub.store.results_of(study)["count"]["error"])
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["dispatch", "conclude"])
def test_a_study_goes_on_after_the_database_was_lost_between_two_of_its_steps(
    door: Door, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def lost(*_: Any) -> None:
        raise AuditError("The database cannot be read now.", remedy="Try again.")

    def until_the_end() -> None:
        study = door.submit(door.ada, "heart")
        for site in SITES:
            door.decline(site, study)

    with monkeypatch.context() as planted:
        planted.setattr(door.hub.store, step, lost)
        with pytest.raises(ServerRefused):
            until_the_end()
    [row] = door.hub.store.live_studies()
    door.wait(1.0)
    assert door.state(row["id"]) == ("running" if step == "dispatch" else "failed")
    assert len(door.hub.store.tasks_of(row["id"])) == len(SITES)


def test_answers_are_sent_without_delay(tmp_path: Path) -> None:
    """With Nagle's algorithm each answer would wait for the client's delayed ACK: 40 ms a request."""
    create_authority(tmp_path)
    certificate, key = issue_server(tmp_path, ["127.0.0.1"])
    app = FastAPI()
    server = serve(app, "127.0.0.1", 0, cert=certificate, key=key)
    delays = []

    @app.get("/")
    async def look() -> dict[str, Any]:
        for connection in server._server.server_state.connections:
            own = connection.transport.get_extra_info("socket")  # type: ignore[union-attr]
            delays.append(own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        return {}

    pem = (tmp_path / "ca.pem").read_text(encoding="ascii")
    with server, https_client(f"https://127.0.0.1:{server.port}", pem, None, 10) as client:
        call(client, "GET", "/")
    assert delays == [1]
