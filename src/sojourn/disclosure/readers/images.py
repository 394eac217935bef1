"""Images: their text, comments and metadata, and what stands after their end. Pixels are not read: images never pass.

PNG: W3C Portable Network Graphics (third edition). JPEG: ITU-T T.81, Exif and XMP by their strings. GIF: GIF89a, by its
strings. No decoder is run: a hostile picture meets forty lines that count bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from sojourn.disclosure.readers.contents import Contents, Piece, damaged, inflate, strings

PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8"
KINDS = {PNG: "PNG image", JPEG: "JPEG image", GIF: "GIF image"}
AFTER = "bytes after the end of the image"
_SHOWN = {"IHDR", "PLTE", "IDAT", "IEND", "tRNS", "gAMA", "cHRM", "sRGB", "pHYs", "sBIT", "bKGD", "hIST"}
_NO_LENGTH = {0x01, *range(0xD0, 0xD8)}


def read_image(data: bytes) -> Contents:
    """An image of a kind known by its first bytes."""
    for start, reader in ((PNG, _png), (JPEG, _jpeg)):
        if data.startswith(start):
            return reader(data)
    return Contents("image", _pieces("image bytes", data), ("metadata",))


def _png(data: bytes) -> Contents:
    pieces: list[Piece] = []
    hides: set[str] = set()
    place = len(PNG)
    kind = ""
    while kind != "IEND":
        size = int.from_bytes(data[place : place + 4], "big")
        head, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        check = data[place + 8 + size : place + 12 + size]
        if len(check) != 4 or zlib.crc32(head + body) != int.from_bytes(check, "big") or not head.isalpha():
            raise damaged("PNG image")
        kind = head.decode("ascii")
        if kind not in _SHOWN:
            hides.add("metadata")
            pieces += _chunk(kind, body)
        place += 12 + size
    if rest := data[place:]:
        hides.add(AFTER)
        pieces += _pieces(AFTER, rest)
    return Contents(KINDS[PNG], tuple(pieces), tuple(sorted(hides)))


def _chunk(kind: str, body: bytes) -> Iterator[Piece]:
    place = f"PNG {kind}" if kind in ("tEXt", "zTXt", "iTXt", "eXIf", "tIME", "iCCP") else "PNG chunk of another kind"
    keyword, _, rest = body.partition(b"\0")
    if kind == "tEXt":
        yield Piece(place, f"{keyword.decode('latin-1')} {rest.decode('latin-1')}")
    elif kind in ("zTXt", "iCCP"):
        yield Piece(place, keyword.decode("latin-1"))
        yield from _pieces(place, inflate(rest[1:], "PNG image"))
    elif kind == "iTXt":
        packed, (language, translated, text) = rest[:1], [*rest[2:].split(b"\0", 2), b"", b""][:3]
        text = inflate(text, "PNG image") if packed == b"\1" else text
        yield Piece(place, b" ".join((keyword, language, translated, text)).decode("utf-8", "replace"))
    else:
        yield Piece(place, kind)
        yield from _pieces(place, body)


def _jpeg(data: bytes) -> Contents:
    pieces: list[Piece] = []
    hides: set[str] = set()
    place = 2
    while True:
        if place + 2 > len(data) or data[place] != 0xFF:
            raise damaged("JPEG image")
        mark = data[place + 1]
        place += 2
        if mark == 0xD9:
            break
        if mark in _NO_LENGTH or mark == 0xFF:
            place -= mark == 0xFF
            continue
        size = int.from_bytes(data[place : place + 2], "big")
        body = data[place + 2 : place + size]
        if size < 2 or len(body) != size - 2:
            raise damaged("JPEG image")
        if mark == 0xFE or (0xE1 <= mark <= 0xEF):
            hides.add("metadata")
            pieces += _pieces("JPEG comment" if mark == 0xFE else "JPEG metadata", body)
        place += size
        if mark == 0xDA:
            place = _after_scan(data, place)
    if rest := data[place:]:
        hides.add(AFTER)
        pieces += _pieces(AFTER, rest)
    return Contents(KINDS[JPEG], tuple(pieces), tuple(sorted(hides)))


def _after_scan(data: bytes, place: int) -> int:
    """The place of the first mark that is neither a stuffed byte nor a restart."""
    while (place := data.find(b"\xff", place)) >= 0:
        following = data[place + 1 : place + 2]
        if following and following != b"\0" and not 0xD0 <= following[0] <= 0xD7:
            return place
        place += 2
    raise damaged("JPEG image")


def _pieces(place: str, data: bytes) -> tuple[Piece, ...]:
    return tuple(Piece(place, text) for text in strings(data))
