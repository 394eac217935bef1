"""A BagIt bag (RFC 8493) in one ZIP file, as bytes: files and their sha-512, both ways and without touching a disk.

Law: a bag is read only whole. A file that is altered, missing, added, named twice or named as no file in a folder may
be is told by its name, and then nothing else of the bag is believed.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sojourn.errors import AuditError

PAYLOAD = "data/"
MANIFEST, TAG_MANIFEST = "manifest-sha512.txt", "tagmanifest-sha512.txt"
MOST_BYTES, MOST_FILES = 2**30, 20_000
_DECLARATION = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_TAGS = ("bagit.txt", "bag-info.txt")
_LINE = re.compile(r"([0-9a-f]{128})  ([A-Za-z0-9_./-]{1,400})")
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")
_MOMENT = (1980, 1, 1, 0, 0, 0)  # a ZIP file's zero: when a bag was packed is no part of what it holds


@dataclass(frozen=True)
class Bag:
    """payload: name below `data/` → bytes. tags: name → bytes. faults: file → what is wrong with it."""

    payload: Mapping[str, bytes]
    tags: Mapping[str, bytes]
    faults: Mapping[str, str]


def manifest(files: Mapping[str, bytes]) -> bytes:
    """A line a file, in the order of the names: sha-512 (hex) and the name."""
    lines = [f"{hashlib.sha512(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines).encode()


def payload_manifest(payload: Mapping[str, bytes]) -> bytes:
    """The manifest of the files below `data/`."""
    return manifest({PAYLOAD + name: data for name, data in payload.items()})


def packed(folder: str, payload: Mapping[str, bytes], info: Mapping[str, str], tags: Mapping[str, bytes]) -> bytes:
    """The ZIP file of one bag in one folder. tags: further files beside the payload, e.g. a signature."""
    size = sum(map(len, payload.values()))
    words = {**info, "Payload-Oxum": f"{size}.{len(payload)}"}
    told = "".join(f"{word}: {text}\n" for word, text in sorted(words.items())).encode()
    beside = {**tags, "bagit.txt": _DECLARATION, "bag-info.txt": told, MANIFEST: payload_manifest(payload)}
    files = {**{PAYLOAD + name: data for name, data in payload.items()}, **beside, TAG_MANIFEST: manifest(beside)}
    if wrong := [name for name in files if not _NAME.fullmatch(name)]:
        raise ValueError(f"not a name of a file in a bag: {wrong[0][:80]}")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(f"{folder}/{name}", _MOMENT)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name], zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def unpacked(data: bytes) -> Bag:
    """The bag in a ZIP file, with what is wrong with it; AuditError where there is no bag at all."""
    files, faults = _files(data)
    tags = {name: text for name, text in files.items() if not name.startswith(PAYLOAD)}
    payload = {name: text for name, text in files.items() if name.startswith(PAYLOAD)}
    faults |= dict(_missing(tags))
    faults |= dict(_compared(MANIFEST, tags, payload))
    faults |= dict(_compared(TAG_MANIFEST, tags, {name: tags[name] for name in tags if name != TAG_MANIFEST}))
    if tags.get("bagit.txt", _DECLARATION) != _DECLARATION:
        faults.setdefault("bagit.txt", "does not declare a bag of version 1.0 in UTF-8")
    return Bag({name.removeprefix(PAYLOAD): text for name, text in payload.items()}, tags, faults)


def _files(data: bytes) -> tuple[dict[str, bytes], dict[str, str]]:
    """Every file below the one folder, by its name there."""
    files: dict[str, bytes] = {}
    faults: dict[str, str] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > MOST_FILES or sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise _no_bag()
            if len({entry.filename.partition("/")[0] for entry in entries}) != 1:
                raise _no_bag()
            for entry in entries:
                _, _, name = entry.filename.partition("/")
                if not _NAME.fullmatch(name) or name in files:
                    faults[_shown(name)] = "is there twice" if name in files else "is no name of a file in a bag"
                    continue
                try:
                    files[name] = archive.read(entry)
                except (zipfile.BadZipFile, zlib.error, EOFError):
                    faults[name] = "is damaged"
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError) as error:
        raise _no_bag() from error
    return files, faults


def _missing(tags: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    for name in (*_TAGS, MANIFEST, TAG_MANIFEST):
        if name not in tags:
            yield name, "is missing"


def _compared(name: str, tags: Mapping[str, bytes], files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """What differs between a manifest and the files that it should name."""
    named: dict[str, str] = {}
    for line in tags.get(name, b"").decode("utf-8", "replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None or found[2] in named:
            yield name, "is not a manifest"
            return
        named[found[2]] = found[1]
    for file in sorted(set(named) | set(files)):
        if file not in files:
            yield file, "is missing"
        elif file not in named:
            yield file, f"is not in {name}"
        elif hashlib.sha512(files[file]).hexdigest() != named[file]:
            yield file, f"is not what {name} says"


def _shown(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_./-]", "?", name)[:80] or "?"


def _no_bag() -> AuditError:
    return AuditError("This is no study record.", remedy="Name a file that `sojourn study record` wrote.")
