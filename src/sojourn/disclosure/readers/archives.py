"""Zip archives, among them office documents: names, comments, extra fields, what stands beside the members, and these.

APPNOTE.TXT, .ZIP File Format Specification. An archive in an archive is refused, and so is what is encrypted.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable

from sojourn.disclosure.readers.contents import (
    MOST_RATIO,
    MOST_UNPACKED,
    Contents,
    Piece,
    bomb,
    damaged,
    refused,
    strings,
)

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
OTHER = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
_KIND = "zip archive"
_MOST_MEMBERS = 1_000
_END, _END_SIZE = b"PK\x05\x06", 22
_DESCRIPTOR = 24  # bytes that may follow a member


def read_archive(data: bytes, member: Callable[[bytes], Contents]) -> Contents:
    """An archive and all its members, each read by `member`."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _read(data, archive, member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        raise damaged(_KIND) from None


def _read(data: bytes, archive: zipfile.ZipFile, member: Callable[[bytes], Contents]) -> Contents:
    infos = archive.infolist()
    if len(infos) > _MOST_MEMBERS or len({info.filename for info in infos}) != len(infos):
        raise refused("The archive has too many members, or one name twice.", "Give the files themselves, unpacked.")
    if any(info.flag_bits & 0x1 for info in infos):
        raise refused("The archive is encrypted.", "Give the files themselves, unpacked.")
    if sum(info.file_size for info in infos) > min(MOST_UNPACKED, max(1 << 20, MOST_RATIO * len(data))):
        raise bomb()
    pieces = [Piece("zip comment", archive.comment.decode("utf-8", "replace"))] if archive.comment else []
    hides = {"a comment"} if archive.comment else set()
    for info in infos:
        pieces.append(Piece("zip member's name", info.filename))
        if info.comment or info.extra:
            hides.add("comments or extra fields of members")
            pieces += [Piece("zip member's comment", text) for text in strings(info.comment + b"\n" + info.extra)]
        if info.is_dir():
            continue
        inner = member(archive.read(info))  # checks the CRC; the length is bounded by what the directory says
        pieces += [Piece(f"zip: {piece.place}", piece.text) for piece in inner.pieces]
        hides |= set(inner.hides)
    if beside := _beside(data, infos):
        hides.add("bytes beside the members")
        pieces += [Piece("bytes beside the members", text) for text in strings(beside)]
    kind = "office document" if "[Content_Types].xml" in archive.namelist() else _KIND
    return Contents(kind, tuple(pieces), tuple(sorted(hides)))


def _beside(data: bytes, infos: list[zipfile.ZipInfo]) -> bytes:
    """Bytes before, between and after the members and the directory."""
    end = data.rfind(_END)
    length = int.from_bytes(data[end + 20 : end + 22], "little")
    rest = [data[end + _END_SIZE + length :]]
    place = 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        head = data[info.header_offset : info.header_offset + 30]
        size = 30 + int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
        gap = data[place : info.header_offset]
        rest += [gap] if len(gap) > (_DESCRIPTOR if place else 0) else []
        place = info.header_offset + size + info.compress_size
    start = int.from_bytes(data[end + 16 : end + 20], "little")
    gap = data[place:start]
    return b"".join([*rest, gap if len(gap) > _DESCRIPTOR else b""])
