"""The application cannot change its own audit log, and an attempt leaves an entry. Each door is tried."""

from __future__ import annotations

import json
import sqlite3

import psycopg
import pytest
from sqlalchemy.exc import DatabaseError, InvalidRequestError

from sojourn.errors import AuditError
from sojourn.storage.log import entries

ON_SQLITE = {
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
ON_POSTGRESQL = {
    "update": "UPDATE log_entry SET data = '' WHERE position = 0",
    "delete": "DELETE FROM ONLY log_entry WHERE position = 0",
    "upsert": "INSERT INTO log_entry VALUES (0, '', '') ON CONFLICT (position) DO UPDATE SET data = ''",
    "merge": "MERGE INTO log_entry USING (VALUES (0)) AS new (p) ON position = new.p WHEN MATCHED THEN DELETE",
    "truncate": "TRUNCATE thing, log_entry",
    "forge": "INSERT INTO log_entry VALUES (1, '', '')",
    "forge a checkpoint": "INSERT INTO log_checkpoint VALUES (9, 'note')",
    "copy": "COPY log_entry FROM STDIN",
    "other case": "DELETE FROM LOG_Entry",
    "quoted": 'DELETE FROM "log_entry"',
    "other schema": "DELETE FROM public.log_hash",
    "behind a comment": "/* harmless */ -- as this\n DELETE FROM log_checkpoint",
    "behind a quote": "SELECT 'it''s', $a$'$a$, E'\\''; DELETE FROM log_entry --'",
    "inside a query": "WITH gone AS (DELETE FROM log_entry RETURNING 1) SELECT count(*) FROM gone",
    "explained": "EXPLAIN ANALYZE DELETE FROM log_entry",
    "after another": "SELECT 1; DELETE FROM log_entry",
    "as code": "DO $$ BEGIN DELETE FROM log_entry; END $$",
    "drop table": "DROP TABLE log_entry CASCADE",
    "drop trigger": "DROP TRIGGER log_entry_append_only ON log_entry",
    "disable triggers": "ALTER TABLE log_entry DISABLE TRIGGER ALL",
    "alter table": "ALTER TABLE log_entry RENAME TO old",
    "drop function": "DROP FUNCTION log_append_only CASCADE",
    "other function": "CREATE OR REPLACE FUNCTION log_append_only() RETURNS trigger LANGUAGE sql AS 'SELECT NULL'",
    "drop schema": "DROP SCHEMA public CASCADE",
    "drop what one owns": "DROP OWNED BY CURRENT_USER",
    "rule": "CREATE RULE quiet AS ON INSERT TO log_entry DO INSTEAD NOTHING",
    "trigger": "CREATE TRIGGER quiet BEFORE INSERT ON log_entry EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "shadow table": "CREATE TEMP TABLE log_entry (position bigint, data bytea)",
    "shadow view": "CREATE TEMP VIEW log_entry AS SELECT 1",
    "rights": "GRANT ALL ON log_entry TO PUBLIC",
    "unsafe writing": "SET synchronous_commit = off",
    "unsafe writing, by a function": "SELECT set_config('synchronous_commit', 'off', false)",
    "as a replica": "SET session_replication_role = replica",
    "claim to append": "SET LOCAL sojourn.turn = 'append'",
    "claim to append, by a function": "SELECT pg_catalog.set_config('sojourn.turn', 'append', true)",
    "other path": "SET search_path TO pg_temp, public",
    "settings of the database": "ALTER DATABASE current SET synchronous_commit = off",
    "settings of the server": "ALTER SYSTEM SET fsync = off",
}
DENIED = r"not authorized|prohibited"
DRIVERS = (sqlite3.DatabaseError, sqlite3.Warning, psycopg.DatabaseError)
FEW = frozenset(
    {"update", "truncate", "inside a query", "as code", "drop trigger", "shadow table", "unsafe writing"}
) | {
    "claim to append, by a function",
    "settings of the server",
}  # one of each kind, where the door is another and what is asked there the same


def tampering(on_postgresql=frozenset(ON_POSTGRESQL)):
    """Each statement on its engine."""
    statements = {"sqlite": ON_SQLITE, "postgresql": {name: ON_POSTGRESQL[name] for name in sorted(on_postgresql)}}
    return pytest.mark.parametrize(
        ("databases", "statement"),
        [
            pytest.param(engine, statement, id=f"{engine}, {name}")
            for engine, of_engine in statements.items()
            for name, statement in of_engine.items()
        ],
        indirect=["databases"],
    )


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


@tampering()
def test_an_action_cannot_touch_the_log(store, toy, statement):
    def action(connection):
        toy.adding("second")(connection)
        connection.exec_driver_sql(statement)

    with pytest.raises(DatabaseError, match=DENIED):
        store.write(toy.entry("second"), action)
    assert store.read(toy.counts) == (1, 2)
    assert len(attempts(store, toy)) == 1
    assert store.verify().ok


@tampering(FEW)
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


@tampering(FEW)
def test_a_query_cannot_touch_the_log_and_the_attempt_is_logged_without_a_write(database, toy, key, statement):
    with toy.open_store(database, key) as store:
        store.write(toy.entry("first"), toy.adding("first"))
        with pytest.raises(DatabaseError, match=DENIED):
            store.read(lambda connection: connection.exec_driver_sql(statement))
    with toy.open_store(database, key) as store:
        assert len(attempts(store, toy)) == 1
        assert store.verify().ok


@tampering(FEW)
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
    ["INSERT INTO thing (name) VALUES ('x')", "DELETE FROM thing", "DROP TABLE thing", "CREATE TABLE more (x INTEGER)"],
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
        lambda connection: connection.exec_driver_sql("ROLLBACK AND CHAIN"),
        lambda connection: connection.exec_driver_sql("SELECT 1; COMMIT"),
        lambda connection: connection.exec_driver_sql("PREPARE TRANSACTION 'mine'"),
    ],
)
def test_an_action_cannot_end_the_transaction(store, toy, end):
    def action(connection):
        toy.adding("second")(connection)
        end(connection)

    with pytest.raises((DatabaseError, InvalidRequestError, AuditError, *DRIVERS)):
        store.write(toy.entry("second"), action)
    assert store.read(toy.counts) == (1, 1)
    store.write(toy.entry("third"), toy.adding("third"))
    assert store.read(toy.counts) == (2, 2)
    assert store.verify().ok


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_nothing_is_written_after_sqlite_ended_the_transaction_by_itself(store, toy):
    """What follows would commit alone, without an entry. PostgreSQL does not end transactions by itself."""

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


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "words",
    [
        ["ROLLBACK"],
        ["COMMIT"],
        ["ROLLBACK", "BEGIN"],
        ["COMMIT", "BEGIN"],
        ["COMMIT", "BEGIN", "SAVEPOINT sa_savepoint_1"],
    ],
)
def test_a_transaction_ended_behind_the_driver_is_noticed_and_nothing_more_is_written(store, toy, words):
    """PostgreSQL's own: below the driver's cursors nothing asks the guard, but the store sees what became of it."""

    def action(connection):
        for word in words:
            connection.connection.dbapi_connection.pgconn.exec_(word.encode())
        toy.adding("alone")(connection)

    with pytest.raises((AuditError, DatabaseError)):
        store.write(toy.entry("second"), action)
    assert store.read(toy.names) == {"first"}
    store.write(toy.entry("third"), toy.adding("third"))
    assert store.read(toy.counts) == (2, 2)
    assert store.verify().ok


