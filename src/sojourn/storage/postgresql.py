"""PostgreSQL as a party's database: a database of its own, durable at each commit, an end to every wait."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

from psycopg import IsolationLevel
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from sojourn.errors import ConfigurationError
from sojourn.storage import guard
from sojourn.storage.append_only import TURN
from sojourn.storage.guard import READ_ONLY, Mode, used_for
from sojourn.storage.postgresql_guard import GuardedConnection, StatementGuard

OLDEST = 14
WRITING = 0x50_6A_6F_75_72_6E  # the advisory lock that stands for the turn to write in this database
# Milliseconds. A program that was frozen or cut off while it had the turn gives it up after the last of them.
_SETTINGS = {
    "lock_timeout": "5000",
    "statement_timeout": "45000",
    "idle_in_transaction_session_timeout": "60000",
    "standard_conforming_strings": "on",
}
# What a URL may say beside role, host, port and database: how to reach the server, never how it works.
URL_WORDS = frozenset(
    {"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile", "application_name"}
    | {"channel_binding", "target_session_attrs", "requirepeer", "connect_timeout"}
)
_FACTS = """
SELECT current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),
       current_setting('fsync'), current_setting('synchronous_commit'), current_schema(),
       set_config('search_path', quote_ident(current_schema()) || ', pg_temp', false)
"""


def open_postgresql(url: URL, password_file: Path | None = None) -> Engine:
    """An engine on a database; ConfigurationError where it cannot be used, in words that hold no password."""
    _require_plain(url)
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args=_arguments(url),
        pool_pre_ping=True,  # after a restart of the server the next statement works by itself
        use_native_hstore=False,
        hide_parameters=True,  # an error may be written down; values are not its matter
    )

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: Any, _record: Any, _words: Any, arguments: dict[str, Any]) -> GuardedConnection:
        if password_file is not None:
            arguments["password"] = password_of(password_file)
        return GuardedConnection.connect(**arguments)

    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    guard.install(engine, StatementGuard)
    try:
        engine.connect().close()
    except DBAPIError as error:
        engine.dispose()
        raise _refused(url, str(error.orig)) from None
    return engine


def _require_plain(url: URL) -> None:
    if url.password is not None:
        raise ConfigurationError(
            "The database's URL holds a password.",
            remedy="Take it out, and write it into the file that `database_password_file` names, or into ~/.pgpass.",
        )
    unknown = sorted(set(url.query) - URL_WORDS)
    if unknown:
        raise ConfigurationError(
            f"The database's URL has words that are not for it: {', '.join(unknown)[:100]}.",
            remedy=f"It may have: {', '.join(sorted(URL_WORDS))}.",
        )
    if not url.database:
        raise ConfigurationError(
            "The URL names no database.", remedy="Write it like postgresql://role@host:5432/database."
        )


def _arguments(url: URL) -> dict[str, Any]:
    settings = {"options": " ".join(f"-c {name}={value}" for name, value in _SETTINGS.items())}
    return arguments(url) | ({} if "options" in url.query else settings)


def arguments(url: URL) -> dict[str, Any]:
    """What libpq is told where the URL is silent: an end to every wait, and TLS to another machine."""
    told: dict[str, Any] = {
        "application_name": "sojourn",
        "connect_timeout": 10,
        "gssencmode": "disable",
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 20_000,
        "sslmode": "prefer" if is_here(url) else "require",
        "client_encoding": "utf8",
    }
    return {word: value for word, value in told.items() if word not in url.query}


def is_here(url: URL) -> bool:
    """Whether the server is on this machine: a socket's folder, or the loopback."""
    found = url.query.get("host", url.host or "")
    hosts = (found,) if isinstance(found, str) else found
    return all(host == "" or host.startswith(("/", "127.")) or host in ("localhost", "::1") for host in hosts)


def password_of(path: Path) -> str:
    """The password in a file; ConfigurationError where others may read it."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigurationError(
                f"The password file {path.name} can be read by others.", remedy=f"Run `chmod 600 {path.name}`."
            )
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"The password file {path.name} cannot be read.", remedy="Check `database_password_file` and its owner."
        ) from None


def _configure(connection: GuardedConnection, _: object) -> None:
    try:
        _require_sound(connection)
    except BaseException:
        connection.close()
        raise


def _require_sound(connection: GuardedConnection) -> None:
    with connection.cursor() as cursor:
        version, encoding, fsync, durable, schema, _path = cursor.execute(_FACTS).fetchone() or (0,) * 6
    connection.commit()
    if version < OLDEST:
        raise ConfigurationError(
            f"The database server is PostgreSQL {version}.", remedy=f"Use version {OLDEST} or later."
        )
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The database's encoding is {encoding}.",
            remedy="Make it with `createdb --encoding UTF8 --template template0`.",
        )
    for name, value in (("fsync", fsync), ("synchronous_commit", durable)):
        if value == "off":
            raise ConfigurationError(
                f"The database server runs with {name} = off, and may lose what it acknowledged.",
                remedy=f"Set {name} = on for the server, the database and the role.",
            )
    if schema is None:
        raise ConfigurationError(
            "The role has no schema in this database.",
            remedy="Let it use one: GRANT USAGE ON SCHEMA public TO the role.",
        )


def _begin(connection: Connection) -> None:
    reading = bool(connection.get_execution_options().get(READ_ONLY, False))
    raw: Any = connection.connection.dbapi_connection
    raw.read_only = reading
    raw.isolation_level = IsolationLevel.REPEATABLE_READ if reading else IsolationLevel.READ_COMMITTED
    if not reading:
        with used_for(connection, Mode.OWNER):
            # Each later statement sees what was committed before this one came through.
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITING}), set_config('{TURN}', 'taken', true)")


def _refused(url: URL, said: str) -> ConfigurationError:
    """Why there is no connection, by what libpq said: it tells the server and the role, never the password."""
    place = f"{url.host or url.query.get('host') or 'the local socket'}:{url.port or url.query.get('port') or 5432}"
    what, remedy = "cannot be reached", "Check that it runs and accepts connections from here, and the URL."
    if "password" in said:
        what = "does not accept this role's password, or was given none"
        remedy = "Write it into the file that `database_password_file` names, or into ~/.pgpass; only you may read it."
    elif "does not exist" in said:
        what = "does not have this role or database"
        remedy = "Make them: `createuser ROLE`, `createdb --owner ROLE --encoding UTF8 DATABASE`."
    elif "SSL" in said or "certificate" in said:
        what = "and this program do not agree on TLS"
        remedy = "Give sslmode and sslrootcert in the URL, e.g. ?sslmode=verify-full&sslrootcert=ca.pem."
    return ConfigurationError(f"The database server at {place} {what} ({_line(said)}).", remedy=remedy)


def _line(said: str) -> str:
    lines = said.strip().splitlines() or ["no reason given"]
    return lines[0].rpartition("failed: ")[2][:200]
