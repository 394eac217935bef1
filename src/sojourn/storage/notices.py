"""Words between programs that share one PostgreSQL database: what one publishes, all the others hear.

Law: a word may be lost while a connection is down, never silently: after each new connection the listener is told that
it may have missed something. Words name topics and hold no contents. Source: PostgreSQL's LISTEN and NOTIFY.
"""

from __future__ import annotations

import json
import queue
import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.engine import Engine

CHANNEL = "sojourn"
MOST_TOPICS = 60  # in one notice, whose limit is 8,000 bytes; a site's name has at most 80
TURN = 1.0  # seconds between two looks whether the program ends
PAUSE = 1.0  # seconds before a lost connection is made again


class Notices:
    """hear: called with topics from other programs. missed: called after each (re)connection. Both from one thread."""

    def __init__(self, engine: Engine, hear: Callable[[list[str]], None], missed: Callable[[], None]) -> None:
        self._engine = engine
        self._hear = hear
        self._missed = missed
        self._name = secrets.token_hex(8)
        self._outgoing: queue.SimpleQueue[list[str] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(self._listen,), name="notices-in", daemon=True),
            threading.Thread(target=self._keep, args=(self._publish,), name="notices-out", daemon=True),
        ]

    def start(self) -> None:
        """Begin to listen."""
        for thread in self._threads:
            thread.start()

    def publish(self, topics: Sequence[str]) -> None:
        """Tell the other programs; returns at once."""
        self._outgoing.put(list(topics))

    def close(self) -> None:
        """Hear and tell no more."""
        self._closing.set()
        self._outgoing.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout=5 * TURN)

    def _keep(self, work: Callable[[Any], None]) -> None:
        """One side of the conversation, with a new connection whenever the last one broke."""
        while not self._closing.is_set():
            try:
                taken = self._engine.raw_connection()
                connection = taken.dbapi_connection
                taken.detach()  # no more the pool's: it has its own mode, and is closed here
                assert connection is not None
                try:
                    connection.rollback()
                    connection.autocommit = True
                    work(connection)
                finally:
                    connection.close()
            except Exception:  # the database restarts, say
                self._closing.wait(PAUSE)

    def _listen(self, connection: Any) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        self._missed()
        while not self._closing.is_set():
            for notice in connection.notifies(timeout=TURN):
                sender, topics = json.loads(notice.payload)
                if sender != self._name:
                    self._hear(topics)

    def _publish(self, connection: Any) -> None:
        while (topics := self._outgoing.get()) is not None:
            try:
                for first in range(0, len(topics), MOST_TOPICS):
                    word = json.dumps([self._name, topics[first : first + MOST_TOPICS]])
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, word))
            except Exception:
                self._outgoing.put(topics)  # told twice rather than not at all
                raise
