"""A federation in one process whose hub and nodes can be stopped, restored from a backup and started again."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from sojourn.hub import program as hub_program
from sojourn.hub.api import application
from sojourn.hub.config import HubHome
from sojourn.hub.service import Hub
from sojourn.node import program as node_program
from sojourn.node.config import NodeHome
from sojourn.node.hub_link import HubLink
from sojourn.node.opening import Openings
from sojourn.node.sandbox import InProcess
from sojourn.node.service import Node
from sojourn.testbed import NAME, Federation
from sojourn.wire.requests import SignedAuth
from sojourn.wire.transport import in_memory_client


class Restorable(Federation):
    """Nodes and researchers reach whichever hub is there now."""

    def _open_hub(self) -> Hub:
        hub = super()._open_hub()
        self._present = self._app
        self._inside: set[object] = set()  # requests that the hub answers now

        async def whichever(scope: Any, receive: Any, send: Any) -> None:
            request = object()
            self._inside.add(request)
            try:
                await self._present(scope, receive, send)
            finally:
                self._inside.discard(request)

        self._app = whichever
        return hub

    def backup(self, party: Hub | Node) -> Path:
        """What an administrator's backup would hold of the party's store now."""
        database = self._database(party)
        copy = self.folder / f"{database.parent.name}-{time.monotonic_ns()}.db"
        with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        return copy

    def restore_hub(self, copy: Path) -> None:
        """End the hub, put the backup in its place, start it again."""
        self._present = _nobody  # a late request would make a new database where the old one was
        self.hub.bell.close()
        until("the requests in hand end", lambda: not self._inside)  # one would open the database that is put there
        self.hub.close()
        self._put(copy, self.folder / "hub" / "hub.db")
        self.hub = hub_program.open_hub(HubHome(self.folder / "hub", NAME, "localhost", 0), self._clock)
        self.hub.start()
        self._present = application(self.hub)

    def restore_node(self, site: str, copy: Path | None = None) -> Node:
        """End a node, put the backup in its place, start it again."""
        old = self.nodes[site]
        policy, home, clock = old.policy, old.home, old.clock
        old.leave()
        self.hub.bell.ring(f"site:{site}")
        old.close()
        until("its poll ends too", lambda: old._polling is None or not old._polling._thread.is_alive())
        if copy is not None:
            self._put(copy, home.database_file)
        node = node_program.open_node(NodeHome.load(home.folder), clock, policy, Openings(home, InProcess()))
        auth = SignedAuth(node.key, audience=NAME, clock=clock)
        client = in_memory_client(self._app, auth, self._loop)
        node.connect(HubLink(client, site, NAME, self.hub.store.public_key))
        self.nodes[site] = node
        return node

    def standing(self) -> str:
        """Who remembers what of whose log, and what the nodes wrote down last: for a test that fails."""
        lines = [f"hub: {self.hub.store.size} {self.hub.witnessing.facts()}"]
        for site, node in self.nodes.items():
            journal = (node.home.folder / "journal.log").read_text()[-1000:]
            lines.append(f"{site}: {node.witnessing.facts()}\n{journal}")
        return "\n".join(lines)

    def _put(self, copy: Path, database: Path) -> None:
        for name in (database.name, f"{database.name}-wal", f"{database.name}-shm"):
            database.with_name(name).unlink(missing_ok=True)
        database.touch(mode=0o600)
        database.write_bytes(copy.read_bytes())
        database.chmod(0o600)

    def _database(self, party: Hub | Node) -> Path:
        return self.folder / "hub" / "hub.db" if isinstance(party, Hub) else party.home.database_file


async def _nobody(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 503, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def until(what: str, ready: Callable[[], Any], seconds: float = 90.0, told: Callable[[], str] = str) -> Any:
    """The first true value of `ready`; AssertionError when the time is over, with what is `told` then."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, f"not in {seconds} s: {what}\n{told()}"
        time.sleep(0.01)
    return found
