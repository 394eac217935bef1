"""A bad network in user space: stands between one node (or researcher) and the hub, and loses, delays, repeats.

It holds the hub's own server key, as the test owns the hub: so it sees whole messages and not a stream of sealed bytes.
Everything that it hears is kept, byte for byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Heard:
    """One message as it came, and what the hub answered to each of its copies."""

    raw: bytes
    statuses: list[int] = field(default_factory=list)

    @property
    def body(self) -> dict[str, Any]:
        """Its document."""
        return dict(json.loads(self.raw.partition(b"\r\n\r\n")[2] or b"{}"))

    @property
    def path(self) -> str:
        """Its target."""
        return self.raw.split(b" ", 2)[1].decode()


class Middleman:
    """Listens on a free port of the loopback. Its weather may be changed at any time, from any thread.

    loss: the share of messages of which nothing comes back; half of these never reach the hub. jitter: each way takes
    up to so many seconds longer, so that messages overtake each other. copies: how often each request reaches the hub,
    at the same time. deaf: requests pass, and answers to those whose target holds this word are lost. cut: nothing
    passes, and lines that stand are cut.
    """

    def __init__(self, authority: Path, port: int, seed: int = 0) -> None:
        self.loss, self.jitter, self.copies = 0.0, 0.0, 1
        self.deaf, self.cut = "", False
        self.heard: list[Heard] = []
        self.lost = 0
        self._random = random.Random(seed)
        self._hub = port
        self._served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._served.load_cert_chain(authority / "server.pem", authority / "server.key")
        self._asked = ssl.create_default_context(cafile=str(authority / "ca.pem"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="middleman", daemon=True)
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._served))
        self.port = int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """What a node is told instead of the hub's address."""
        return f"https://127.0.0.1:{self.port}"

    def fair(self) -> None:
        """Good weather from now on."""
        self.loss, self.jitter, self.copies, self.deaf, self.cut = 0.0, 0.0, 1, "", False

    def replay(self, raw: bytes) -> int:
        """Send recorded bytes to the hub once more; the status of its answer."""
        answer: bytes = self._do(self._ask(raw))
        return _status(answer)

    def close(self) -> None:
        """Cut everything and end."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _end(self) -> None:
        self._server.close()
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not self.cut:
                raw = await _message(reader)
                if self.cut:
                    break
                answer = await self._carry(Heard(raw))
                if answer is None or self.cut:
                    self.lost += 1
                    break  # the asker learns nothing but that the line is dead
                writer.write(answer)
                await writer.drain()
        writer.transport.abort()

    async def _carry(self, message: Heard) -> bytes | None:
        """The answer that comes back for a message; None where none does."""
        fate = self._random.random()
        if fate < self.loss / 2:
            return None
        await asyncio.sleep(self.jitter * self._random.random())
        self.heard.append(message)
        answers = await asyncio.gather(*(self._ask(message.raw) for _ in range(self.copies)))
        message.statuses = [_status(answer) for answer in answers]
        await asyncio.sleep(self.jitter * self._random.random())
        if (self.deaf and self.deaf in message.path) or fate < self.loss:
            return None
        taken = [answer for answer in answers if _status(answer) < 400]
        # Whose answer comes first is chance; often it is the one that did something.
        return self._random.choice(taken if taken and self._random.random() < 0.8 else answers)

    async def _ask(self, raw: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._hub, ssl=self._asked)
        try:
            writer.write(raw)
            await writer.drain()
            return await _message(reader)
        finally:
            writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    """One HTTP message, head and body; both ends say how long their bodies are."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if line)
    assert b"transfer-encoding" not in lines
    return head + await reader.readexactly(int(lines.get(b"content-length", b"0")))


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])
