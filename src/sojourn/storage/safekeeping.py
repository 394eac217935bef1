"""A home in one file, and back: what hub and node do alike.

Laws: an archive gets its name after it was read back and found whole, and after the log holds its manifest's hash; a
restored home gets its name after its archive, database and whole log were verified. Neither replaces anything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, MetaData

from sojourn import __version__
from sojourn.audit.entry import Entry
from sojourn.errors import AuditError, ConfigurationError
from sojourn.identity.keys import PrivateKey
from sojourn.storage import archive
from sojourn.storage.archive import DATABASE, Manifest, Record
from sojourn.storage.backup import Database, copy_database, copy_file, load_database, look_at
from sojourn.storage.engine import open_engine
from sojourn.storage.journal import Journal
from sojourn.storage.revisions import revision_of
from sojourn.storage.sealing import Key, Seal
from sojourn.storage.store import Store

WORK = "backup-work"  # in the home, while a backup is made


@dataclass(frozen=True)
class Party:
    """Whose home it is. origin: its log's name."""

    kind: Literal["hub", "node"]
    folder: Path
    origin: str
    database: Database
    log_key: Path


@dataclass(frozen=True)
class State:
    """A copied state of a database: its schema's revision, and its log's latest checkpoint."""

    revision: str
    checkpoint: str


@dataclass(frozen=True)
class Kept:
    """A finished backup."""

    file: Path
    manifest: Manifest

    def document(self) -> dict[str, Any]:
        """What a command tells of it."""
        return {
            "file": str(self.file),
            "bytes": self.file.stat().st_size,
            "members": len(self.manifest.members),
            "manifest": self.manifest.digest,
            "entries": int(self.manifest.checkpoint.splitlines()[1]),
        }


# The two things that a backup needs of whoever has the database open: `copy_database` and `note_backup`.
Hands = Mapping[str, Callable[..., Any]]
HANDS = ("copy_database", "note_backup")


def hands(party: Party, write: Callable[[Entry], object]) -> Hands:
    """Both, for a program that has the home open; `write` is its store's way to log."""

    def copy(path: str) -> dict[str, str]:
        state = copy_database(party.database, Path(path), lambda connection: _state(party, connection))
        return {"revision": state.revision, "checkpoint": state.checkpoint}

    def note(**facts: Any) -> None:
        write(Entry("backup.made", _ACTORS[party.kind], facts=facts))

    return {"copy_database": copy, "note_backup": note}


