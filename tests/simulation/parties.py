"""The hub and the nodes as processes: the product's own code on its own database, which can be killed at any commit."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from simulation.material import (
    EPOCH,
    FEDERATION,
    POLICY,
    Computing,
    first_stores,
    log_key,
    node_home,
    node_key,
)
from simulation.network import Network
from simulation.world import Flag, Killed, Strand, Waiting, World
from sojourn.analysis.partial import Partial
from sojourn.analysis.statistic import Ask
from sojourn.analysis.support import Contributions, Support, Working
from sojourn.errors import AuditError, IdentityError, SiteRefused, SojournError
from sojourn.forms import log_of
from sojourn.hub.bell import Bell
from sojourn.hub.service import Hub
from sojourn.hub.store import HubStore
from sojourn.hub.tables import metadata as hub_tables
from sojourn.identity.keys import PublicKey
from sojourn.messages import Delivery, Poll, Publish, Work
from sojourn.node.admission import Run
from sojourn.node.hub_link import HubLink
from sojourn.node.opening import Openings
from sojourn.node.service import Node
from sojourn.node.store import NodeStore
from sojourn.node.tables import metadata as node_tables
from sojourn.storage.engine import open_engine
from sojourn.storage.guard import Mode
from sojourn.storage.store import Store
from sojourn.wire.requests import MAX_SKEW, RequestRefused
from sojourn.wire.transport import AccessRefused, ServerRefused

TICK = 7.0  # seconds between two looks of the hub at its deadlines
MOST_PAGES = 1_073_741_823


class Process:
    """A program on a machine of its own: its clock, its disk, its strands. It dies, and starts again from its disk."""

    def __init__(self, world: World, network: Network, name: str, folder: Path) -> None:
        self.world = world
        self.network = network
        self.name = name
        self.database = folder / f"{name}.db"
        self.skew = 0.0
        self.full = False  # its disk
        self.frail = 0.0  # chance of a crash at each point where that could make a difference
        self.up = False
        self.lives = 0
        self.store: Any = None
        self.engine: Engine | None = None
        for leftover in (f"{name}.db-wal", f"{name}.db-shm"):
            (folder / leftover).unlink(missing_ok=True)
        shutil.copyfile(first_stores() / self.database.name, self.database)
        self.database.chmod(0o600)

    def clock(self) -> float:
        """Its own, which may be wrong."""
        return EPOCH + self.world.now + self.skew

    def instant(self) -> datetime:
        return datetime.fromtimestamp(self.clock(), UTC)

    def strand(self, do: Callable[[], Any], delay: float = 0.0) -> Strand:
        """A thread of this process."""
        return self.world.spawn(do, self, delay)

    # ---- dying

    def check(self) -> None:
        """Whoever is of a process that is no more does nothing more."""
        strand = self.world.current
        if not self.up or (strand is not None and strand.killed):
            raise Killed

    def point(self, where: str) -> None:
        """A moment at which a crash would make a difference."""
        if self.world.chance(self.frail):
            self.crash(where)
        self.check()

    def crash(self, where: str) -> None:
        """End as by SIGKILL; start again after a while."""
        if not self.up:
            return
        self.up = False
        self.world.fault(f"crash {where}", self.name)
        self.world.at(0.0, self._bury)
        pause = self.world.random.choice((0.5, 5.0, 20.0, 60.0)) * self.world.random.uniform(0.5, 1.5)
        self.world.at(pause, self.start)

    def _bury(self) -> None:
        """Its threads end where they stand; what was not committed is gone."""
        for strand in [strand for strand in self.world.strands if strand.owner is self]:
            strand.kill()
        self.let_go()
        self.buried()

    def let_go(self) -> None:
        """Close the database, as the end of a process does."""
        if self.store is not None:
            self.store._kept.close()
        if self.engine is not None:
            self.engine.dispose()

    def buried(self) -> None:
        """For the parties."""

    # ---- living

    def start(self) -> None:
        """Start from what is on the disk."""
        self.lives += 1
        self.up = True
        self.world.tell("start", self.name)
        self.strand(self._start)

    def _start(self) -> None:
        try:
            self.engine = engine_of(self)
            self.begin(self.engine)
        except Exception as error:  # as a program that cannot start: its service manager tries again
            self.world.tell("cannot start", self.name, type(error).__name__)
            self.crash("at its start")

    def begin(self, engine: Engine) -> None:
        raise NotImplementedError

    def limit(self, connection: Any, record: Any) -> None:
        """A full disk: SQLite may not take another page, and says so by itself."""
        if record.info.get("limited", False) != self.full:
            record.info["limited"] = self.full
            guard = record.info["sojourn.guard"]
            before, guard.mode = guard.mode, Mode.OWNER
            connection.execute(f"PRAGMA max_page_count = {1 if self.full else MOST_PAGES}")
            guard.mode = before


_engines: dict[Path, tuple[Engine, list[Process]]] = {}


def engine_of(process: Process) -> Engine:
    """The engine on a process's database. It outlives lives and seeds, for its statements are compiled once; its
    connections do not."""
    if process.database not in _engines:
        engine, user = open_engine(process.database), [process]
        event.listen(engine, "commit", lambda _: user[0].point("before a commit"))
        event.listen(engine, "checkout", lambda connection, record, _: user[0].limit(connection, record))
        _engines[process.database] = (engine, user)
    engine, user = _engines[process.database]
    user[0] = process
    return engine


class _Simulated(Store):
    """A party's store, whose writers queue as threads do, and whose process may die around each commit."""

    process: Process

    def _submit(self, make: Any, mode: Mode = Mode.ACTION) -> Any:
        self.process.check()
        try:
            return super()._submit(make, mode)
        finally:
            self.process.check()

    def _drain(self) -> None:
        if self.process.world.chance(self.process.network.hurry):
            self.process.world.sleep(self.process.world.random.uniform(0.0, 0.05))
        if self._queue:  # else another strand was the writer meanwhile
            super()._drain()

    def _commit(self, jobs: list[Any]) -> None:
        super()._commit(jobs)
        self.process.point("after a commit")


