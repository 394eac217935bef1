"""The guard of PostgreSQL: the driver's own connection and cursors, which ask it about the text of every statement.

PostgreSQL has no authorizer. Outside the store's own appending and the migrations only plain statements pass: reading,
changing rows, savepoints, notices. Everything else (schema, settings, code, a second statement in the same text) is
denied here. What a text does not show, e.g. behind a function, meets the tables' triggers, whose error is reported too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import psycopg
from psycopg.pq import TransactionStatus

from sojourn.storage.append_only import TAMPERED, TRIGGER_FUNCTION
from sojourn.storage.guard import LOG_TABLES, MEMORY_TABLES, Attempt, Guard, Mode

LONGEST_WAIT = 60.0  # seconds for one answer of the server, which gives up by itself before

_READS = frozenset({"", "select", "values", "table", "with", "show", "explain", "declare", "fetch", "move", "close"})
_WRITES = frozenset({"insert", "update", "delete", "merge"})
_NOTICES = frozenset({"listen", "unlisten", "notify"})
_SAVEPOINTS = frozenset({"savepoint", "release", "rollback"})
_ENDS = frozenset({"begin", "start", "commit", "end", "abort", "rollback"})
_PLAIN = _READS | _WRITES | _NOTICES | _SAVEPOINTS | _ENDS
_SETTINGS = frozenset({"set", "reset", "discard"})
_WHOLES = frozenset({"schema", "owned", "system", "database", "role", "user"})
_BETWEEN = frozenset({"into", "from", "only", "table", "to", "savepoint", "local", "session", "work", "transaction"})
_PROTECTED = LOG_TABLES | {TRIGGER_FUNCTION}
_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | "(?P<quoted>(?:[^"]|"")*)" | (?P<word>[^\W\d][\w$]*) | (?P<sign>[;.])""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class _Statement:
    """What the text of a statement shows."""

    verb: str
    writes: frozenset[str]  # the tables whose rows it changes
    attempt: Attempt | None
    savepoint: str | None  # that it begins, releases or rolls back to
    several: bool


@lru_cache(maxsize=1024)
def _read(text: str) -> _Statement:
    tokens = list(_tokens(text))
    while tokens and tokens[-1] == ";":
        tokens.pop()
    verb = tokens[0] if tokens else ""
    savepoint = tokens[-1].lstrip('"') if verb in _SAVEPOINTS and (verb != "rollback" or "to" in tokens) else None
    writes = {_target(tokens, place): tokens[place] for place in range(len(tokens)) if _changes(tokens, place)}
    return _Statement(verb, frozenset(writes), _tampering(verb, tokens, writes), savepoint, ";" in tokens)


def _changes(tokens: list[str], place: int) -> bool:
    """Whether the word at this place changes rows; it does not in FOR UPDATE and in DO UPDATE."""
    return tokens[place] in _WRITES and (place == 0 or tokens[place - 1] not in ("for", "key", "do"))


def _tokens(text: str) -> Iterator[str]:
    """Words in lower case, quoted names behind one quote, semicolons and full stops; no literals, no comments."""
    for found in _TOKEN.finditer(text):
        if found["word"] or found["sign"]:
            yield (found["word"] or found["sign"]).lower()
        elif found["quoted"] is not None:
            yield '"' + found["quoted"]


def _tampering(verb: str, tokens: list[str], writes: dict[str, str]) -> Attempt | None:
    for table in LOG_TABLES & writes.keys():
        return Attempt(writes[table], table)
    if "set_config" in tokens or '"set_config' in tokens:
        return Attempt("set", "setting")
    if verb in _PLAIN:
        return None
    named = [name for word in tokens if (name := word.lstrip('"')) in _PROTECTED]
    if named:
        return Attempt(verb, named[0])
    if verb in _SETTINGS or verb == "do":
        return Attempt(verb, _target(tokens, 0) if verb in _SETTINGS else "code")
    return Attempt(verb, tokens[1]) if len(tokens) > 1 and tokens[1] in _WHOLES else None


def _target(tokens: list[str], place: int) -> str:
    """The table or setting that the word at this place is about, without its schema."""
    rest = tokens[place + 1 :]
    while rest and rest[0] in _BETWEEN:
        rest.pop(0)
    while len(rest) > 2 and rest[1] == ".":
        del rest[:2]
    return rest[0].lstrip('"') if rest else ""


class StatementGuard(Guard):
    """One connection's guard."""

    def __init__(self, connection: GuardedConnection, report: Callable[[Attempt], None]) -> None:
        super().__init__(report)
        self._connection = connection
        connection.guard = self

    @property
    def in_transaction(self) -> bool:
        """False too after the server ended the connection."""
        return self._connection.pgconn.transaction_status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

    def demand(self, text: str) -> None:
        """An error like the server's own, unless the text of a statement is allowed in this mode."""
        if self.mode is Mode.OWNER:
            return
        statement = _read(text)
        if statement.attempt is not None:
            self._tampered(statement.attempt)
            raise _denied()
        allowed = (_READS | _SAVEPOINTS | _ENDS) if self.mode is Mode.READING else _PLAIN
        if statement.several or statement.verb not in allowed:
            raise _denied()
        if self.mode is Mode.MEMORY and not statement.writes <= MEMORY_TABLES:
            raise _denied()
        if self._bound and (not self.in_transaction or self._ends(statement)):
            raise _denied()

    @property
    def _bound(self) -> bool:
        return self.mode in (Mode.ACTION, Mode.MEMORY)

    def demand_end(self) -> None:
        """The same for the driver's own commit and rollback."""
        if self._bound:
            raise _denied()

    def stopped(self, error: psycopg.Error) -> None:
        """The server refused a statement: report it where a trigger of the log did."""
        if error.sqlstate == TAMPERED and self.mode is not Mode.OWNER:
            self._tampered(Attempt(error.diag.message_detail or "change", error.diag.table_name or "log"))

    def _ends(self, statement: _Statement) -> bool:
        """Whether the statement ends the transaction, or a savepoint that the action did not begin."""
        if statement.savepoint is None:
            return statement.verb in _ENDS
        if statement.verb == "savepoint":
            self._begins(statement.savepoint)
            return False
        return not self._reaches(statement.savepoint, release=statement.verb == "release")