def hands_at_rest(party: Party, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Hands:
    """Both, for a home that no program has open. The schema stays at the revision that it has."""

    def write(entry: Entry) -> None:
        engine = open_engine(party.database.where, party.database.password_file)
        with Store(engine, MetaData(), PrivateKey.load(party.log_key), party.origin, clock) as store:
            store.write(entry, lambda connection: None)

    return hands(party, write)


def back_up(
    party: Party,
    target: Path,
    seal: Seal,
    hands: Hands,
    files: Callable[[], Sequence[Path]],
    *,
    registers: Sequence[Path] = (),
    data: bool = False,
) -> Kept:
    """Make the archive of a home.

    files: what goes along, asked for once the database is copied. registers: further SQLite files of the home, which
    are copied as the database is. data: whether `files` has the datasets' snapshots.
    """
    if target.exists():
        raise ConfigurationError(f"There is a file {target.name} already.", remedy="Choose another name.")
    with _disk_told(), _workplace(party.folder) as work:
        state = State(**hands["copy_database"](path=str(work / DATABASE)))
        paths = {DATABASE: work / DATABASE}
        for place, register in enumerate(path for path in registers if path.exists()):
            copy_file(register, work / f"register-{place}")
            paths[_name(register, party)] = work / f"register-{place}"
        paths |= {_name(path, party): path for path in files()}
        manifest = Manifest(
            kind=party.kind,
            party=party.origin,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            software=__version__,
            engine=party.database.engine,
            revision=state.revision,
            checkpoint=state.checkpoint,
            log_key=PrivateKey.load(party.log_key).public.hex,
            data=data,
            members=[archive.record(name, path) for name, path in paths.items()],
        )
        with _written(target) as fresh:
            with fresh.open("wb") as file:
                archive.write(file, seal, manifest, list(paths.values()))
                file.flush()
                os.fsync(file.fileno())
            archive.read(fresh, seal.own, lambda read: None, lambda due, pieces: _drop(pieces))
            hands["note_backup"](manifest=manifest.digest, sealed=seal.how, data=data)
    return Kept(target, manifest)


def restore(source: Path, key: Key, home: Path, kind: str, admit: Callable[[Path], Party]) -> Manifest:
    """Make a new home out of an archive. `admit` reads the settings and keys of the folder as its party does.

    Errors leave no home behind; a PostgreSQL database that was filled before one came is the caller's to drop.
    """
    if home.exists() or home.is_symlink():
        raise ConfigurationError(f"There is something at {home.name} already.", remedy="Name a --home that is new.")
    if not source.is_file():
        raise ConfigurationError("There is no such backup.", remedy="Give the file that `backup` wrote.")
    home.parent.mkdir(parents=True, exist_ok=True)
    stage = home.parent / f".{home.name}.restoring-{secrets.token_hex(4)}"
    try:
        with _disk_told():
            stage.mkdir(mode=0o700)
            manifest = archive.read(source, key, _demand(kind), lambda due, pieces: _unpack(stage, due, pieces))
            _settle(manifest, admit(stage), stage)
            _sync(stage)
            stage.rename(home)
            _sync(home.parent)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
    return manifest


def _settle(manifest: Manifest, party: Party, stage: Path) -> None:
    """Load the database, and verify that it is the one of the manifest, with its log."""
    if party.database.engine != manifest.engine:
        raise ConfigurationError(
            f"The backup is of a database in {manifest.engine}.", remedy="Restore it into one of that kind."
        )
    load_database(stage / DATABASE, party.database)
    (stage / DATABASE).unlink(missing_ok=True)
    state = look_at(party.database, lambda connection: _state(party, connection))
    if (party.origin, state) != (manifest.party, State(manifest.revision, manifest.checkpoint)):
        raise AuditError(
            "The database is not the one that the manifest names.", remedy="Take another backup; keep this one."
        )


def kept_words(kept: Mapping[str, Any]) -> list[str]:
    """A finished backup, for people."""
    return [
        f"{kept['file']}: {kept['bytes']:,} bytes, {kept['members']} files; read back and verified.",
        f"The log in it verifies up to entry {kept['entries']}.",
        f"Its manifest, which the log now names: {kept['manifest']}",
    ]


def restored_document(manifest: Manifest) -> dict[str, Any]:
    """A finished restore, for machines."""
    return {
        "party": manifest.party,
        "made": manifest.made,
        "software": manifest.software,
        "entries": int(manifest.checkpoint.splitlines()[1]),
        "data": manifest.data,
        "manifest": manifest.digest,
    }


def restored_words(manifest: Manifest, home: Path) -> list[str]:
    """A finished restore, for people."""
    facts = restored_document(manifest)
    return [
        f"{home} is the {manifest.kind} {manifest.party} as of {manifest.made}.",
        f"Its log verifies up to entry {facts['entries']}.",
        f"The backup's manifest: {manifest.digest} (compare it with the one that was printed when it was made).",
    ]


_ACTORS = {"hub": "administrator", "node": "custodian"}


def _state(party: Party, connection: Connection) -> State:
    """The revision and the latest checkpoint, after the whole log was verified; AuditError where it does not verify."""
    revision = revision_of(connection)
    if revision is None:
        raise ConfigurationError("The database is empty.", remedy="Start the program once, then back it up.")
    journal = Journal(MetaData(), PrivateKey.load(party.log_key), party.origin)
    report = journal.verify(connection)
    if not report.ok:
        raise AuditError(
            f"The log does not verify ({report.problems[0].what}).",
            remedy="Keep the files as evidence, and go back to an earlier backup, which this one must not replace.",
        )
    return State(revision, journal.checkpoint(connection))


def _demand(kind: str) -> Callable[[Manifest], None]:
    def demand(manifest: Manifest) -> None:
        if manifest.kind != kind:
            raise ConfigurationError(
                f"This is the backup of a {manifest.kind}, {manifest.party}.",
                remedy=f"Restore it with `sojourn {manifest.kind} restore`.",
            )

    return demand


def _name(path: Path, party: Party) -> str:
    return str(path.relative_to(party.folder))


def _unpack(stage: Path, due: Record, pieces: Iterator[bytes]) -> None:
    path = stage / due.name
    for folder in reversed(path.relative_to(stage).parents[:-1]):
        (stage / folder).mkdir(mode=0o700, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def _drop(pieces: Iterator[bytes]) -> None:
    for _ in pieces:
        pass


@contextmanager
def _workplace(home: Path) -> Iterator[Path]:
    """A folder in the home for the copy, which never leaves it unsealed; of one backup at a time."""
    work = home / WORK
    work.mkdir(mode=0o700, exist_ok=True)
    with (home / f"{WORK}.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError("Another backup is being made.", remedy="Wait until it has ended.") from error
        _empty(work)  # of a backup that was killed
        try:
            yield work
        finally:
            _empty(work)


def _empty(work: Path) -> None:
    for path in work.iterdir():
        path.unlink()


@contextmanager
def _written(target: Path) -> Iterator[Path]:
    """A fresh file (0600) beside the target, which gets the target's name where the block ends well, else goes."""
    fresh = target.with_name(f".{target.name}.partial-{secrets.token_hex(4)}")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield fresh
        fresh.rename(target)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _disk_told() -> Iterator[None]:
    """Errors of files as ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise ConfigurationError(
                "There is no space left; nothing was kept.",
                remedy="Free some: a backup needs its own size where it is written, and the database's in the home.",
            ) from error
        raise ConfigurationError(
            f"A file could not be read or written ({error.strerror or type(error).__name__}); nothing was kept.",
            remedy="Check that the folders exist, belong to this user and are not full.",
        ) from error
