"""Checks of what every party stands on: its folder, the disk, its software, its database and its log."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from sqlalchemy import Connection, MetaData, inspect, select

from sojourn import __version__
from sojourn.audit.receipt import decode
from sojourn.errors import ConfigurationError
from sojourn.identity.keys import PrivateKey
from sojourn.storage.backup import Database, look_at
from sojourn.storage.finding import Finding, failure, warning, well
from sojourn.storage.journal import Journal
from sojourn.storage.log import log_tables
from sojourn.storage.revisions import heads, revision_of
from sojourn.storage.witness_tables import witness_tables

LEAST_FREE, LITTLE_FREE = 200 << 20, 2 << 30  # bytes
LEAST_PYTHON = (3, 11)
_TIME_ERROR = 5
AHEAD = 60.0  # seconds that a log may be ahead of the clock


def check_home(folder: Path, private: Iterable[Path]) -> Finding:
    """The folder is its owner's alone, and so are the files in it that hold secrets."""
    owner = folder.stat().st_uid
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        return failure("Others can look into this home.", f"Run `chmod 700 {folder.name}`.")
    if os.geteuid() not in (0, owner):
        return failure("The home belongs to another user.", "Run this as the user who runs the program.")
    for path in private:
        if not path.is_file() or not os.access(path, os.R_OK):
            return failure(f"{path.name} is missing or cannot be read.", "Restore it from your backup.")
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            return failure(f"{path.name} can be read by others.", f"Run `chmod 600 {path.name}`.")
        if path.stat().st_uid != owner:
            return failure(f"{path.name} belongs to another user than its home.", f"Run `chown` on {path.name}.")
    return well("The home and its keys are for its owner alone.")


def check_disk(folder: Path, least: int = LEAST_FREE, little: int = LITTLE_FREE) -> Finding:
    """There is room, and a file can be written, in the home and in the folder of temporary files."""
    places = (("the home", folder), ("the folder of temporary files", Path(tempfile.gettempdir())))
    free = []
    for name, place in places:
        try:
            with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=place) as file:
                file.write(bytes(4096))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return failure(
                f"Nothing can be written in {name} ({error.strerror}).", "Free space, or give this user the right."
            )
        free.append((shutil.disk_usage(place).free, name))
    found, name = min(free)
    sentence = f"{found / 2**30:.1f} GiB are free in {name}"
    if found < least:
        return failure(f"Only {sentence}: a full disk stops every write.", "Free space, or use a larger disk.")
    if found < little:
        return warning(f"{sentence}, which is little.", "Free space, or use a larger disk.")
    return well(f"{sentence}, where least is.")


def check_versions(distribution: str = "sojourn") -> Finding:
    """Python and every library are of the versions that this software was tested with."""
    if sys.version_info < LEAST_PYTHON:
        return failure("Python is older than 3.11.", "Install Python 3.11 or later, and Sojourn in it.")
    wrong = []
    for requirement in metadata.requires(distribution) or []:
        name, bounds, extra = _requirement(requirement)
        if extra:
            continue
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is missing")
            continue
        wrong += [f"{name} is {found}" for sign, bound in bounds if not _holds(found, sign, bound)]
    if wrong:
        return failure(f"Not as required: {', '.join(wrong)}.", "Install Sojourn again, with its requirements.lock.")
    python = ".".join(map(str, sys.version_info[:3]))
    return well(f"Sojourn {__version__}, Python {python}, SQLite {sqlite3.sqlite_version}, all libraries as required.")


def check_database(database: Database, migrations: str) -> Finding:
    """It opens, every page of it is sound, and its schema is this software's."""
    _require(database)
    revision = look_at(database, revision_of)
    known, newest = heads(migrations)
    if revision is not None and revision not in known:
        return failure(
            "The database was written by a newer version of Sojourn.",
            "Install that version, or restore the backup that was made before the upgrade.",
        )
    if revision != newest:
        remedy = "Make a backup, then start the program: it brings the schema up to date."
        return warning(f"The schema is at {revision}, this software's is {newest}.", remedy)
    return well(f"The database ({database.engine}) is sound, its schema is {newest}.")


