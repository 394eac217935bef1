"""Where metrics can be fetched: over HTTP on an address, or from a file that is written again and again."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import threading
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from sojourn.errors import ConfigurationError

ADDRESS = r"^(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):[0-9]{1,5}$"
EVERY = 15.0  # seconds between two writings of a file


class Exposition:
    """Plain HTTP for whoever reaches the address: metrics name sites and count studies, so it is this machine's own.

    ConfigurationError for an address beyond the loopback that was not said to be meant, or that cannot be had.
    """

    def __init__(self, registry: CollectorRegistry, address: str, beyond_loopback: bool = False) -> None:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        if not beyond_loopback and not _is_loopback(host):
            raise ConfigurationError(
                "Metrics would be open to other machines.",
                remedy="Use 127.0.0.1, or write `metrics_beyond_loopback: true` where only your monitoring reaches it.",
            )
        try:
            self._server, self._thread = start_http_server(int(port), host, registry)
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                "The address for metrics cannot be had.", remedy="Choose another port, or stop what uses it."
            ) from error

    @property
    def port(self) -> int:
        """The real port, also where 0 was asked for."""
        return self._server.server_port

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TextFile:
    """A file in Prometheus' text form for node_exporter's textfile collector, replaced whole (mode 0640)."""

    def __init__(self, path: Path, text: Callable[[], str], every: float = EVERY) -> None:
        self._path = path
        self._text = text
        self._every = every
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-file", daemon=True)

    def start(self) -> None:
        """Write it once, then again and again; ConfigurationError where it cannot be written."""
        try:
            self.write()
        except OSError as error:
            raise ConfigurationError(
                "The file for metrics cannot be written.", remedy="Make its folder, and let this user write there."
            ) from error
        self._thread.start()

    def write(self) -> None:
        """Replace the file by what holds now."""
        partial = self._path.with_name(f".{self._path.name}.part")
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "w", encoding="utf-8") as file:
            file.write(self._text())
        os.replace(partial, self._path)

    def close(self) -> None:
        """Stop writing and remove the file: old figures would look like present ones."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(5)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._closing.wait(self._every):
            with contextlib.suppress(OSError):  # a full disk, say: the next turn tries again
                self.write()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
