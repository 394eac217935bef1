"""The files of a vocabulary download: looked at before anything of them is read into the warehouse.

An Athena download is a zip (or the folder it was unpacked into) of nine tab-separated files, without quotation marks. A
small public vocabulary is a folder with `source_to_standard_vocab_map.csv` and `vocabulary.csv`, each may be gzipped.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

from sojourn.errors import DatasetError
from sojourn.node.harmonise.vocabulary_tables import TABLES, columns_of

MAP, NAMES = "source_to_standard_vocab_map", "vocabulary"
_AGAIN = "Download it again from Athena, whole, and load the zip as it came."
_LONGEST_HEADER = 1 << 16
_ROOM = 2.5  # times the unpacked size: the files themselves, the tables, and what a checkpoint needs


@dataclass(frozen=True)
class Download:
    """The files of one download, unpacked. kind: how they are read. files: table (or small file) → its path."""

    kind: Literal["athena", "small"]
    files: Mapping[str, Path]
    digest: str  # SHA-256 (hex) over all files


@contextmanager
def opened(path: Path, beside: Path) -> Iterator[Download]:
    """The download's files, unpacked into a passing folder under `beside`. DatasetError for what is none, or half."""
    if path.is_dir():
        yield _of_folder(path)
        return
    if not path.is_file():
        raise DatasetError("There is no such file.", remedy="Give the path of the zip that Athena let you download.")
    if not zipfile.is_zipfile(path):
        raise DatasetError("The file is no zip, or only the first part of one.", remedy=_AGAIN)
    with TemporaryDirectory(prefix="vocabulary-", dir=beside) as folder:
        yield _checked(_unpacked(path, Path(folder)))


def _of_folder(path: Path) -> Download:
    present = {file.name.lower(): file for file in sorted(path.iterdir()) if file.is_file()}
    small = {name: present.get(f"{name}.csv.gz") or present.get(f"{name}.csv") for name in (MAP, NAMES)}
    if "concept.csv" not in present and small[MAP]:
        files = {name: file for name, file in small.items() if file is not None}
        if len(files) < len(small):
            raise DatasetError(f"The folder lacks {NAMES}.csv.", remedy="Put it beside the map.")
        return Download("small", files, _digest(files))
    return _checked({table: present[f"{table}.csv"] for table in TABLES if f"{table}.csv" in present})


def _unpacked(path: Path, folder: Path) -> dict[str, Path]:
    """Only the members that we know, under our own names: a zip cannot write anywhere else."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {}
            for info in archive.infolist():
                name = PurePosixPath(info.filename)
                if name.suffix.lower() == ".csv" and name.stem.lower() in TABLES and not info.is_dir():
                    if name.stem.lower() in members:
                        raise DatasetError(f"The zip holds {name.stem.upper()}.csv twice.", remedy=_AGAIN)
                    members[name.stem.lower()] = info
            _check_room(sum(info.file_size for info in members.values()), folder)
            return {table: _extract(archive, info, folder / f"{table}.csv") for table, info in members.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        raise DatasetError("The zip is damaged.", remedy=_AGAIN) from None
    except RuntimeError:  # what zipfile says of a password
        raise DatasetError("The zip is encrypted.", remedy="Unpack it, and load the folder.") from None


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> Path:
    with archive.open(info) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)  # checks the member's checksum at its end
    return target


def _check_room(unpacked: int, folder: Path) -> None:
    needed, free = int(unpacked * _ROOM), shutil.disk_usage(folder).free
    if free < needed:
        raise DatasetError(
            f"There is not enough room beside the warehouse: {needed >> 20} MB are needed, {free >> 20} MB are free.",
            remedy="Make room, or load on a larger disk.",
        )


def _checked(files: Mapping[str, Path]) -> Download:
    """All nine are there, none is empty, and each has the CDM's columns."""
    missing = [f"{table.upper()}.csv" for table in TABLES if table not in files]
    if len(missing) == len(TABLES):
        raise DatasetError("This is no vocabulary download: it holds none of Athena's files.", remedy=_AGAIN)
    if missing:
        raise DatasetError(f"The download lacks {', '.join(missing)}.", remedy=_AGAIN)
    for table, path in files.items():
        lacking = sorted(set(columns_of(table)) - set(header(path)))
        if lacking:
            raise DatasetError(
                f"{table.upper()}.csv lacks the columns {', '.join(lacking)}.",
                remedy="Choose version 5 in Athena, and load the zip as it came: tab-separated.",
            )
    return Download("athena", files, _digest(files))


def header(path: Path) -> list[str]:
    """The column names of a tab-separated file, in small letters."""
    with path.open("rb") as file:
        line = file.readline(_LONGEST_HEADER)
    try:
        return [name.strip().lower() for name in line.decode("utf-8-sig").split("\t")]
    except UnicodeDecodeError:
        raise DatasetError(f"{path.name} is not UTF-8.", remedy=_AGAIN) from None


def _digest(files: Mapping[str, Path]) -> str:
    found = hashlib.sha256()
    for name in sorted(files):
        with files[name].open("rb") as file:
            found.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()