def check_clock(database: Database, now: float, synchronised: bool) -> Finding:
    """The clock is not behind the log's last entry, and a time server keeps it."""
    if database.made:
        last = look_at(database, _last_time)
        if last is not None and last > now + AHEAD:
            return failure(
                f"The log's last entry is {last - now:.0f} s ahead of this machine's clock.",
                "Set the clock by a time server: it went back, or was wrong when the entry was made.",
            )
    if not synchronised:
        return warning("The kernel knows of no time server that keeps this clock.", "Run chrony or systemd-timesyncd.")
    return well("A time server keeps the clock, and it is not behind the log.")


def synchronised() -> bool:
    """Whether the kernel's clock is kept by a time server (adjtimex(2), which changes nothing with modes = 0)."""
    return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) != _TIME_ERROR)


def check_log(database: Database, key: Path, origin: str) -> Finding:
    """Every entry, hash and checkpoint verifies."""
    _require(database)
    private = PrivateKey.load(key)

    def look(connection: Connection) -> Finding:
        journal = Journal(MetaData(), private, origin)
        report = journal.verify(connection)
        if not report.ok:
            return failure(
                f"The log does not verify: {report.problems[0].what} ({report.found} problems).",
                "Stop the program, keep the database as evidence, tell the custodians, and restore the latest backup.",
            )
        last = _last_time(connection)
        size = journal.checkpoint(connection).splitlines()[1]
        when = "" if last is None else f", the last of {datetime.fromtimestamp(last, UTC):%Y-%m-%d %H:%M} UTC"
        return well(f"{size} entries and {report.checkpoints} checkpoints verify{when}.")

    return look_at(database, look)


def check_witnesses(database: Database, recover: str) -> Finding:
    """This log is witnessed, and its witnesses and this party trust each other's.

    recover: the remedy where this log lost entries.
    """
    _require(database)
    tables = witness_tables(MetaData())

    def look(connection: Connection) -> Finding:
        if not inspect(connection).has_table(tables.memory.name):
            return warning("Nobody has witnessed this log yet.", "Start the program: each poll shows the log.")
        for row in connection.execute(select(tables.memory).where(tables.memory.c.refused != "")):
            remedy = "Ask its people what happened. Only if you believe them: `accept-log`, with the reason."
            return failure(f"The log of {row.origin} is not accepted here ({row.refused}).", remedy)
        found = list(connection.execute(select(tables.cosignature)))
        for row in found:
            if row.ahead is not None and row.ahead != row.recovered:
                return failure(f"{row.witness} remembers more of this log than it holds.", recover)
            if row.refused:
                remedy = "Tell its people what happened here: only they can accept it (`accept-log`)."
                return failure(f"{row.witness} does not accept this log ({row.refused}).", remedy)
        if not any(row.size for row in found):
            return warning("Nobody has witnessed this log yet.", "Let hub and nodes run: each poll shows the log.")
        size = max(row.size for row in found)
        return well(f"Witnessed by {sum(row.size > 0 for row in found)}, up to entry {size}.")

    return look_at(database, look)


def _last_time(connection: Connection) -> float | None:
    table = log_tables(MetaData()).entry.c
    data = connection.scalar(select(table.data).order_by(table.position.desc()).limit(1))
    return None if data is None else datetime.fromisoformat(decode(data)["time"]).timestamp()


def _require(database: Database) -> None:
    if not database.made:
        raise ConfigurationError("There is no database yet.", remedy="Start the program once; it makes one.")


def _requirement(text: str) -> tuple[str, list[tuple[str, str]], bool]:
    """Name, bounds, and whether only an extra asks for it; of the plain form that pyproject.toml uses."""
    wanted, _, marker = text.partition(";")
    match = re.match(r"[A-Za-z0-9._-]+", wanted)
    assert match is not None
    return match[0], re.findall(r"(>=|<)\s*([0-9.]+)", wanted), "extra" in marker


def _holds(found: str, sign: str, bound: str) -> bool:
    present, limit = _numbers(found), _numbers(bound)
    return present >= limit if sign == ">=" else present < limit


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", re.split(r"[a-z+-]", version)[0])]
