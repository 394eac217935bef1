"""A hub and nodes in network namespaces of their own; between them a network of packets that we make and spoil.

Each namespace has one device (tun) whose other end is ours: what a kernel sends we hand on, or not, or later, or twice.
So real TCP meets loss, delay and reordering. For root; others skip.
"""

from __future__ import annotations

import fcntl
import heapq
import os
import random
import selectors
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from federation_processes import SITES, Processes
from namespaces import NETWORK, fresh, inside, run

HUB = "hub"
_DEVICE, _SET = "island0", (0x400454CA, 0x0001 | 0x1000)  # TUNSETIFF, a tun without packet information
_PACKET = 65535


@dataclass
class Weather:
    """Between one node and the hub. up: towards the hub passes; down: back from it. seconds: the longest delay."""

    up: bool = True
    down: bool = True
    loss: float = 0.0
    jitter: float = 0.0
    twice: float = 0.0


class Sea:
    """Carries packets between the islands; the weather may be changed at any time, from any thread."""

    def __init__(self, names: list[str], seed: int = 0) -> None:
        self.weather = {name: Weather() for name in names}
        self.carried = self.lost = 0
        self._random = random.Random(seed)
        self._closing = threading.Event()
        self._under_way: list[tuple[float, int, bytes, int]] = []
        self.namespaces: dict[str, int] = {}
        self._ends: dict[int, str] = {}  # device → island
        self._devices: dict[str, int] = {}  # address → device
        for number, name in enumerate([HUB, *names]):
            self.namespaces[name] = fresh(NETWORK)
            with inside(self.namespaces[name], NETWORK):
                device = _device(f"10.77.0.{number + 1}")
            self._ends[device] = name
            self._devices[f"10.77.0.{number + 1}"] = device
        self._thread = threading.Thread(target=self._carry, name="sea", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The end of this world."""
        self._closing.set()
        self._thread.join(10)
        for descriptor in (*self._ends, *self.namespaces.values()):
            os.close(descriptor)

    def _carry(self) -> None:
        selector = selectors.DefaultSelector()
        for device in self._ends:
            selector.register(device, selectors.EVENT_READ)
        while not self._closing.is_set():
            due = self._under_way[0][0] - time.monotonic() if self._under_way else 0.1
            for key, _ in selector.select(min(0.1, max(0.0, due))):
                self._sent(key.fd)
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, _, packet, device = heapq.heappop(self._under_way)
                os.write(device, packet)
        selector.close()

    def _sent(self, source: int) -> None:
        packet = os.read(source, _PACKET)
        if packet[0] >> 4 != 4 or (target := self._devices.get(socket.inet_ntoa(packet[16:20]))) is None:
            return
        up = self._ends[target] == HUB
        weather = self.weather[self._ends[source if up else target]]
        if not (weather.up if up else weather.down) or self._random.random() < weather.loss:
            self.lost += 1
            return
        for _ in range(2 if self._random.random() < weather.twice else 1):
            self.carried += 1
            at = time.monotonic() + weather.jitter * self._random.random()
            heapq.heappush(self._under_way, (at, self.carried, packet, target))


def _device(address: str) -> int:
    """This namespace's one device, as a descriptor of its other end."""
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(device, _SET[0], struct.pack("16sH", _DEVICE.encode(), _SET[1]))
    except OSError as error:
        pytest.skip(f"no tun device can be had: {error.strerror}")
    run("ip", "link", "set", "lo", "up")
    run("ip", "address", "add", f"{address}/24", "dev", _DEVICE)
    run("ip", "link", "set", _DEVICE, "up")
    return device


class Islands(Processes):
    """Real processes, each on its island; the test stands on the hub's, and asks the hub from there."""

    big = False
    host = "10.77.0.1"

    def __init__(self, home: Path, sea: Sea) -> None:
        super().__init__(home)
        self.sea = sea
        self.sandbox = "none"

    def launch(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        """The process of one command, on its party's island."""
        with inside(self.sea.namespaces[name], NETWORK):
            return super().launch(name, words)


@contextmanager
def islands(home: Path) -> Iterator[Islands]:
    """A federation over the sea; the caller's thread is on the hub's island."""
    sea = Sea(list(SITES))
    try:
        made = Islands(home, sea)
        with inside(sea.namespaces[HUB], NETWORK):
            try:
                made.make()
                yield made
            finally:
                made.close()
    finally:
        sea.close()
