"""Further programs that serve the same hub: they share its listening socket and its PostgreSQL database.

Each worker ends with the program that started it: its standard input is a pipe that closes then, however that comes.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

from sojourn.hub.api import application
from sojourn.hub.config import HubHome
from sojourn.hub.program import open_hub
from sojourn.wire.serving import serve_on

PARTING = 15.0  # seconds that a worker may take to end
PAUSE = 1.0  # seconds before a worker that died is started again


class Workers:
    """count: how many there are beside the program itself; one that dies is started again."""

    def __init__(self, home: HubHome, listener: socket.socket, count: int) -> None:
        self._home = home
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
            process = self._spawn()
            while process.poll() is None and not self._closing.wait(0.2):
                pass
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(PARTING)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._closing.wait(PAUSE)

    def _spawn(self) -> subprocess.Popen[bytes]:
        number = self._listener.fileno()
        command = [sys.executable, "-m", "sojourn", "hub", "work", "--home", str(self._home.folder)]
        return subprocess.Popen(
            [*command, "--socket", str(number)], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=[number]
        )


def work(folder: Path, number: int) -> None:
    """Be one worker, on the inherited socket of this number, until standard input ends."""
    home = HubHome.load(folder)
    hub = open_hub(home)
    certificate, key = home.authority / "server.pem", home.authority / "server.key"
    server = serve_on(application(hub), socket.socket(fileno=number), cert=certificate, key=key)
    hub.start()
    server.start()
    sys.stdin.buffer.read()
    hub.bell.close()
    server.stop()
    hub.close()
