"""Backup and restore of a node: database, settings, keys, what it pinned; with the datasets' snapshots or without.

The keyed person numbers always go along: without them the ledger's sets of persons would mean nothing. The journal,
whose texts may quote records, and the tables of runs in hand do not. Nor does the exchange key: a node whose store is
older than what it sent would put two vectors under one mask, so a restored one makes another key.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from sojourn.errors import ConfigurationError
from sojourn.forms import log_of
from sojourn.identity.keys import PrivateKey
from sojourn.node.config import SETTINGS, NodeHome
from sojourn.storage import safekeeping
from sojourn.storage.archive import Manifest
from sojourn.storage.backup import Database
from sojourn.storage.lock import HomeLock
from sojourn.storage.safekeeping import HANDS, Hands, Kept, Party
from sojourn.storage.sealing import Key, Seal
from sojourn.wire.administration import administer, listens

FILES = (SETTINGS, "node.key", "node.key.pub", "log.key", "log.key.pub")
PINNED = ("hub-ca.pem", "hub-log.pub")  # once the node has joined
SECRETS = tuple(f"datasets/{key}.key" for key in ("person", "snapshot", "prints", "linkage"))  # once it has a dataset
PSEUDONYMS = "harmonised/pseudonym.key"  # once it has harmonised
PLANS = ("harmonised/*/current", "harmonised/*/snapshots/*/*.*")
TABLES = ("harmonised/*/snapshots/*/*/*.parquet", "harmonised/*/pilots/*/*")  # a pilot's report names codes
REGISTER = "datasets/persons.sqlite"
DICTIONARIES = ("datasets/*/*.json", "datasets/*/current")
SNAPSHOTS = ("datasets/*/*.duckdb", "datasets/*/*.prints", "datasets/*/*.linkage")
STAND_INS = tuple(f"rehearsal/{pattern}" for pattern in (*SECRETS, *DICTIONARIES, *SNAPSHOTS))  # synthetic, and small


def party(home: NodeHome) -> Party:
    """Whose home it is, for the keeping."""
    return Party(
        "node",
        home.folder,
        log_of(home.site),
        Database(home.database or home.database_file, home.password_file),
        home.log_key,
    )


def back_up(folder: Path, target: Path, seal: Seal, data: bool = True) -> Kept:
    """Back up the node of this home, running or not. Returns when the archive is complete, verified and logged."""
    home = NodeHome.load(folder)
    if listens(home.socket):
        hands: Hands = {name: partial(administer, home.socket, name) for name in HANDS}
        return _back_up(home, target, seal, hands, data)
    with HomeLock(home.folder):
        return _back_up(home, target, seal, safekeeping.hands_at_rest(party(home)), data)


def restore(source: Path, key: Key, folder: Path, database: str = "", password_file: Path | None = None) -> Manifest:
    """A new node's home out of an archive; ConfigurationError, IdentityError or AuditError, and no home, otherwise.

    database: the URL of an empty PostgreSQL database that it is to use from now on; else the one of its settings.
    """
    return safekeeping.restore(source, key, folder, "node", lambda stage: _admit(stage, database, password_file))


def _back_up(home: NodeHome, target: Path, seal: Seal, hands: Hands, data: bool) -> Kept:
    registers = [home.folder / REGISTER]
    return safekeeping.back_up(
        party(home), target, seal, hands, lambda: list(_files(home, data)), registers=registers, data=data
    )


def _files(home: NodeHome, data: bool) -> Iterator[Path]:
    folder, secret = home.folder, home.password_file
    yield from (folder / name for name in FILES)
    yield from (folder / name for name in (*PINNED, *SECRETS, PSEUDONYMS) if (folder / name).exists())
    if secret is not None and secret.parent == folder and secret.is_file():
        yield secret
    for pattern in (*DICTIONARIES, *STAND_INS, *PLANS, *((*SNAPSHOTS, *TABLES) if data else [])):
        yield from sorted(folder.glob(pattern))


def _admit(stage: Path, database: str, password_file: Path | None) -> Party:
    home = NodeHome.load(stage)
    if database:
        secret = str(password_file.resolve()) if password_file else ""
        home = replace(home, database=database, database_password_file=secret)
        home.save()
    needed = (*FILES, *(PINNED if home.hub else ()))
    if lost := [name for name in needed if not (stage / name).is_file()]:
        raise ConfigurationError(f"The backup has no {lost[0]}.", remedy="Take another one.")
    PrivateKey.load(home.key)
    PrivateKey.load(home.log_key)
    return party(home)
