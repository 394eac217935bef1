"""Schema migrations: Alembic, run from code over revision files that a package ships; no alembic.ini.

A migrations package holds nothing but revision files (`0001_first.py`, …) and an empty `__init__.py`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection
from sqlalchemy.engine import Engine

from sojourn.errors import ConfigurationError
from sojourn.storage.guard import Mode, used_for


def upgrade(engine: Engine, package: str) -> None:
    """Bring the database to the newest revision of the package, in one transaction; nothing to do is no error.

    ConfigurationError when the database was written by a newer version than this.
    """
    with engine.begin() as connection, used_for(connection, Mode.OWNER):
        command.upgrade(_checked(connection, package), "head")


def downgrade(engine: Engine, package: str, revision: str) -> None:
    """Take the database back to an older revision (`base`: an empty one), in one transaction."""
    with engine.begin() as connection, used_for(connection, Mode.OWNER):
        config = _checked(connection, package)
        try:
            command.downgrade(config, revision)
        except CommandError as error:
            raise ConfigurationError("There is no such revision.", remedy="Name one from the migrations.") from error


def current(engine: Engine) -> str | None:
    """The database's revision; None before the first migration."""
    with engine.connect() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """The same, of the state that a connection sees."""
    return MigrationContext.configure(connection).get_current_revision()


def heads(package: str) -> tuple[set[str], str]:
    """All revisions of a package, and the newest."""
    scripts = ScriptDirectory.from_config(_config(package))
    newest = scripts.get_current_head()
    assert newest is not None
    return {script.revision for script in scripts.walk_revisions()}, newest


def _config(package: str) -> Config:
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
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise ConfigurationError(
            "The database was written by a newer version of Sojourn.",
            remedy="Install that version, or restore the backup that was made before the upgrade.",
        )
    return config


def _escaped(path: Path) -> str:
    """A path as a value of a configuration file, where a percent sign begins a substitution."""
    return str(path).replace("%", "%%")