@pytest.fixture
def sneaking(database, as_stranger):
    """A function that hides what it does, as only an owner can make one."""
    with as_stranger(database) as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION sneak() RETURNS void LANGUAGE sql AS 'DELETE FROM log_entry WHERE position = 0'"
        )


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
def test_what_a_text_does_not_show_meets_the_triggers_and_is_logged(sneaking, store, toy):
    """PostgreSQL's own: its guard reads texts."""

    def action(connection):
        toy.adding("second")(connection)
        with pytest.raises(DatabaseError, match="append-only"):
            connection.exec_driver_sql("SELECT sneak()")

    with pytest.raises(AuditError, match="touched the audit log"):
        store.write(toy.entry("second"), action)
    assert attempts(store, toy) == [{"operation": "delete", "target": "log_entry", "times": 1}]
    assert store.read(toy.names) == {"first"}
    assert store.verify().ok


@pytest.mark.parametrize("databases", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO thing (name) SELECT 'n' || position FROM log_entry",
        "SELECT 'DELETE FROM log_entry' FROM log_entry FOR UPDATE OF log_entry",
        "INSERT INTO thing (name) VALUES ('DROP TABLE log_entry') ON CONFLICT DO NOTHING;",
        "SELECT count(*) FROM log_entry -- DELETE FROM log_entry",
        "NOTIFY bell, 'log_entry'",
    ],
)
def test_a_statement_that_only_names_the_log_passes(store, toy, statement):
    store.write(toy.entry("second"), lambda connection: connection.exec_driver_sql(statement).close())
    assert attempts(store, toy) == []


STOPPED = {
    "sqlite": [ON_SQLITE[name] for name in ("update", "delete", "replace", "upsert")]
    + ["REPLACE INTO log_hash VALUES (0, 0, x'00')", "REPLACE INTO log_checkpoint VALUES (0, 'note')"],
    "postgresql": [
        ON_POSTGRESQL[name] for name in ("update", "delete", "upsert", "truncate", "forge", "inside a query", "as code")
    ]
    + ["UPDATE log_hash SET level = 9", "TRUNCATE log_checkpoint"],
}


@pytest.mark.parametrize(
    ("databases", "statement"),
    [(engine, statement) for engine, statements in STOPPED.items() for statement in statements],
    indirect=["databases"],
)
def test_the_triggers_stop_another_program(store, database, as_stranger, statement):
    with as_stranger(database) as connection, pytest.raises(DatabaseError, match="append-only"):
        connection.exec_driver_sql(statement)
    assert store.verify().ok


@pytest.mark.parametrize("databases", ["sqlite"], indirect=True)
def test_without_the_triggers_replace_would_pass(store, database, as_stranger):
    """The defect that the triggers are there for."""
    with as_stranger(database, without_triggers=True) as connection:
        connection.exec_driver_sql(ON_SQLITE["replace"])
    assert not store.verify().ok


def test_without_the_triggers_an_update_would_pass(store, database, as_stranger):
    with as_stranger(database, without_triggers=True) as connection:
        connection.exec_driver_sql("UPDATE log_entry SET study = 'x', data = ''")
    assert not store.verify().ok
