"""Tests of the nouns run under an audit hook: a socket, a process or a database connection fails the test that made it.

The import contract shows that a noun names no such library; the hook shows that none is reached some other way. An
attempt is refused and also kept, so that code which swallows the refusal still fails.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))  # for the modules that tests of several folders share
NOUNS = {"analysis", "statistics", "disclosure", "audit", "cohort", "study", "identity", "governance", "secrecy"}
NOUNS |= {"omop"}
FORBIDDEN = (
    "socket.",
    "subprocess.",
    "sqlite3.",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.system",
    "pty.",
)

_watching = False
_attempts: list[str] = []


class NounTouchedTheWorld(RuntimeError):
    """A noun opened a socket, started a process or connected to a database."""


def _refuse(attempt: str) -> None:
    _attempts.append(attempt)
    raise NounTouchedTheWorld(attempt)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event.startswith(FORBIDDEN):
        _refuse(event)


def _duckdb_connect(*arguments: Any, **settings: Any) -> None:
    _refuse("duckdb.connect")


sys.addaudithook(_hook)


@pytest.fixture(autouse=True)
def nouns_stay_pure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Watch the test where it stands in a noun's folder and is not marked as a comparison with an oracle."""
    global _watching
    place = request.path.relative_to(TESTS).parts[0]
    if place not in NOUNS or request.node.get_closest_marker("oracle"):
        yield
        return
    monkeypatch.setattr(duckdb, "connect", _duckdb_connect)  # DuckDB raises no audit event of its own
    _attempts.clear()
    _watching = True
    yield
    _watching = False
    assert not _attempts, f"a noun touched the world: {', '.join(_attempts)}"


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Any]:
    """One private PostgreSQL server for all tests of this process; skipped where there is none to start."""
    from postgresql_server import served

    yield from served()