class SimulatedHubStore(_Simulated, HubStore):
    pass


class SimulatedNodeStore(_Simulated, NodeStore):
    pass


# ---- the hub


class Rung(Bell):
    """The bell, heard by strands."""

    def __init__(self) -> None:
        super().__init__()
        self._strands: dict[str, deque[tuple[Strand, int]]] = {}

    def ring(self, *topics: str) -> None:
        for topic in topics:
            for strand, ticket in self._strands.pop(topic, ()):
                strand.wake(ticket)

    def wait(self, strand: Strand, topic: str, seconds: float) -> None:
        self._strands.setdefault(topic, deque()).append((strand, strand.ticket()))
        strand.wait(seconds)


class HubProcess(Process):
    """The hub behind a door that stands for its web interface."""

    def __init__(self, world: World, network: Network, folder: Path) -> None:
        super().__init__(world, network, "hub", folder)
        self.hub: Hub

    def begin(self, engine: Engine) -> None:
        store = SimulatedHubStore(engine, hub_tables, log_key("hub"), FEDERATION, self.instant, inline=True)
        store.process = self
        self.store = store
        hub = Hub(store, self.clock, abort_after=40.0)
        hub.bell = hub.studies.bell = Rung()
        locks: dict[str, Waiting] = {}
        hub.studies._lock = lambda study: locks.setdefault(study, Waiting(self.world))
        self.network.witness.look(self)
        hub.studies.resume()
        self.hub = hub
        self.network.hub = self
        self.strand(self._tick)

    def buried(self) -> None:
        if self.network.hub is self:
            self.network.hub = None

    def _tick(self) -> None:
        while True:
            self.world.sleep(TICK)
            try:
                self.hub.keep_deadlines()
            except Exception as error:  # as the hub's own clock: the next turn tries again
                self.world.tell("hub's clock:", type(error).__name__)

    def answer(self, path: str, body: bytes, sent: float | None) -> bytes:
        """What the web interface does: prove, read, call, write. sent: by the sender's clock; None for a repetition,
        which the door would refuse by its nonce and its age: the hub must bear it all the same."""
        try:
            if sent is not None and abs(sent - self.clock()) > MAX_SKEW:
                raise RequestRefused("clock", sent - self.clock())
            answer = self._answer(path.strip("/").split("/")[1:], body)
        except SojournError as error:
            reason = str(getattr(error, "reason", "") or type(error).__name__)
            if isinstance(error, IdentityError):
                raise AccessRefused(str(error.args[0]), remedy=error.remedy, reason=reason) from error
            status = 503 if isinstance(error, AuditError) else 409
            raise ServerRefused(str(error.args[0]), remedy=error.remedy, status=status, reason=reason) from error
        except Exception as error:
            raise ServerRefused("The other side failed.", remedy="Try again.", status=500, reason="") from error
        return json.dumps(answer).encode()

    def _answer(self, path: list[str], body: bytes) -> Any:
        match path:
            case ["sites", site, "publication"]:
                self.hub.publish(site, Publish.model_validate_json(body))
                return {"published": True}
            case ["sites", site, "poll"]:
                return self._poll(site, Poll.model_validate_json(body)).model_dump(mode="json", exclude_unset=True)
            case ["sites", site, "deliveries"]:
                key = self.hub.node_key(site)
                assert key is not None
                done = self.hub.deliver(site, key, Delivery.model_validate_json(body))
                if done.receipt is not None:
                    self.network.witness.receipt(done.receipt)
                return done.model_dump(mode="json", exclude_unset=True)
            case ["projects", project, "preparations", key_hex]:
                return self.hub.prepare(project, PublicKey.from_hex(key_hex)).model_dump(mode="json")
            case ["studies", key_hex]:
                submitted = self.hub.submit(json.loads(body), PublicKey.from_hex(key_hex))
                self.network.witness.receipt(submitted.receipt)
                return submitted.model_dump(mode="json")
            case ["studies", study, "cancellation", key_hex]:
                return {"cancelled": self.hub.cancel(study, PublicKey.from_hex(key_hex))}
        raise ValueError("no such path")

    def _poll(self, site: str, message: Poll) -> Work:
        until = self.world.now + message.wait
        strand = self.world.current
        assert strand is not None
        heard = self.hub.hear(site, message)
        while True:
            work = self.hub.poll(site, message, heard)
            self.network.witness.handed_out(self.hub, work)
            if work.tasks or work.ended or heard.fresh or self.world.now >= until:
                return work
            assert isinstance(self.hub.bell, Rung)
            self.hub.bell.wait(strand, f"site:{site}", until - self.world.now)


