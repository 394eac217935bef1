"""Fingerprints are for their site alone: none is in a message of a study, at the hub, or in a backup's manifest."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import sojourn as sj
from sojourn import testbed
from sojourn.hub.api import application
from sojourn.node.backup import back_up
from sojourn.node.prints import load_prints, prints_key
from sojourn.storage.sealing import seal_of
from sojourn.study.plan import Plan
from sojourn.testbed import Federation

ROWS = 60


class Tap:
    """Keeps every byte that reaches the hub and leaves it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen = bytearray()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen += scope["path"].encode() + str(scope["headers"]).encode()

        async def listen() -> Message:
            message = await receive()
            self.seen += message.get("body", b"")
            return message

        async def say(message: Message) -> None:
            self.seen += message.get("body", b"")
            await send(message)

        await self.app(scope, listen, say)


def people() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "person_id": [f"{9_434_765_919 + row * 7_919_023}" for row in range(ROWS)],
            "age": [float(40 + row % 30) for row in range(ROWS)],
            "sex": ["F" if row % 2 else "M" for row in range(ROWS)],
        }
    )


def written(prints: list[int]) -> set[bytes]:
    """Each hash in the ways in which a number is written."""
    ways = set()
    for made in prints:
        for order in ("big", "little"):
            raw = made.to_bytes(8, order)  # type: ignore[arg-type]
            ways |= {raw, raw.hex().encode()}
        ways.add(str(made).encode())
    return ways


def test_no_fingerprint_leaves(tmp_path: Path) -> None:
    taps: list[Tap] = []

    def tapped(hub: Any) -> Tap:
        taps.append(Tap(application(hub)))
        return taps[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testbed, "application", tapped)
        federation = Federation({"Cleveland": {"people": people()}})
    with federation:
        plan = Plan(table="people", analyses={"a": sj.describe("age", by="sex"), "n": sj.count()}, min_sites=1)
        assert federation.run(plan)["n"].sites["Cleveland"] == "contributed"
        home = federation.nodes["Cleveland"].home.folder
        [path] = home.rglob("*.prints")
        key = prints_key(home)
        ways = written(load_prints(path, key).hashes.tolist())
        outside = bytes(taps[0].seen)
        outside += b"".join(file.read_bytes() for file in (federation.folder / "hub").rglob("*") if file.is_file())
        back_up(home, tmp_path / "backup.tar", seal_of([], None, True))
        with tarfile.open(tmp_path / "backup.tar") as archive:
            first = archive.next()
            assert first is not None
            manifest = archive.extractfile(first)
            assert manifest is not None
            outside += manifest.read()
        assert len(ways) > 4 * ROWS and len(outside) > 10_000
        assert not [way for way in ways if way in outside]
        assert key not in outside and key.hex().encode() not in outside
        kept = path.read_bytes()
        assert any(way in kept for way in ways)  # the search finds them where they are
