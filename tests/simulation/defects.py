"""Five planted defects, each a change of what the product promises: the invariants must find every one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import delete, insert, select, update

from simulation import parties
from simulation.simulator import Outcome
from sojourn.disclosure import gate
from sojourn.disclosure.output import Tier
from sojourn.errors import SiteRefused
from sojourn.hub.store import HubStore, Settled
from sojourn.hub.tables import tasks
from sojourn.messages import Task
from sojourn.node import airlock
from sojourn.node import store as node_store
from sojourn.node.airlock import Airlock
from sojourn.node.runner import Runner
from sojourn.node.store import NodeStore
from sojourn.node.tables import releases, runs
from sojourn.study.lifecycle import SITE

BUFFERED = 2.0  # simulated seconds that a commit which is not one stays in memory


@contextmanager
def no_deduplication() -> Iterator[None]:
    """The hub takes a repeated answer for a new one."""

    def task(self: HubStore, key: Any) -> Any:
        found = real(self, key)
        return found and {**found, "state": SITE.initial}

    def settle(self: HubStore, key: Any, values: Any, event: Any, entry: Any, by: str | None = None) -> Settled:
        place = zip((tasks.c.study, tasks.c.analysis, tasks.c.ask, tasks.c.site), key, strict=True)
        change = update(tasks).where(*(column == value for column, value in place)).values(dict(values))
        return Settled(self.write_indexed(entry, lambda connection: connection.execute(change))[1], True)

    real = HubStore.task
    with patch.object(HubStore, "task", task), patch.object(HubStore, "settle", settle):
        yield


@contextmanager
def run_and_charge_twice() -> Iterator[None]:
    """A node does not hand over again what it sealed, but runs and charges again when the task comes again."""

    def do(self: Runner, task: Task) -> None:
        place = (task.study, task.analysis, task.key())
        self.store.again = self.store.release(*place) is not None  # type: ignore[attr-defined]
        try:
            self._answer(task, place[2])
            self._send(*place)
        except Exception as error:
            self._journal(task.study, str(error))
        self.forget(place[2])

    def seal(
        self: NodeStore,
        row: Any,
        entry: Any,
        charges: Any = (),
        dataset: str = "",
        after: Any = None,
        also: Any = None,
    ) -> int:
        key = (row["study"], row["analysis"], row["ask"])

        def action(connection: Any) -> int:
            if row["sealed"] is not None and (reason := node_store.objection_in(connection, row["study"])):
                raise SiteRefused(reason)
            if also is not None:
                also(connection)
            place = zip((releases.c.study, releases.c.analysis, releases.c.ask), key, strict=True)
            connection.execute(delete(releases).where(*(column == value for column, value in place)))
            connection.execute(insert(releases).values(dict(row)))
            node_store._charge(connection, {**row, "dataset": dataset}, charges)
            return node_store._newest(connection, dataset)

        return self.write(entry, action)

    def charged(self: NodeStore, study: str, analysis: str) -> frozenset[str]:
        return frozenset() if getattr(self, "again", False) else charged_before(self, study, analysis)

    def unacknowledged(self: NodeStore) -> list[Any]:
        live = {row["study"] for row in self.rows(select(runs.c.study).where(runs.c.ended == ""))}
        return [row for row in unacknowledged_before(self) if row["study"] not in live]

    charged_before, unacknowledged_before = NodeStore.charged, NodeStore.unacknowledged
    with (
        patch.object(Runner, "_do", do),
        patch.object(Airlock, "repeat", lambda self, place, now: False),  # it computes again, whatever left
        patch.object(NodeStore, "seal", seal),
        patch.object(NodeStore, "charged", charged),
        patch.object(NodeStore, "unacknowledged", unacknowledged),
    ):
        yield


@contextmanager
def release_after_revocation() -> Iterator[None]:
    """A node does not ask again for the grant when it seals and when it sends."""

    def objection(connection: Any, study: str) -> str:
        reason = real(connection, study)
        return "" if reason == "revoked" else reason

    real = node_store.objection_in
    with patch.object(node_store, "objection_in", objection):
        yield


@contextmanager
def acknowledge_before_commit() -> Iterator[None]:
    """A store answers when a write is in memory; it reaches the disk some time later, and a crash comes in between."""
    kept: dict[Path, list[tuple[float, dict[Path, bytes]]]] = {}

    def commit(self: Any, jobs: list[Any]) -> None:
        process = self.process
        files = [process.database, process.database.with_name(process.database.name + "-wal")]
        state = {path: path.read_bytes() for path in files if path.exists()}
        kept.setdefault(process.database, []).append((process.world.now, state))
        commit_now(self, jobs)

    def bury(self: parties.Process) -> None:
        bury_now(self)
        lost = [state for since, state in kept.pop(self.database, []) if since >= self.world.now - BUFFERED]
        if lost:
            for path in (self.database, self.database.with_name(self.database.name + "-wal")):
                path.write_bytes(lost[0].get(path, b""))

    commit_now, bury_now = parties._Simulated._commit, parties.Process._bury
    with patch.object(parties._Simulated, "_commit", commit), patch.object(parties.Process, "_bury", bury):
        yield


@contextmanager
def release_before_approval() -> Iterator[None]:
    """A node does not wait for its checkers where an output is riskier than it releases by itself."""
    with (
        patch.object(airlock, "automatic_of", lambda policy: Tier.HIGH),
        patch.object(gate, "automatic_of", lambda policy: Tier.HIGH),
    ):
        yield


@dataclass(frozen=True)
class Defect:
    """A change of the product, and the invariants that it breaks: a seed that fails otherwise did not find it."""

    plant: Callable[[], AbstractContextManager[None]]
    breaks: tuple[str, ...]


DEFECTS: Mapping[str, Defect] = {
    "no deduplication": Defect(no_deduplication, ("nothing doubled",)),
    "run and charge twice": Defect(
        run_and_charge_twice, ("nothing doubled", "budget charged once", "no release without its log entry")
    ),
    "release after revocation": Defect(release_after_revocation, ("no release after revocation",)),
    "release before approval": Defect(release_before_approval, ("no release before approval",)),
    "acknowledge before commit": Defect(
        acknowledge_before_commit,
        ("acknowledged means durable", "nothing doubled", "no release without its log entry"),
    ),
}


def planted(name: str) -> AbstractContextManager[None]:
    """The defect of this name; none for the empty one."""
    return DEFECTS[name].plant() if name else nullcontext()


def found(name: str, outcome: Outcome) -> bool:
    """Whether a seed broke what this defect breaks."""
    return outcome.problem.startswith(DEFECTS[name].breaks)
