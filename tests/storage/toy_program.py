"""A toy party: one table beside its audit log. Run as a program, it writes until it is killed.

Usage: python toy_program.py DATABASE KEYFILE [NAME]
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, Table, Text, func, insert, select

from sojourn.audit.entry import Entry
from sojourn.identity.keys import PrivateKey
from sojourn.storage.engine import open_engine
from sojourn.storage.log import log_tables
from sojourn.storage.store import Store

ORIGIN = "sojourn.example/toy"
METADATA = MetaData()
LOG = log_tables(METADATA)
THING = Table("thing", METADATA, Column("name", Text, primary_key=True), Column("colour", Text))


def clock() -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC)


def open_store(database: str | Path, key: PrivateKey, **settings: float) -> Store:
    return Store(open_engine(database), METADATA, key, ORIGIN, clock, **settings)


def entry(name: str) -> Entry:
    return Entry("thing.added", actor="custodian", facts={"name": name})


def adding(name: str):
    def add(connection: Connection) -> str:
        connection.execute(insert(THING), {"name": name})
        return name

    return add


def names(connection: Connection) -> set[str]:
    return set(connection.scalars(select(THING.c.name)))


def counts(connection: Connection) -> tuple[int, int]:
    """Numbers of things and of log entries."""
    return (
        connection.scalar(select(func.count()).select_from(THING)),
        connection.scalar(select(func.count()).select_from(LOG.entry)),
    )


if __name__ == "__main__":
    with open_store(sys.argv[1], PrivateKey.load(Path(sys.argv[2]))) as store:
        mine = "".join(f"{word}." for word in sys.argv[3:])
        first = store.read(counts)[0]
        for number in range(first, first + 100_000):
            store.write(entry(f"thing {mine}{number}"), adding(f"thing {mine}{number}"))
            print(f"{mine}{number}", flush=True)
