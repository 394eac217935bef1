"""Backup and restore of a hub: database, settings, keys, certificate authority. No record of a patient is in it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from sojourn.errors import ConfigurationError
from sojourn.hub.config import HubHome
from sojourn.identity.keys import PrivateKey
from sojourn.storage import safekeeping
from sojourn.storage.archive import Manifest
from sojourn.storage.backup import Database
from sojourn.storage.lock import HomeLock
from sojourn.storage.safekeeping import HANDS, Hands, Kept, Party
from sojourn.storage.sealing import Key, Seal
from sojourn.wire.administration import administer, listens

AUTHORITY = ("ca.key", "ca.pem", "server.key", "server.pem")
# All else in a home is made anew at a start: socket, locks, what SQLite writes beside its file.
FILES = ("hub.yaml", "log.key", "log.key.pub", *(f"authority/{name}" for name in AUTHORITY))


def party(home: HubHome) -> Party:
    """Whose home it is, for the keeping."""
    return Party(
        "hub", home.folder, home.name, Database(home.database or home.database_file, home.password_file), home.log_key
    )


def back_up(folder: Path, target: Path, seal: Seal) -> Kept:
    """Back up the hub of this home, running or not. Returns when the archive is complete, verified and logged."""
    home = HubHome.load(folder)
    if listens(home.socket):
        return _back_up(home, target, seal, {name: partial(administer, home.socket, name) for name in HANDS})
    with HomeLock(home.folder):
        return _back_up(home, target, seal, safekeeping.hands_at_rest(party(home)))


def restore(source: Path, key: Key, folder: Path, database: str = "", password_file: Path | None = None) -> Manifest:
    """A new hub's home out of an archive; ConfigurationError, IdentityError or AuditError, and no home, otherwise.

    database: the URL of an empty PostgreSQL database that it is to use from now on; else the one of its settings.
    """
    return safekeeping.restore(source, key, folder, "hub", lambda stage: _admit(stage, database, password_file))


def _back_up(home: HubHome, target: Path, seal: Seal, hands: Hands) -> Kept:
    return safekeeping.back_up(party(home), target, seal, hands, lambda: _files(home))


def _files(home: HubHome) -> list[Path]:
    secret = home.password_file
    own = [secret] if secret is not None and secret.parent == home.folder and secret.is_file() else []
    return [*(home.folder / name for name in FILES), *own]


def _admit(stage: Path, database: str, password_file: Path | None) -> Party:
    home = HubHome.load(stage)
    if database:
        secret = str(password_file.resolve()) if password_file else ""
        home = replace(home, database=database, database_password_file=secret)
        home.save()
    if lost := [name for name in FILES if not (stage / name).is_file()]:
        raise ConfigurationError(f"The backup has no {lost[0]}.", remedy="Take another one.")
    PrivateKey.load(home.log_key)
    return party(home)
