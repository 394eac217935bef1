"""Hashes a party's log again from its raw entries: at its start, and from time to time while it runs.

SQLite sees damage to the form of its pages, not to what stands in them; the log's hashes see that. A log that does not
verify stops its party: at the start by an error, later by a store that takes no write any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sojourn.errors import AuditError
from sojourn.storage.outcome import Unreadable
from sojourn.storage.store import Store

AT_ONCE = 20_000
"""Entries of a log that is verified before the program starts, about 0.1 ms each; a longer one is while it runs."""
EVERY = 6 * 3600.0
SOON = 60.0  # after a server did not answer


class Verifier:
    """`tell` hears, in words, of a log that stopped verifying while the program ran."""

    def __init__(self, store: Store, tell: Callable[[str], None], at_once: int = AT_ONCE, every: float = EVERY) -> None:
        self._store = store
        self._tell = tell
        self._at_once = at_once
        self._every = every
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log-verifier", daemon=True)
        self._pause = every

    def start(self) -> None:
        """AuditError where a log that is not too long does not verify or cannot be read; then go on in a thread."""
        if self._store.size > self._at_once:
            self._pause = 0.0
        elif (error := self._verified()) is not None:
            raise error
        self._thread.start()

    def close(self) -> None:
        """Verify no more."""
        self._closing.set()

    def _run(self) -> None:
        while not self._closing.wait(self._pause):
            self._pause = self._every
            try:
                error = self._verified()
            except Unreadable:
                self._pause = min(SOON, self._every)
                continue
            if error is not None and not self._closing.is_set():
                self._store.stop(error)
                self._tell(str(error))
                return

    def _verified(self) -> AuditError | None:
        try:
            report = self._store.verify()
        except Unreadable:  # which says nothing about the log
            raise
        except Exception as error:  # a page that cannot be read, say
            problems = f"it cannot be read ({type(error).__name__})"
        else:
            if report.ok:
                return None
            problems = "; ".join(f"{problem.what} (entry {problem.position})" for problem in report.problems[:3])
        return AuditError(
            f"The audit log does not verify: {problems}.",
            remedy="Stop the program, keep the database and its -wal as evidence, restore the latest backup, and tell "
            "the other parties: they hold receipts of what was acknowledged since.",
        )
