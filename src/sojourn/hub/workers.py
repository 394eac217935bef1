"""Further programs that serve the same hub: they share its listening socket and its PostgreSQL database.

Each worker ends with the program that started it: its standard input is a pipe that closes then, however that comes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

PARTING = 15.0  # seconds that a worker may take to end
PAUSE = 1.0  # seconds before a worker that died is started again
LOOK = 0.2


class Workers:
    """count: how many there are; one that dies is started again. listener: the number of the socket they inherit."""

    def __init__(self, home: Path, count: int, listener: int) -> None:
        self._command = [sys.executable, "-m", "sojourn.hub.worker", str(home), str(listener)]
        self._listener = listener
        self._closing = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, name=f"hub-worker-{place}", daemon=True) for place in range(count)
        ]

    def start(self) -> None:
        """Start them all."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End them all, within bounded time."""
        self._closing.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(2 * PARTING)

    def _keep(self) -> None:
        while not self._closing.is_set():
            process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[self._listener]
            )
            while process.poll() is None and not self._closing.wait(LOOK):
                pass
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(PARTING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._closing.wait(PAUSE)
