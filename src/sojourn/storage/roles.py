"""Two roles on one PostgreSQL database: the owner of the tables, and the program that may not change what is written.

An owner can drop a trigger. A role with no more than these rights cannot change or remove an entry of the log, whatever
statement it sends.
"""

from __future__ import annotations

from sqlalchemy import Connection, inspect

from sojourn.storage.guard import LOG_TABLES

_RIGHTS = dict.fromkeys(LOG_TABLES, "SELECT, INSERT") | {"alembic_version": "SELECT"}
_OTHER_RIGHTS = "SELECT, INSERT, UPDATE, DELETE"


def share(connection: Connection, role: str) -> None:
    """Give a role the rights that the program needs on every table of the present schema, and no other."""
    quote = connection.dialect.identifier_preparer.quote
    found, name = inspect(connection), quote(role)
    for table in found.get_table_names():
        connection.exec_driver_sql(f"REVOKE ALL ON {quote(table)} FROM {name}")
        connection.exec_driver_sql(f"GRANT {_RIGHTS.get(table, _OTHER_RIGHTS)} ON {quote(table)} TO {name}")
    for sequence in found.get_sequence_names():
        connection.exec_driver_sql(f"GRANT USAGE, SELECT ON SEQUENCE {quote(sequence)} TO {name}")
