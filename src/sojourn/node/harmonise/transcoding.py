"""A text file of one byte a sign as UTF-8, piece by piece: the database cannot read Windows-1252."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path

CP1252, LATIN_1 = "cp1252", "latin-1"
SINGLE_BYTE = (CP1252, LATIN_1)
_PIECE = 1 << 20
_CONTROLS = bytes(range(0x80, 0xA0))  # of Latin-1: no text has them, Windows-1252 has signs there
_KEPT = "as a control sign"


def transcode(path: Path, to: Path, encoding: str, *, lenient: bool = False) -> None:
    """Write a file (or what its .gz holds) as UTF-8. ValueError where it is not in the encoding, or no sound gzip.

    lenient: the five bytes that Windows-1252 leaves open become control signs, as browsers do.
    """
    decoder = codecs.getincrementaldecoder(encoding)(errors=_KEPT if lenient else "strict")
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as read, to.open("w", encoding="utf-8", newline="") as write:
            while piece := read.read(_PIECE):
                if encoding == LATIN_1 and len(piece.translate(None, _CONTROLS)) != len(piece):
                    raise ValueError(encoding)
                write.write(decoder.decode(piece))
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ValueError("gzip") from None


def is_utf8(path: Path) -> bool:
    """Whether a whole file (or what its .gz holds) is UTF-8; of a damaged gzip, as far as it can be read."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    opener = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opener(path, "rb") as read:
            while piece := read.read(_PIECE):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    except (OSError, EOFError, zlib.error):
        return True
    return True


def _control(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return "".join(map(chr, error.object[error.start : error.end])), error.end


codecs.register_error(_KEPT, _control)
