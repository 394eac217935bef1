"""Is the store writable, and its log at its checkpoint? The proof that readiness rests on, and what watches commits."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy.exc import OperationalError

from sojourn.errors import AuditError, ConfigurationError


def test_a_proof_leaves_no_trace(store, toy):
    store.write(toy.entry("a"), toy.adding("a"))
    before = store.checkpoint(), store.tail()
    for _ in range(3):
        store.prove()
    assert (store.checkpoint(), store.tail()) == before
    store.write(toy.entry("b"), toy.adding("b"))
    assert store.verify().ok


def test_a_log_that_was_cut_or_grew_unsigned_is_not_proved(store, database, as_stranger, toy):
    for name in "abc":
        store.write(toy.entry(name), toy.adding(name))
    store.prove()
    with as_stranger(database, without_triggers=True) as connection:
        connection.exec_driver_sql("DELETE FROM log_entry WHERE position = 2")
    with pytest.raises(AuditError, match="holds 2 entries"):
        store.prove()


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_a_store_that_someone_else_keeps_locked_is_not_proved(store, database):
    """On PostgreSQL the turn is waited for in the same way: see `test_storage_postgresql.py`."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            store.prove()
    store.prove()


def test_a_closed_store_is_not_proved(store):
    store.close()
    with pytest.raises(ConfigurationError):
        store.prove()


def test_the_tail_is_the_latest_entry(store, toy):
    with pytest.raises(AuditError, match="empty"):
        store.tail()
    store.write([toy.entry("a"), toy.entry("b")], toy.adding("a"))
    assert store.tail() == (2, toy.clock().timestamp())


def test_each_commit_is_watched_and_who_watches_cannot_stop_it(store, toy):
    seen = []
    store.watching = lambda seconds, writes, encoded: seen.append((seconds, writes, [json.loads(e) for e in encoded]))
    store.write([toy.entry("a"), toy.entry("b")], toy.adding("a"))
    store.watching = lambda *_: 1 / 0
    store.write(toy.entry("c"), toy.adding("c"))
    with pytest.raises(ZeroDivisionError):
        store.write(toy.entry("d"), lambda connection: 1 / 0)
    store.close()  # waits for the writer
    [(seconds, writes, found)] = seen
    assert seconds > 0 and writes == 1
    assert [entry["facts"]["name"] for entry in found] == ["a", "b"]
