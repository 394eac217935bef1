"""What callers of a store are told when the database failed: that nothing happened, or that nobody can tell yet."""

from __future__ import annotations

from sqlalchemy.exc import DataError, DBAPIError, OperationalError

from sojourn.errors import AuditError, ConfigurationError, SojournError


class Unreadable(AuditError):
    """The database does not answer, which says nothing about the log."""


def undone(cause: BaseException) -> AuditError:
    """The transaction is undone; that is certain."""
    undone = AuditError(
        "The audit log could not be written; nothing has happened.",
        remedy="Check that the database is there and its disk not full, and run `sojourn audit verify`.",
    )
    undone.__cause__ = cause
    return undone


def unknown(cause: BaseException) -> AuditError:
    """The answer to a commit was lost, and so is the way to look."""
    unknown = AuditError(
        "The database was lost while it committed: whether this happened is not known.",
        remedy="See whether it happened once the database answers again, and only then repeat it.",
    )
    unknown.__cause__ = cause
    return unknown


def unread(error: DBAPIError) -> BaseException:
    """What a reader is told."""
    if isinstance(error, DataError):
        return _unfit()
    if not is_the_databases(error):
        return error
    return Unreadable(
        "The database cannot be read now.", remedy="Check that it is there and its disk not full; try again."
    )


def unwritten(problem: BaseException) -> BaseException:
    """An action's own exception; what the database could not do in it, e.g. on a full disk, is the store's."""
    if isinstance(problem, DataError):
        return _unfit()
    return undone(problem) if isinstance(problem, DBAPIError) and is_the_databases(problem) else problem


def _unfit() -> SojournError:
    """PostgreSQL's alone: SQLite takes any text. The database's own error is not kept, as it may hold the text."""
    return ConfigurationError(
        "A text is too long, or holds a sign that no database does.", remedy="Shorten it; leave control characters out."
    )


def is_the_databases(error: DBAPIError) -> bool:
    """Whether the database failed, and not what it was asked."""
    return isinstance(error, OperationalError) or error.connection_invalidated