class _Asking:
    """A cursor that asks its connection's guard."""

    connection: Any

    @contextmanager
    def _asked(self, query: Any) -> Iterator[None]:
        guard: StatementGuard | None = self.connection.guard
        if guard is None:
            yield
            return
        guard.demand(_text(query, self.connection))
        try:
            yield
        except psycopg.Error as error:
            guard.stopped(error)
            raise


class GuardedCursor(_Asking, psycopg.Cursor[Any]):
    """The driver's cursor."""

    def execute(self, query: Any, *rest: Any, **settings: Any) -> Self:
        """As the driver's."""
        with self._asked(query):
            return super().execute(query, *rest, **settings)

    def executemany(self, query: Any, *rest: Any, **settings: Any) -> None:
        """As the driver's."""
        with self._asked(query):
            super().executemany(query, *rest, **settings)

    def stream(self, query: Any, *rest: Any, **settings: Any) -> Iterator[Any]:
        """As the driver's."""
        with self._asked(query):
            yield from super().stream(query, *rest, **settings)

    @contextmanager
    def copy(self, statement: Any, *rest: Any, **settings: Any) -> Iterator[psycopg.Copy]:
        """As the driver's."""
        with self._asked(statement), super().copy(statement, *rest, **settings) as copy:
            yield copy


class GuardedServerCursor(_Asking, psycopg.ServerCursor[Any]):
    """The driver's cursor for long results."""

    def execute(self, query: Any, *rest: Any, **settings: Any) -> Self:
        """As the driver's."""
        with self._asked(query):
            return super().execute(query, *rest, **settings)


class GuardedConnection(psycopg.Connection[Any]):
    """The driver's connection: guarded, and with an end to every wait."""

    guard: StatementGuard | None = None  # none while the engine sets the connection up

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.cursor_factory = GuardedCursor
        self.server_cursor_factory = GuardedServerCursor

    def commit(self) -> None:
        """As the driver's."""
        if self.guard is not None:
            self.guard.demand_end()
        super().commit()

    def rollback(self) -> None:
        """As the driver's."""
        if self.guard is not None:
            self.guard.demand_end()
        super().rollback()

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As the driver's, but given up after `LONGEST_WAIT`: a server that is frozen or cut off answers never."""
        try:
            return super().wait(gen, interval, LONGEST_WAIT if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # its answer would be taken for the next one's
            raise


def _text(query: Any, connection: GuardedConnection) -> str:
    if isinstance(query, str):
        return query
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    if isinstance(query, psycopg.sql.Composable):
        return query.as_string(connection)
    raise _denied()


def _denied() -> psycopg.Error:
    return psycopg.errors.InsufficientPrivilege("not authorized: this connection may not do that here")
