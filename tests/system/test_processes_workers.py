"""Several programs serve one hub on one PostgreSQL database: same answers, one log, nothing twice, no wait for news."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from federation_processes import Processes, alive, descendants, patients, until
from sqlalchemy import create_engine, make_url

import sojourn as sj
from sojourn.audit.receipt import decode
from sojourn.errors import ConfigurationError
from sojourn.hub import program
from sojourn.hub.config import HubHome
from sojourn.storage.engine import open_engine
from sojourn.storage.notices import Notices

STUDIES = 6
PLAN = sj.Plan(
    title="wards",
    purpose="NRES",
    table="patients",
    analyses={"n": sj.count(by=["sick"]), "m": sj.glm("sick ~ age", family="binomial")},
)


@pytest.fixture
def shared(tmp_path, postgresql):
    """A hub of three programs and its nodes; everything is ended by its own id."""
    federation = Shared(tmp_path, postgresql.database())
    federation.make()
    yield federation
    federation.close()


class Shared(Processes):
    big = False

    def __init__(self, home: Path, database: str) -> None:
        super().__init__(home)
        self.sandbox = "none"
        self.database = database

    def start(self, name: str) -> None:
        if name == "hub" and "hub" not in self.running:
            made = HubHome.load(self.home / "hub")
            replace(made, database=self.database, workers=3).save()
        super().start(name)
        if name == "hub":
            until("the workers", lambda: len(self.workers()) == 2)

    def workers(self) -> set[int]:
        return {pid for pid in descendants(self.running["hub"].pid) if b"sojourn.hub.worker" in words(pid)}


def words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def sick() -> int:
    return sum(int(patients(seed, 300)["sick"].sum()) for seed in range(3))


@pytest.mark.long
def test_three_programs_serve_one_hub(shared):
    project = shared.project()
    with ThreadPoolExecutor(STUDIES) as people:
        runs = [project.submit(PLAN) for _ in range(STUDIES)]
        victim = min(shared.workers())
        done = [people.submit(run.wait, 60) for run in runs]  # polls in one program hear of another's
        os.kill(victim, signal.SIGKILL)  # one of the two workers that this test's hub started
        results = [each.result() for each in done]
    assert {tuple(result["n"].table["n"]) for result in results} == {(900 - sick(), sick())}
    estimates = {tuple(result["m"].table["estimate"]) for result in results}
    assert len(estimates) == 1
    assert shared.hub("verify")["ok"]
    entries = log_of(shared.database)
    for kind, names in {
        "round.asked": ("analysis", "ask"),
        "round.answered": ("analysis", "ask", "site"),
        "analysis.concluded": ("analysis",),
        "study.completed": (),
    }.items():
        places = Counter(
            (entry["study"], *(entry["facts"][name] for name in names)) for entry in entries if entry["kind"] == kind
        )
        assert places and set(places.values()) == {1}, kind
    until("a new worker", lambda: len(shared.workers()) == 2 and not alive(victim))
    both = shared.workers()
    shared.stop("hub")
    until("the workers' end", lambda: not any(alive(pid) for pid in both))


def log_of(database: str) -> list[dict]:
    engine = create_engine(make_url(database).set(drivername="postgresql+psycopg"))
    try:
        with engine.connect() as connection:
            found = connection.exec_driver_sql("SELECT data FROM log_entry ORDER BY position")
            return [dict(decode(bytes(data))) for (data,) in found]
    finally:
        engine.dispose()


@pytest.mark.long
def test_workers_end_with_a_hub_that_is_killed(shared):
    both = shared.workers()
    shared.kill("hub")
    until("the workers' end", lambda: not any(alive(pid) for pid in both))


def test_several_workers_need_postgresql(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = program.create(tmp_path / "hub", "wards.test", "127.0.0.1", port, [])
    with pytest.raises(ConfigurationError, match="PostgreSQL"):
        program.HubProgram(replace(made, workers=2))
    program.HubProgram(made).stop()  # the refusal held on to nothing


def test_notices_tell_others_and_not_oneself(postgresql):
    database = postgresql.database()
    heard: dict[str, list[str]] = {"a": [], "b": []}
    missed: Counter[str] = Counter()
    engines = {name: open_engine(database) for name in heard}
    notices = {
        name: Notices(engines[name], heard[name].extend, lambda name=name: missed.update([name])) for name in heard
    }
    try:
        for each in notices.values():
            each.start()
        until("both listen", lambda: missed["a"] and missed["b"])
        many = [f"site:{number}" for number in range(200)]
        notices["a"].publish(many)
        until("what a told", lambda: heard["b"] == many)
        with engines["a"].connect() as connection:  # the database ends all other connections
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        until("both were told that they may have missed something", lambda: missed["a"] > 1 and missed["b"] > 1)
        notices["b"].publish(["study:x"])
        until("what b told", lambda: heard["a"] == ["study:x"])
        assert heard["b"] == many
    finally:
        for each in notices.values():
            each.close()
        for engine in engines.values():
            engine.dispose()
