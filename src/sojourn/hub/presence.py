"""When each site asked last. Kept in memory; where several programs serve one hub, they tell each other by a table.

It is no evidence and no act, so no log entry goes with it: it says who is online, and times `stragglers: abort`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select

from sojourn.audit.entry import Entry
from sojourn.hub.store import HubStore
from sojourn.hub.tables import presence

SHARE_EVERY = 5.0  # seconds; far below the minute after which a site counts as gone


class Presence:
    """shared: whether other programs serve the same hub."""

    def __init__(self, store: HubStore, clock: Callable[[], float], shared: bool) -> None:
        self._store = store
        self._clock = clock
        self._shared = shared
        self._lock = threading.Lock()
        self._own: dict[str, float] = {}  # not told yet
        self._seen: dict[str, float] = {}
        self._next = 0.0

    def note(self, site: str) -> None:
        """A site asked just now."""
        with self._lock:
            self._own[site] = self._seen[site] = self._clock()

    def last(self, site: str) -> float:
        """The time of a site's last question, 0 where none is known."""
        with self._lock:
            return self._seen.get(site, 0.0)

    def forget(self, site: str) -> None:
        """A site was removed."""
        with self._lock:
            self._own.pop(site, None)
            self._seen.pop(site, None)

    def share(self) -> None:
        """Tell the others and hear them, every few seconds; for the hub's clock."""
        if not self._shared or self._clock() < self._next:
            return
        self._next = self._clock() + SHARE_EVERY
        with self._lock:
            own, self._own = self._own, {}
        if own:
            self._store.jot(lambda connection: _tell(connection, own))
        rows = self._store.rows(select(presence.c.site, presence.c.seen))
        with self._lock:
            for row in rows:
                self._seen[row["site"]] = max(row["seen"], self._seen.get(row["site"], 0.0))


def _tell(connection: Connection, seen: dict[str, float]) -> tuple[tuple[Entry, ...], None]:
    connection.execute(delete(presence).where(presence.c.site.in_(sorted(seen))))
    connection.execute(insert(presence), [{"site": site, "seen": seen[site]} for site in sorted(seen)])
    return (), None
