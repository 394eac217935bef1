"""What keeps the audit log's tables append-only whoever writes: triggers, in the dialect of each engine.

PostgreSQL's let no row be inserted either, but by a transaction that took the turn to write and says that it appends.
An owner of the tables can drop them: on PostgreSQL give the program a role that does not own the tables.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, MetaData, Table, text

from sojourn.errors import AuditError

TAMPERED = "SJ001"  # the SQLSTATE that the triggers raise
TRIGGER_FUNCTION = "log_append_only"
TURN = "sojourn.turn"  # a setting of the transaction: taken, append

_FUNCTION = f"""
CREATE FUNCTION {TRIGGER_FUNCTION}() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF TG_OP = 'INSERT' AND current_setting('{TURN}', true) = 'append' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only'
        USING ERRCODE = '{TAMPERED}', TABLE = TG_TABLE_NAME, DETAIL = lower(TG_OP);
END $$
"""
_SET = text("SELECT set_config(:setting, :present, true) WHERE current_setting(:setting, true) = :before")


def protect(connection: Connection, metadata: MetaData) -> None:
    """Put the triggers on the log's tables."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_FUNCTION)
    for table in metadata.sorted_tables:
        statements = _postgresql(table) if connection.dialect.name == "postgresql" else _sqlite(table)
        for statement in statements:
            connection.exec_driver_sql(statement)


def unprotect(connection: Connection) -> None:
    """After the tables were dropped, with which their triggers went."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"DROP FUNCTION {TRIGGER_FUNCTION}()")


@contextmanager
def appending(connection: Connection) -> Iterator[None]:
    """Let the log grow inside the block; AuditError unless the transaction is still the one that took the turn."""
    if connection.dialect.name != "postgresql":
        yield
        return
    if connection.scalar(_SET, {"setting": TURN, "before": "taken", "present": "append"}) is None:
        raise AuditError("The transaction was ended.", remedy="Report this: an action must not end it.")
    yield
    connection.execute(_SET, {"setting": TURN, "before": "append", "present": "taken"})


def _sqlite(table: Table) -> Iterator[str]:
    same = " AND ".join(f"{column.name} = NEW.{column.name}" for column in table.primary_key)
    # REPLACE deletes without asking the authorizer and without the DELETE trigger; it does fire this one.
    yield (
        f"CREATE TRIGGER {table.name}_once BEFORE INSERT ON {table.name} "
        f"WHEN EXISTS (SELECT 1 FROM {table.name} WHERE {same}) "
        "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
    )
    for operation in ("UPDATE", "DELETE"):
        yield (
            f"CREATE TRIGGER {table.name}_no_{operation.lower()} BEFORE {operation} ON {table.name} "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        )


def _postgresql(table: Table) -> Iterator[str]:
    yield (
        f"CREATE TRIGGER {table.name}_append_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table.name} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {TRIGGER_FUNCTION}()"
    )
    # Also where a session says that it is a replica, which ordinary triggers believe.
    yield f"ALTER TABLE {table.name} ENABLE ALWAYS TRIGGER {table.name}_append_only"
