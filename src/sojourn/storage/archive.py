"""The archive of a home: a sealed tar whose first member is the manifest, which names every other with its digest.

Members are streamed in the manifest's order; nothing is left out, added, renamed or altered without being seen.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Literal

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sojourn.errors import ConfigurationError
from sojourn.storage.sealing import Key, Seal, damaged, opened

MANIFEST = "manifest.json"
DATABASE = "database"  # the member that holds the copy of the database
_MANIFEST_MAX = 64 << 20
_PIECE = 1 << 20
_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$"
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(BaseModel):
    """One member: its name in the home, its length in bytes and its SHA-256."""

    model_config = _STRICT
    name: Annotated[str, Field(pattern=_NAME, max_length=400)]
    size: Annotated[int, Field(ge=0)]
    sha256: Digest


class Manifest(BaseModel):
    """What an archive holds, and of whom.

    kind: `hub` or `node`. party: the name of its log. revision: the database's schema. checkpoint: the log's latest, as
    the copy has it; log_key: what verifies it. engine: the database's kind. data: whether snapshots are in it.
    """

    model_config = _STRICT
    format: Literal[1] = 1
    kind: Literal["hub", "node"]
    party: str
    made: str
    software: str
    engine: Literal["sqlite", "postgresql"]
    revision: str
    checkpoint: str
    log_key: Digest
    data: bool
    members: list[Record]

    def encode(self) -> bytes:
        """Canonical bytes."""
        return rfc8785.dumps(self.model_dump())

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical bytes: what stands for the archive in the log."""
        return hashlib.sha256(self.encode()).hexdigest()


def record(name: str, path: Path) -> Record:
    """The record of a file as it is now."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Record(name=name, size=file.tell(), sha256=digest)


def write(file: IO[bytes], seal: Seal, manifest: Manifest, paths: Sequence[Path]) -> None:
    """Write the manifest and its members (`paths`, in its order); ConfigurationError where one changed meanwhile."""
    seal.write(_pieces(manifest, paths), file)


def read(
    path: Path, key: Key, begin: Callable[[Manifest], None], take: Callable[[Record, Iterator[bytes]], None]
) -> Manifest:
    """Read and check a whole archive. `begin` sees the manifest before anything else, and may refuse it.

    `take` gets each member's bytes and reads them to their end; they are checked after it returned. ConfigurationError
    for whatever is not as it was written.
    """
    with opened(path, key) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|", bufsize=_PIECE) as tar:
                manifest = _manifest(tar)
                begin(manifest)
                for due in manifest.members:
                    _member(tar, due, take)
                if tar.next() is not None:
                    raise damaged()
            while stream.read(_PIECE):  # a cut in what follows the last member is seen as well
                pass
        except tarfile.TarError as error:
            raise damaged() from error
    return manifest


def _pieces(manifest: Manifest, paths: Sequence[Path]) -> Iterator[bytes]:
    body = manifest.encode()
    yield _header(MANIFEST, len(body)) + body + _padding(len(body))
    for due, path in zip(manifest.members, paths, strict=True):
        yield _header(due.name, due.size)
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
                yield piece
        if (size, digest.hexdigest()) != (due.size, due.sha256):
            raise ConfigurationError(f"{due.name} changed during the backup.", remedy="Make the backup again.")
        yield _padding(size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _manifest(tar: tarfile.TarFile) -> Manifest:
    info = tar.next()
    if info is None or info.name != MANIFEST or not info.isfile() or info.size > _MANIFEST_MAX:
        raise ConfigurationError("That is not a backup of Sojourn.", remedy="Give the file that `backup` wrote.")
    file = tar.extractfile(info)
    assert file is not None
    try:
        manifest = Manifest.model_validate_json(file.read())
    except ValidationError as error:
        raise ConfigurationError(
            "The backup's manifest cannot be read.",
            remedy="Use the version of Sojourn that made it, or a later one; else the file is damaged: take another.",
        ) from error
    names = [member.name for member in manifest.members]
    if len(set(names)) != len(names) or DATABASE not in names:
        raise damaged()
    return manifest


def _member(tar: tarfile.TarFile, due: Record, take: Callable[[Record, Iterator[bytes]], None]) -> None:
    info = tar.next()
    if info is None or not info.isfile() or (info.name, info.size) != (due.name, due.size):
        raise damaged()
    file = tar.extractfile(info)
    assert file is not None
    digest = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        while piece := file.read(_PIECE):
            digest.update(piece)
            yield piece

    take(due, pieces())
    if digest.hexdigest() != due.sha256:
        raise damaged()
