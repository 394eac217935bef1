"""Stable 32-bit numbers of persons, by keyed identifier. Only the keyed form of an identifier is ever kept."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sojourn.errors import DatasetError

_MOST_PERSONS = 2**32


class PersonNumbers:
    """One transaction on a node's register of person numbers; nothing is kept unless `commit` is called."""

    def __init__(self, connection: sqlite3.Connection, key: bytes) -> None:
        self._connection = connection
        self._key = key

    def number(self, identifiers: Iterable[str]) -> dict[str, int]:
        """Each identifier's number: the one it had, or the next free one (in the order of the keyed form)."""
        keyed = {self._keyed(identifier): identifier for identifier in identifiers}
        known = dict(self._connection.execute("SELECT keyed, number FROM person"))
        fresh = sorted(form for form in keyed if form not in known)
        start = len(known)
        if start + len(fresh) > _MOST_PERSONS:
            raise DatasetError("There are too many persons.", remedy="Use a second node for further persons.")
        new = {form: start + place for place, form in enumerate(fresh)}
        self._connection.executemany("INSERT INTO person (keyed, number) VALUES (?, ?)", new.items())
        return {identifier: known[form] if form in known else new[form] for form, identifier in keyed.items()}

    def commit(self) -> None:
        """Keep the new numbers."""
        self._connection.commit()

    def _keyed(self, identifier: str) -> bytes:
        return hmac.digest(self._key, identifier.encode("utf-8"), "sha256")


@contextmanager
def person_numbers(folder: Path) -> Iterator[PersonNumbers]:
    """Open the register of a node (`persons.sqlite`, key in `person.key`, both 0600); one importer at a time."""
    key = _key(folder / "person.key", fresh=not (folder / "persons.sqlite").exists())
    path = folder / "persons.sqlite"
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS person (keyed BLOB PRIMARY KEY, number INTEGER NOT NULL UNIQUE) WITHOUT ROWID"
        )
        connection.execute("CREATE TABLE IF NOT EXISTS key_check (sha256 TEXT NOT NULL)")
        _check(connection, key)
        yield PersonNumbers(connection, key)
    except sqlite3.DatabaseError:
        raise DatasetError(
            "The register of person numbers is damaged or in use.",
            remedy="Wait for the other import, or restore the home folder from your backup.",
        ) from None
    finally:
        connection.close()  # rolls back what was not committed


def _key(path: Path, fresh: bool) -> bytes:
    if fresh and not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
    try:
        mode, key = stat.S_IMODE(path.stat().st_mode), path.read_bytes()
    except FileNotFoundError:
        key, mode = b"", 0
    if len(key) != 32:
        raise _wrong_key()
    if mode & 0o077:
        raise DatasetError("Others can read the dataset key.", remedy=f"Run `chmod 600` on the file {path.name}.")
    return key


def _check(connection: sqlite3.Connection, key: bytes) -> None:
    """Another key would silently give every person a second number."""
    mark = hashlib.sha256(b"sojourn person key\0" + key).hexdigest()
    kept = connection.execute("SELECT sha256 FROM key_check").fetchone()
    if kept is None:
        connection.execute("INSERT INTO key_check VALUES (?)", (mark,))
    elif kept[0] != mark:
        raise _wrong_key()


def _wrong_key() -> DatasetError:
    return DatasetError(
        "The dataset key is missing or is not the one that numbered these persons.",
        remedy="Restore `person.key` from your backup; numbers must never change.",
    )
