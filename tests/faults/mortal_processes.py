"""A federation whose processes die when they are told to, its supervisor, and what must be true of all stores after."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from federation_processes import PROJECT, SITES, Processes, alive, patients, until

import sojourn as sj
from sojourn.audit.receipt import Receipt
from sojourn.client.studies import Federation, Project, Run
from sojourn.client.verification import LogIdentity
from sojourn.errors import SojournError
from sojourn.identity.keys import PublicKey
from sojourn.node import program as node_program
from sojourn.wire.administration import listens
from sojourn.wire.requests import SignedAuth
from sojourn.wire.transport import TransportError, https_client

ENDED = ("completed", "failed", "cancelled")
LOOK = 0.05  # seconds between two looks at who is dead
PATIENCE = 150.0  # of a test, on a machine that does much else
RECOVERY = 90.0  # seconds from a restart to the next progress; the promise is 30 on a machine of its own
Point = tuple[str, str, int]  # moment, what, how often it is passed
Found = TypeVar("Found")


@dataclass
class Life:
    """One process from its start to its end. fate: where it was told to die."""

    party: str
    pid: int
    fate: Point | None
    began: float
    ended: float = 0.0


class Zygote:
    """The program of `mortal.py`: forks children, and reaps them."""

    def __init__(self, clock: Path) -> None:
        clock.write_text("0")
        self.clock = clock
        command = [sys.executable, str(Path(__file__).with_name("mortal.py")), str(clock)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._asking = threading.Lock()

    def ask(self, **words: Any) -> dict[str, Any]:
        """One order and its answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(json.dumps(words).encode() + b"\n")
            self._process.stdin.flush()
            return dict(json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End it; its children die with it."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Child:
    """A forked process with the words of `subprocess.Popen` that `Processes` uses."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote = zygote
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._zygote.ask(poll=self.pid)["code"]
        return self.returncode

    def wait(self, timeout: float = 30.0) -> int:
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("child", timeout)
            time.sleep(0.01)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@dataclass
class Death:
    """A party that died where it was told, and how long after its restart it came on."""

    party: str
    point: Point
    recovered: float = field(default=-1.0)


class Mortals(Processes):
    """Hub and three nodes, forked and without a sandbox. `fates`: where each party's next lives end, in this order."""

    big = False

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.sandbox = "none"
        self.zygote = Zygote(home / "clock")
        self.fates: dict[str, list[Point]] = {}
        self.orders = {name: self._healthy(name) for name in ("hub", *self.sites)}
        self.lives: dict[str, Life] = {}
        self.deaths: list[Death] = []

    def launch(self, name: str, words: list[str]) -> Any:
        """Fork one; the first of the party's fates is its own."""
        fates = self.fates.get(name, [])
        fate = fates.pop(0) if fates else None
        orders = self.orders.get(name, {}) | ({} if fate is None else {"strike": fate})
        out, trace = str(self.home / f"{name}.out"), str(self.home / f"{name}.trace")
        pid = self.zygote.ask(start=words, out=out, trace=trace, orders=orders)["pid"]
        self.lives[name] = Life(name, pid, fate, time.monotonic())
        return Child(self.zygote, pid)

    def start(self, name: str) -> None:
        """Start one, and wait until it listens or is dead: a hub may be told to die before it can answer."""
        words = ["hub" if name == "hub" else "node", "start", "--home", str(self.home / name)]
        self.running[name] = self.launch(name, words)
        until(f"{name}", lambda: listens(self.home / name / "admin.sock") or self.running[name].poll() is not None)

    def command(self, *words: str) -> None:
        """One `sojourn` command to its end, by the federation's clock; what it refuses is raised."""
        out = self.home / "command.out"
        out.write_text("")
        orders = {"out": str(out), "trace": str(self.home / "command.trace"), "orders": {}}
        if Child(self.zygote, self.zygote.ask(start=words, **orders)["pid"]).wait():
            raise SojournError(out.read_text(), remedy="")

    def armed(self, **fates: Sequence[Point]) -> None:
        """Give parties their fates and restart them, so that the first of each holds from now on."""
        for name, points in fates.items():
            self.fates[name] = list(points)
            self.kill(name)
            self.start(name)

    def heal(self) -> None:
        """Everything runs, nobody is doomed, and nothing is slow."""
        self.deaths.clear()
        self.fates.clear()
        for name in ("hub", *self.sites):
            sick = self.orders.get(name, {}) != self._healthy(name)
            self.orders[name] = self._healthy(name)
            process, life = self.running[name], self.lives[name]
            if process.poll() is None and (sick or life.fate is not None):
                process.kill()
                process.wait()
            if process.poll() is not None:
                self.start(name)

    def remake(self, site: str) -> None:
        """A new node by the name of one that was removed, with new keys and the same rows."""
        self.kill(site)
        shutil.rmtree(self.home / site)
        replace(
            node_program.create(self.home / site, site, "none", least_sites=1),
            most_refusals=0,
            repeats=False,
            usual_asks=0,
        ).save()
        self.command("node", "join", str(self.hub("invite", site=site)), "--home", str(self.home / site))
        self.add(site, "patients", patients(self.sites.index(site), 300))
        self.node(site, "approve", project=PROJECT, key=self.key.public.hex)
        self.start(site)

    def _healthy(self, name: str) -> dict[str, Any]:
        return {} if name == "hub" else {"threads": True}

    def close(self) -> None:
        """End everything."""
        super().close()
        self.zygote.close()

    # ---- supervision

    def tend(self) -> None:
        """Restart whoever died where it was told to; anybody else's end is a failure."""
        for name in ("hub", *self.sites):
            process = self.running[name]
            if alive(process.pid) or (code := process.poll()) is None:
                continue
            life = self.lives[name]
            words = (self.home / f"{name}.out").read_text()[-2000:]
            assert code == -signal.SIGKILL and life.fate is not None, (name, code, life.fate, words)
            self._note_progress(name)
            self.deaths.append(Death(name, life.fate))
            self.start(name)

    def _note_progress(self, name: str) -> None:
        """The life that ends now went on from the death before it."""
        for death in self.deaths:
            if death.party == name and death.recovered < 0:
                death.recovered = time.monotonic() - self.lives[name].began

    def tended(self, what: str, ready: Callable[[], Found], seconds: float = PATIENCE) -> Found:
        """Restart the dead until something is true."""

        end = time.monotonic() + seconds
        self.tend()
        while not (found := ready()):
            told = f"fates to come: {self.fates}; deaths: {self.deaths}; lives: {self.lives}"
            assert time.monotonic() < end, f"not in {seconds} s: {what}; {told}"
            time.sleep(LOOK)
            self.tend()
        for name in ("hub", *self.sites):
            self._note_progress(name)
        return found

    def advance(self, seconds: float) -> None:
        """Everybody's clock goes forward at once."""
        fresh = self.zygote.clock.with_suffix(".new")
        fresh.write_text(str(self.offset() + seconds))
        fresh.replace(self.zygote.clock)

    def offset(self) -> float:
        """The seconds by which everybody's clock is ahead of this machine's."""
        return float(self.zygote.clock.read_text())

    def later(self, what: str, ready: Callable[[], object], seconds: float) -> None:
        """Let so many seconds go by, and again, until something is true: a restarted hub counts from its start."""
        for _ in range(30):
            self.advance(seconds)
            end = time.monotonic() + 2
            while time.monotonic() < end:
                self.tend()
                if ready():
                    return
                time.sleep(LOOK)
        raise AssertionError(f"not after 30 x {seconds} s: {what}; {self.deaths}")

    def insist(self, ask: Callable[[], Found]) -> Found:
        """Ask again while the other side is dying and coming back."""

        def attempt() -> tuple[Found] | None:
            try:
                return (ask(),)
            except TransportError:
                return None

        return self.tended("an answer", attempt)[0]

    # ---- people

    def researcher(self, key: Any = None) -> Federation:
        """The analyst's library over TLS, by the federation's clock."""
        address, mine = self.address(), key or self.key

        def clock() -> float:
            return time.time() + self.offset()

        auth = SignedAuth(mine, audience=address.federation, clock=clock)
        client = https_client(address.url, address.authority, auth, 30.0)
        self._researchers.append(
            Federation(client, mine, LogIdentity(address.federation, address.log_key), clock=clock)
        )
        return self._researchers[-1]

    def submit(self, project: Project, plan: sj.Plan) -> Run:
        """Submit a plan once, whatever becomes of the hub meanwhile: what it took already it does not take again."""
        request = self.insist(lambda: project.request(plan))

        def send() -> Run:
            try:
                return project.send(request)
            except SojournError as error:
                if "submitted before" not in str(error):
                    raise
                return project.federation.study(request.study)

        return self.insist(send)

    def finish(self, run: Run, seconds: float = PATIENCE) -> str:
        """Tend until the study has ended at the hub and every node has let go of it; the state of the end."""

        def over() -> str:
            state = self.hub_rows("SELECT state FROM study WHERE id = ?", run.study)[0][0]
            if state not in ENDED:
                return ""
            doomed = [name for name, life in self.lives.items() if life.fate is not None]
            return "" if doomed or any(self.fates.values()) or not self.at_rest(run, self.sites) else str(state)

        return self.tended("the study's end", over, seconds)

    def at_rest(self, run: Run, sites: Sequence[str]) -> bool:
        """Whether these nodes have let go of a study: it is ended there, and all is acknowledged."""
        running = "SELECT 1 FROM run WHERE study = ? AND ended = ''"
        kept = "SELECT 1 FROM release WHERE study = ? AND acknowledged = 0"
        return not any(self.rows(site, query, run.study) for site in sites for query in (running, kept))

    # ---- looking into files

    def rows(self, party: str, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a party's database holds, read by somebody else."""
        file = self.home / party / ("hub.db" if party == "hub" else "node.db")
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()

    def hub_rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.rows("hub", query, *values)

    def log(self, party: str, study: str) -> list[dict[str, Any]]:
        """The entries of a party's log about a study."""
        query = "SELECT data FROM log_entry WHERE study = ? ORDER BY position"
        return [json.loads(data) for (data,) in self.rows(party, query, study)]

    def trace(self, party: str, since: int = 0) -> list[dict[str, Any]]:
        """What a party's processes came past, from a byte of the file on."""
        path = self.home / f"{party}.trace"
        if not path.exists():
            return []
        lines = path.read_bytes()[since:].split(b"\n")
        return [json.loads(line) for line in lines if line]

    def traced(self, party: str) -> int:
        """Where the trace ends now."""
        path = self.home / f"{party}.trace"
        return path.stat().st_size if path.exists() else 0


# ---- what must hold after every study -------------------------------------------------------------------------------


def once(names: Sequence[Any]) -> None:
    """No name comes twice."""
    assert [name for name, times in Counter(names).items() if times > 1] == []


def settled(federation: Mortals, run: Run, sites: Sequence[str] = SITES) -> None:
    """One release, one charge, one entry for each (study, site, analysis, ask), the same at both ends, and all proved.

    sites: those that took part to the end.
    """
    until("the nodes' rest", lambda: federation.at_rest(run, sites))
    hub = federation.log("hub", run.study)
    kinds = Counter(entry["kind"] for entry in hub)
    assert kinds["study.submitted"] == 1 and sum(kinds[f"study.{state}"] for state in ENDED) == 1, kinds
    once([(entry["facts"]["analysis"], entry["facts"]["ask"]) for entry in hub if entry["kind"] == "round.asked"])
    once([entry["facts"]["analysis"] for entry in hub if entry["kind"] == "analysis.concluded"])
    answered = [entry["facts"] for entry in hub if entry["kind"] in ("round.answered", "round.refused")]
    once([(facts["site"], facts["analysis"], facts["ask"]) for facts in answered])
    events = federation.hub_rows("SELECT document FROM event WHERE study = ?", run.study)
    told = [json.loads(document) for (document,) in events]
    contributed = [(e["site"], e["analysis"], e["round"]) for e in told if e["state"] == "contributed"]
    once(contributed)
    for site in sites:
        _settled_at(federation, site, run, [facts for facts in answered if facts["site"] == site])
    assert federation.hub("verify") == {"ok": True, "problems": []}


def _settled_at(federation: Mortals, site: str, run: Run, answered: list[dict[str, Any]]) -> None:
    log = federation.log(site, run.study)
    of = {kind: [entry["facts"] for entry in log if entry["kind"] == kind] for kind in {entry["kind"] for entry in log}}
    released = federation.rows(
        site,
        "SELECT analysis, ask, sealed, answer, reason, receipt FROM release WHERE study = ? AND acknowledged",
        run.study,
    )
    sealed = {(facts["analysis"], facts["ask"]): facts["release"] for facts in of.get("release.sealed", [])}
    refused = [(facts["analysis"], facts["ask"]) for facts in of.get("release.refused", [])]
    assert len(sealed) == len(of.get("release.sealed", []))
    once(refused)
    assert sorted([*sealed, *refused]) == sorted((row[0], row[1]) for row in released)
    # What this site sealed is what the hub recorded, each once.
    at_hub = {(facts["analysis"], facts["ask"]): facts.get("release") for facts in answered}
    assert at_hub == sealed | dict.fromkeys(refused)
    charged = [facts["analysis"] for facts in of.get("ledger.charged", [])]
    noisy = {facts["analysis"] for facts in of.get("privacy.charged", [])}  # bounded by a budget, in no ledger
    repeated = federation.rows(site, "SELECT analysis FROM release WHERE study = ? AND first_study != ''", run.study)
    elsewhere = {analysis for (analysis,) in repeated}  # charged when its answer first left
    assert sorted(charged) == sorted({analysis for analysis, _ in sealed} - noisy - elsewhere)
    sets = dict(federation.rows(site, "SELECT analysis, count(*) FROM ledger WHERE study = ? GROUP BY 1", run.study))
    assert sets == {facts["analysis"]: facts["sets"] for facts in of.get("ledger.charged", [])}
    acknowledged = [(facts["analysis"], facts["ask"]) for facts in of["release.acknowledged"]]
    assert sorted(acknowledged) == sorted([*sealed, *refused])
    assert len(of.get("run.ended", [])) == len(of.get("run.admitted", [])) <= 1
    _receipts(federation, site, released)
    assert federation.node(site, "verify") == {"ok": True, "problems": []}


def _receipts(federation: Mortals, site: str, released: list[tuple[Any, ...]]) -> None:
    """Every acknowledgement proves itself against the hub's key, and is about just this answer."""
    key = PublicKey.from_hex((federation.home / site / "hub-log.pub").read_text())
    for analysis, ask, sealed, _, _, receipt in released:
        entry = Receipt.from_dict(json.loads(receipt)).verify("wards.test", key)
        assert entry["kind"] == ("round.refused" if sealed is None else "round.answered")
        assert (entry["facts"]["analysis"], entry["facts"]["ask"]) == (analysis, ask)
        assert entry["facts"]["site"] == site


def same_bytes(federation: Mortals, site: str, run: Run, since: int = 0) -> dict[str, int]:
    """Every attempt to hand over an ask's answer carried the stored bytes; how many attempts there were for each."""
    import hashlib

    stored = {
        ask: hashlib.sha256((bytes(sealed).hex() if sealed is not None else reason).encode()).hexdigest()
        for ask, sealed, reason in federation.rows(
            site, "SELECT ask, sealed, reason FROM release WHERE study = ?", run.study
        )
    }
    attempts: Counter[str] = Counter()
    for line in federation.trace(site, since):
        if (line["moment"], line["point"]) == ("before", "HubLink.deliver"):
            ask, digest = line["what"].split()
            if ask in stored:
                assert digest == stored[ask]
                attempts[ask] += 1
    assert set(attempts) == set(stored)
    return dict(attempts)


# ---- the study of these tests and its answer over the pooled rows ---------------------------------------------------


def ordinary(**words: Any) -> sj.Plan:
    """Several rounds and a table."""
    analyses = {"count": sj.count(by="sick"), "model": sj.glm("sick ~ age + lab", family="binomial")}
    return sj.Plan(table="patients", purpose="HMB", analyses=analyses, **words)


def counting(**words: Any) -> sj.Plan:
    """One round."""
    return sj.Plan(table="patients", purpose="HMB", analyses={"count": sj.count(by="sick")}, **words)


def pooled(sites: Sequence[str] = SITES) -> np.ndarray:
    """Newton's method on the rows of all sites together: the coefficients of `ordinary`'s model."""
    import pandas as pd

    rows = pd.concat([patients(SITES.index(site), 300) for site in sites])
    x = np.column_stack([np.ones(len(rows)), rows["age"], rows["lab"]])
    y, beta = rows["sick"].to_numpy(float), np.zeros(3)
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ beta))
        beta = beta + np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]), x.T @ (y - p))
    return beta


