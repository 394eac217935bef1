"""What a reader finds in a file: pieces of text, each with the kind of place where it stands, and fixed words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from sojourn.errors import FileRefused

MOST_BYTES = 64 << 20  # of a file
MOST_TEXT = 2 << 20  # signs, of all pieces together; searching them takes minutes
MOST_UNPACKED = 64 << 20
MOST_RATIO = 200  # unpacked to packed; what is larger is no document
_ASCII = re.compile(rb"[\x20-\x7e\t]{4,}")
_WIDE = re.compile(rb"(?:[\x20-\x7e]\x00){4,}")


@dataclass(frozen=True)
class Piece:
    """A text in a file. place: `PNG tEXt`, `zip comment`, …: words of a reader, nothing out of the file."""

    place: str
    text: str


@dataclass(frozen=True)
class Contents:
    """All that a file says. kind: `PNG image`, `CSV table`, …; hides: what no viewer shows, in fixed words."""

    kind: str
    pieces: tuple[Piece, ...] = ()
    hides: tuple[str, ...] = ()


def refused(what: str, remedy: str = "Export the file again.") -> FileRefused:
    """The error of every reader; its words hold nothing of the file."""
    return FileRefused(what, remedy=remedy)


def damaged(kind: str) -> FileRefused:
    """A file that ends early or contradicts itself."""
    return refused(f"The {kind} is cut off or damaged.")


def inflate(packed: bytes, kind: str) -> bytes:
    """What zlib packed, within bounds."""
    most = min(MOST_UNPACKED, max(1 << 16, MOST_RATIO * len(packed)))
    unpacker = zlib.decompressobj()
    try:
        out = unpacker.decompress(packed, most)
    except zlib.error:
        raise damaged(kind) from None
    if unpacker.unconsumed_tail:
        raise bomb()
    return out


def bomb() -> FileRefused:
    """A file that unpacks to far more than it holds."""
    return refused("The file unpacks to more than a document does.", "Give the files themselves, unpacked.")


def strings(data: bytes) -> Iterator[str]:
    """Runs of readable signs in bytes of an unknown kind: ASCII, UTF-16, and UTF-8 where all of it is."""
    try:
        yield data.decode("utf-8")
    except UnicodeDecodeError:
        yield b"\n".join(_ASCII.findall(data)).decode("ascii")
    for wide in (data, data[1:]):
        if found := b"\n".join(run[::2] for run in _WIDE.findall(wide)):
            yield found.decode("ascii")
            return
