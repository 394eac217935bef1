"""Schema migrations: Alembic, run from code over revision files that a package ships; no alembic.ini.

A migrations package holds nothing but revision files (`first_0001.py`, …) and an empty `__init__.py`. Alembic is loaded
where something is to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from sojourn.errors import ConfigurationError
from sojourn.storage.engine import open_engine
from sojourn.storage.guard import READ_ONLY, Mode, used_for
from sojourn.storage.revisions import heads, revision_of
from sojourn.storage.roles import share

if TYPE_CHECKING:
    from alembic.config import Config


def upgrade(engine: Engine, package: str) -> None:
    """Bring the database to the newest revision of the package, in one transaction; nothing to do is no error.

    ConfigurationError when the database was written by a newer version than this.
    """
    with _owning(engine) as connection:
        if revision_of(connection) != heads(package)[1]:  # a start with nothing to do runs no migration's code
            from alembic import command

            command.upgrade(_checked(connection, package), "head")


def open_migrated(path_or_url: str | Path, password_file: Path | None, package: str) -> Engine:
    """`open_engine`, and the database brought to the newest revision."""
    engine = open_engine(path_or_url, password_file)
    try:
        upgrade(engine, package)
    except BaseException:
        engine.dispose()
        raise
    return engine


def migrate_as_owner(owner: str, password_file: Path | None, package: str, database: str) -> str:
    """Bring a PostgreSQL database to the newest revision as the owner of its tables (a URL); the revision.

    database: the program's own URL, whose role, where it is another one, gets the rights that it needs and no more.
    """
    if not database:
        raise ConfigurationError(
            "The database is an SQLite file.", remedy="It is brought up to date at the next start."
        )
    (ours, name), (role, expected) = _role_and_database(owner), _role_and_database(database)
    if name != expected:
        raise ConfigurationError("The owner's URL is of another database.", remedy="Let it name the program's own.")
    engine = open_engine(owner, password_file)
    try:
        upgrade(engine, package)
        if role is not None and role != ours:
            with _owning(engine) as connection:
                share(connection, role)
        return str(current(engine))
    finally:
        engine.dispose()


def downgrade(engine: Engine, package: str, revision: str) -> None:
    """Take the database back to an older revision (`base`: an empty one), in one transaction."""
    from alembic import command
    from alembic.util import CommandError

    with _owning(engine) as connection:
        config = _checked(connection, package)
        try:
            command.downgrade(config, revision)
        except CommandError as error:
            raise ConfigurationError("There is no such revision.", remedy="Name one from the migrations.") from error


def current(engine: Engine) -> str | None:
    """The database's revision; None before the first migration."""
    with engine.connect() as connection:
        return revision_of(connection.execution_options(**{READ_ONLY: True}))


@contextmanager
def _owning(engine: Engine) -> Iterator[Connection]:
    """A transaction that may do everything; ConfigurationError where the role may not, or others do not let go."""
    try:
        with engine.begin() as connection, used_for(connection, Mode.OWNER):
            yield connection
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None)
        if state == "42501":
            raise ConfigurationError(
                "This role may not change the tables of its database, which are not of this version.",
                remedy="Run `sojourn hub migrate` or `sojourn node migrate` with the owner's --database.",
            ) from error
        if state == "55P03":
            raise ConfigurationError(
                "Another program has the database.", remedy="Wait until it has finished or stop it, and try again."
            ) from error
        raise


def _role_and_database(url: str) -> tuple[str | None, str | None]:
    try:
        parts = make_url(url)
    except ArgumentError:
        raise ConfigurationError("Not a URL.", remedy="Write it like postgresql://role@host:5432/database.") from None
    return parts.username, parts.database


def _config(package: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", _escaped(Path(__file__).parent / "environment"))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", _escaped(Path(next(iter(import_module(package).__path__)))))
    return config


def _checked(connection: Connection, package: str) -> Config:
    """Alembic's configuration for the package, after making sure that it knows the database's revision."""
    config = _config(package)
    config.attributes["connection"] = connection
    revision = revision_of(connection)
    if revision is not None and revision not in heads(package)[0]:
        raise ConfigurationError(
            "The database was written by a newer version of Sojourn.",
            remedy="Install that version, or restore the backup that was made before the upgrade.",
        )
    return config


def _escaped(path: Path) -> str:
    """A path as a value of a configuration file, where a percent sign begins a substitution."""
    return str(path).replace("%", "%%")
