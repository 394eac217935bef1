"""Of which revision a database is, and which ones a package of migrations has.

Without Alembic: it would be loaded at every start, a tenth of a program's time until then, to find that there is
nothing to do.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from sqlalchemy import Connection, inspect, text

_TABLE = "alembic_version"
_REVISION = text(f"SELECT version_num FROM {_TABLE}")


def revision_of(connection: Connection) -> str | None:
    """The database's revision in the state that a connection sees; None before the first migration."""
    if not inspect(connection).has_table(_TABLE):
        return None
    return connection.scalars(_REVISION).one_or_none()


@cache
def heads(package: str) -> tuple[frozenset[str], str]:
    """All revisions of a package, and the newest: its files end in their numbers, which follow one another."""
    found = frozenset(module.name.rpartition("_")[2] for module in iter_modules(import_module(package).__path__))
    return found, max(found)
