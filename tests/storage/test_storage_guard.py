"""The application cannot change its own audit log, and an attempt leaves an entry. Each door is tried."""

from __future__ import annotations

import json
import sqlite3

import pytest
from sqlalchemy.exc import DatabaseError, InvalidRequestError

from sojourn.errors import AuditError
from sojourn.storage.log import entries

TAMPERINGS = {
    "update": "UPDATE log_entry SET data = x'00' WHERE position = 0",
    "delete": "DELETE FROM log_entry WHERE position = 0",
    "replace": "INSERT OR REPLACE INTO log_entry VALUES (0, x'00', '')",
    "replace into": "REPLACE INTO log_hash VALUES (0, 0, x'00')",
    "upsert": "INSERT INTO log_entry VALUES (0, x'00', '') ON CONFLICT DO UPDATE SET data = x'00'",
    "forge": "INSERT INTO log_entry VALUES (1, x'00', '')",
    "forge a checkpoint": "INSERT INTO log_checkpoint VALUES (9, 'note')",
    "other case": "DELETE FROM LOG_Entry",
    "other schema": "DELETE FROM main.log_hash",
    "behind a comment": "/* harmless */ DELETE FROM log_checkpoint",
    "drop table": "DROP TABLE log_entry",
    "drop trigger": "DROP TRIGGER log_entry_no_delete",
    "alter table": "ALTER TABLE log_entry RENAME TO old",
    "shadow table": "CREATE TEMP TABLE log_entry (position, data)",
    "shadow table in another case": "CREATE TEMP TABLE Log_Entry (position, data)",
    "shadow view": "CREATE TEMP VIEW log_entry AS SELECT 1",
    "trigger": "CREATE TRIGGER quiet BEFORE INSERT ON log_entry BEGIN SELECT RAISE(IGNORE); END",
    "temporary trigger": "CREATE TEMP TRIGGER quiet BEFORE INSERT ON log_entry BEGIN SELECT RAISE(IGNORE); END",
    "schema by hand": "PRAGMA writable_schema = ON",
    "unsafe writing": "PRAGMA synchronous = OFF",
    "attach": "ATTACH DATABASE ':memory:' AS other",
}
DENIED = r"not authorized|prohibited"
tampering = pytest.mark.parametrize("statement", TAMPERINGS.values(), ids=TAMPERINGS.keys())


def everything(store, toy):
    def query(connection):
        return [json.loads(data) for data in entries(connection, toy.LOG)]

    return store.read(query)


def attempts(store, toy):
    return [entry["facts"] for entry in everything(store, toy) if entry["kind"] == "audit.tamper_attempt"]


@pytest.fixture
def store(store, toy):
    store.write(toy.entry("first"), toy.adding("first"))
    return store


@tampering
def test_an_action_cannot_touch_the_log(store, toy, statement):
    def action(connection):
        toy.adding("second")(connection)
        connection.exec_driver_sql(statement)

    with pytest.raises(DatabaseError, match=DENIED):
        store.write(toy.entry("second"), action)
    assert store.read(toy.counts) == (1, 2)
    assert len(attempts(store, toy)) == 1
    assert store.verify().ok


@tampering
def test_an_action_that_hides_the_denial_is_undone(store, toy, statement):
    def action(connection):
        toy.adding("second")(connection)
        with pytest.raises(DatabaseError):
            connection.exec_driver_sql(statement)

    with pytest.raises(AuditError, match="touched the audit log"):
        store.write(toy.entry("second"), action)
    assert store.read(toy.counts) == (1, 2)
    assert len(attempts(store, toy)) == 1


def test_the_entry_names_what_was_tried_and_how_often(store, toy):
    def action(connection):
        for _ in range(3):
            with pytest.raises(DatabaseError):
                connection.exec_driver_sql("UPDATE log_entry SET data = x'00'")

    with pytest.raises(AuditError):
        store.write(toy.entry("second"), action)
    assert attempts(store, toy) == [{"operation": "update", "target": "log_entry", "times": 3}]


@tampering
def test_a_query_cannot_touch_the_log_and_the_attempt_is_logged_without_a_write(database, toy, key, statement):
    with toy.open_store(database, key) as store:
        store.write(toy.entry("first"), toy.adding("first"))
        with pytest.raises(DatabaseError, match=DENIED):
            store.read(lambda connection: connection.exec_driver_sql(statement))
    with toy.open_store(database, key) as store:
        assert len(attempts(store, toy)) == 1
        assert store.verify().ok


