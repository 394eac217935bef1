"""Is a program ready to work? Its store is proved by a commit, at most once a second, whoever asks how often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping

from sojourn.errors import AuditError

AGE = 1.0  # seconds for which a proof holds
STORE, LOG, CLOSING = "store", "log", "closing"
REASONS: Mapping[str, str] = {
    STORE: "the store cannot be written",
    LOG: "the audit log is not at its checkpoint",
    CLOSING: "the program is ending",
    "hub": "the hub is not reached",
}
NOT_RUNNING = "it does not run"


class Readiness:
    """prove: commits an empty change and compares the log with its checkpoint (`Store.prove`).

    further: words of `REASONS`, each with what must hold.
    """

    def __init__(
        self,
        prove: Callable[[], None],
        closing: Callable[[], bool],
        further: Mapping[str, Callable[[], bool]] | None = None,
    ) -> None:
        self._prove = prove
        self._closing = closing
        self._further = dict(further or {})
        self._proving = threading.Lock()
        self._proved = -AGE
        self._said: list[str] = [STORE]  # until it is proved

    def words(self) -> list[str]:
        """All that this program can say."""
        return [STORE, LOG, CLOSING, *self._further]

    def reasons(self) -> list[str]:
        """What keeps the program from being ready; empty: it is ready."""
        if self._closing():
            return [CLOSING]
        # One caller proves; the others do not queue behind a disk that hangs.
        if self._proving.acquire(blocking=False):
            try:
                if time.monotonic() - self._proved >= AGE:
                    self._said = self._asked()
                    self._proved = time.monotonic()
            finally:
                self._proving.release()
        return self._said + [word for word, holds in self._further.items() if not holds()]

    def _asked(self) -> list[str]:
        try:
            self._prove()
        except AuditError:
            return [LOG]
        except Exception:
            return [STORE]
        return []


def said_of(who: str, reasons: list[str]) -> str:
    """One sentence for people."""
    return f"{who} is not ready: {', '.join(reasons)}." if reasons else f"{who} is ready."