def right(federation: Mortals, run: Run, sites: Sequence[str] = SITES) -> None:
    """The client's own checks hold, and the answer is that of the pooled rows."""
    results = federation.insist(lambda: federation.researcher().study(run.study).results())
    assert results.trusted
    table = results["model"].table
    apart = np.abs(table["estimate"].to_numpy() - pooled(sites)) / table["std_error"].to_numpy()
    assert apart.max() < 1e-8
    sick = sum(patients(SITES.index(site), 300)["sick"].sum() for site in sites)
    assert results["count"].table["n"].to_dict() == {False: 300 * len(sites) - sick, True: sick}


def sound(federation: Mortals, run: Run) -> None:
    """Everything above."""
    assert federation.finish(run) == "completed"
    settled(federation, run)
    for site in SITES:
        same_bytes(federation, site, run)
    right(federation, run)
    assert [death for death in federation.deaths if not 0 <= death.recovered <= RECOVERY] == []


# ---- fixtures -------------------------------------------------------------------------------------------------------

_shared: list[Mortals] = []


@pytest.fixture(scope="session", name="shared_mortals")
def shared_mortals_fixture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mortals]:
    """One federation for all modules that import this."""
    if not _shared:
        made = Mortals(tmp_path_factory.mktemp("m"))
        try:
            made.make()
        except BaseException:
            made.close()
            raise
        _shared.append(made)
    yield _shared[0]
    while _shared:
        _shared.pop().close()


@pytest.fixture(name="mortals")
def mortals_fixture(shared_mortals: Mortals) -> Iterator[Mortals]:
    """The shared federation with everything running and nobody doomed."""
    shared_mortals.heal()
    yield shared_mortals
    shared_mortals.part()