# ---- a node


class SimulatedLine:
    """One study's line of work, done by a strand."""

    def __init__(self, process: Process, do: Callable[[Any], None]) -> None:
        self._process = process
        self._do = do
        self._waiting: deque[Any] = deque()
        self._busy = False
        self._ended = False

    def put(self, work: Any) -> None:
        self._waiting.append(work)
        if not self._busy:
            self._busy = True
            self._process.strand(self._run)

    def _run(self) -> None:
        while self._waiting and not self._ended:
            self._do(self._waiting.popleft())
        self._busy = False

    def end(self) -> None:
        self._ended = True

    def join(self, timeout: float) -> None:
        pass


class SimulatedComputation:
    """A worker: it takes its time, and is killed when the run ends."""

    def __init__(self, process: NodeProcess, run: Run) -> None:
        self._process = process
        self._computing = Computing(process.name, run.plan, tuple(run.request.roster))
        self._cancelled = False

    def support(self, analysis: str) -> Support:
        self._work()
        return self._computing.support(analysis)

    def round(self, analysis: str, ask: Ask) -> tuple[Partial, Working | None]:
        self._work()
        return self._computing.local(analysis, ask), self._computing.working(analysis, ask)

    def leverage(self, analysis: str, ask: Ask, sums: Partial) -> None:
        """Of no model."""

    def squares(self, analysis: str, ask: Ask) -> tuple[Contributions, ...]:
        self._work()
        return self._computing.squares(analysis, ask)

    def cancel(self) -> None:
        self._cancelled = True

    def finish(self) -> None:
        self.cancel()

    def _work(self) -> None:
        self._process.world.sleep(self._process.slowness * self._process.world.random.uniform(0.02, 0.2))
        if self._cancelled:
            raise SiteRefused("cancelled")


class SimulatedOpenings(Openings):
    """Opens computations over the site's rows in memory."""

    def __init__(self, process: NodeProcess) -> None:
        super().__init__(process.home)
        self._process = process

    def open(self, run: Run) -> Any:
        return SimulatedComputation(self._process, run)


class SimulatedLink(HubLink):
    """The way out over the simulated network: JSON bytes there and back."""

    def __init__(self, process: NodeProcess) -> None:
        super().__init__(None, process.name, FEDERATION, log_key("hub").public)
        self._process = process

    def _call(self, path: str, message: Any) -> dict[str, Any]:
        if isinstance(message, Delivery):
            self._process.network.witness.sending(self._process, message)
        body = message.model_dump_json().encode()
        document: dict[str, Any] = json.loads(self._process.network.call(self._process, path, body))
        return document


class NodeProcess(Process):
    """A node with its custodian."""

    def __init__(self, world: World, network: Network, site: str, folder: Path) -> None:
        super().__init__(world, network, site, folder)
        self.home = node_home(folder / site, site)
        self.home.folder.mkdir(exist_ok=True)
        if not self.home.exchange_key.exists():
            shutil.copy(first_stores() / site / self.home.exchange_key.name, self.home.exchange_key)
        self.slowness = 1.0
        self.policy = POLICY
        self.node: Node

    def begin(self, engine: Engine) -> None:
        store = SimulatedNodeStore(
            engine, node_tables, log_key(self.name), log_of(self.name), self.instant, inline=True
        )
        store.process = self
        self.store = store
        self.network.witness.look(self)
        openings, key = SimulatedOpenings(self), node_key(self.name)
        self.node = Node(
            *(self.home, store, key, self.policy, openings, self.clock, lambda do, _: SimulatedLine(self, do)),
            later=lambda seconds, do: self.strand(do, seconds),
        )
        self.node.journal.write = self._note
        runner, polling = self.node.runner, self.node.converse(SimulatedLink(self))
        runner._journal = polling._journal = self._note
        runner._closing, polling._closing, polling._turned = (Flag(self.world) for _ in range(3))
        polling._sending = Waiting(self.world)
        object.__setattr__(self.node.desk, "_deciding", Waiting(self.world))
        locks: dict[str, Waiting] = {}
        runner.airlock.ledgers.lock = lambda dataset: locks.setdefault(dataset, Waiting(self.world))
        runner.airlock.ledgers._apart = lambda *place: {}  # there is no snapshot whose columns could be compared
        polling._run()

    def buried(self) -> None:
        if hasattr(self, "node"):
            self.node.journal.close()

    def _note(self, study: str, text: str) -> None:
        self.world.tell("journal", self.name, study[:8], text.strip().splitlines()[-1])