@tampering
def test_another_connection_of_the_program_cannot_touch_the_log(database, toy, key, statement):
    engine = toy.open_engine(database)
    store = toy.Store(engine, toy.METADATA, key, toy.ORIGIN, toy.clock)
    with store, engine.connect() as connection, pytest.raises(DatabaseError, match=DENIED):
        connection.exec_driver_sql(statement)
    with toy.open_store(database, key) as store:
        assert len(attempts(store, toy)) == 1


def test_an_attempt_of_one_does_not_undo_another(store, toy):
    def bad(connection):
        connection.exec_driver_sql("DELETE FROM log_entry")

    with pytest.raises(DatabaseError):
        store.write(toy.entry("bad"), bad)
    assert store.write(toy.entry("second"), toy.adding("second")) == "second"
    assert store.read(toy.names) == {"first", "second"}


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO thing (name) VALUES ('x')", "DELETE FROM thing", "DROP TABLE thing", "CREATE TABLE more (x)"],
)
def test_a_query_changes_nothing(store, toy, statement):
    with pytest.raises(DatabaseError, match="not authorized"):
        store.read(lambda connection: connection.exec_driver_sql(statement))
    assert store.read(toy.counts) == (1, 1)


@pytest.mark.parametrize(
    "end",
    [
        lambda connection: connection.exec_driver_sql("COMMIT"),
        lambda connection: connection.exec_driver_sql("END"),
        lambda connection: connection.exec_driver_sql("ROLLBACK"),
        lambda connection: connection.commit(),
        lambda connection: connection.connection.dbapi_connection.commit(),
        lambda connection: connection.connection.dbapi_connection.rollback(),
        lambda connection: connection.exec_driver_sql("RELEASE SAVEPOINT sa_savepoint_1"),
        lambda connection: connection.exec_driver_sql("ROLLBACK TO SAVEPOINT SA_savepoint_1"),
    ],
)
def test_an_action_cannot_end_the_transaction(store, toy, end):
    def action(connection):
        toy.adding("second")(connection)
        end(connection)

    with pytest.raises((DatabaseError, InvalidRequestError, AuditError, sqlite3.DatabaseError)):
        store.write(toy.entry("second"), action)
    assert store.read(toy.counts) == (1, 1)
    store.write(toy.entry("third"), toy.adding("third"))
    assert store.read(toy.counts) == (2, 2)
    assert store.verify().ok


def test_nothing_is_written_after_sqlite_ended_the_transaction_by_itself(store, toy):
    """What follows would commit alone, without an entry."""

    def action(connection):
        toy.adding("second")(connection)
        with pytest.raises(DatabaseError):
            connection.exec_driver_sql("INSERT OR ROLLBACK INTO thing (name) VALUES ('first')")
        toy.adding("alone")(connection)

    with pytest.raises((AuditError, DatabaseError)):
        store.write(toy.entry("second"), action)
    assert store.read(toy.names) == {"first"}
    store.write(toy.entry("third"), toy.adding("third"))
    assert store.read(toy.counts) == (2, 2)
    assert store.verify().ok


def test_an_action_may_use_savepoints_of_its_own(store, toy):
    def action(connection):
        with connection.begin_nested(), connection.begin_nested():
            toy.adding("second")(connection)
        undone = connection.begin_nested()
        toy.adding("third")(connection)
        undone.rollback()
        for statement in ("SAVEPOINT a", "SAVEPOINT b", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE b", "RELEASE a"):
            connection.exec_driver_sql(statement)

    store.write(toy.entry("second"), action)
    assert store.read(toy.names) == {"first", "second"}


def test_an_action_cannot_reach_the_stores_savepoint_under_a_name_it_used(store, toy):
    def action(connection):
        toy.adding("second")(connection)
        for statement in ("SAVEPOINT sa_savepoint_1", "RELEASE sa_savepoint_1", "RELEASE sa_savepoint_1"):
            connection.exec_driver_sql(statement)

    with pytest.raises(DatabaseError, match="not authorized"):
        store.write(toy.entry("second"), action)
    assert store.read(toy.counts) == (1, 1)


@pytest.mark.parametrize(
    "statement",
    [statement for name, statement in TAMPERINGS.items() if name in ("update", "delete", "replace", "upsert")]
    + ["REPLACE INTO log_hash VALUES (0, 0, x'00')", "REPLACE INTO log_checkpoint VALUES (0, 'note')"],
)
def test_the_triggers_stop_another_program(store, database, as_stranger, statement):
    with as_stranger(database) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    assert store.verify().ok


def test_without_the_triggers_replace_would_pass(store, database, as_stranger):
    """The defect that the triggers are there for."""
    with as_stranger(database, without_triggers=True) as connection:
        connection.execute(TAMPERINGS["replace"])
    assert not store.verify().ok
