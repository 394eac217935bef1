"""The readings of a text: as it stands, backwards, and what is encoded in it. Each is searched as if it stood there.

Known here: percent signs, character references, `\\u` escapes, quoted-printable, hexadecimal, base 32, base 64 (both
alphabets), reversal, and any two of them over one another. A cipher, a code book or a rearrangement is not: see the
page on channels.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import html
import quopri
import re
from collections.abc import Iterator

PLAIN = "plain"
_HEX = re.compile(r"(?:0x|\\x|%)?(?:[0-9A-Fa-f]{2}[ :-]?){4,}[0-9A-Fa-f]?")
_BASE32 = re.compile(r"[A-Z2-7]{8,}={0,6}|[a-z2-7]{8,}={0,6}")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}={0,2}")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")


def readings(text: str, depth: int = 2) -> Iterator[tuple[str, str]]:
    """Every reading with its name, `plain` first; what is encoded is decoded again, up to `depth` times."""
    waiting, seen = [(PLAIN, text)], {text}
    yield PLAIN, text
    yield "reversed", text[::-1]
    for _ in range(depth):
        found = []
        for name, inner in (one for _, outer in waiting for one in decoded(outer)):
            if inner not in seen:
                seen.add(inner)
                found.append((name, inner))
                yield name, inner
                yield f"{name}, reversed", inner[::-1]
        waiting = found


def decoded(text: str) -> Iterator[tuple[str, str]]:
    """What is encoded in a text, one step deep: the whole, or all parts of an encoding, as lines and run together."""
    for name, whole in (
        ("percent", _percent(text)),
        ("character references", html.unescape(text)),
        ("escapes", _ESCAPE.sub(_character, text)),
        ("quoted-printable", _quoted(text)),
    ):
        if whole != text:
            yield name, whole
    encodings = (("hexadecimal", _HEX, _hex), ("base 32", _BASE32, _base32), ("base 64", _BASE64, _base64))
    for name, shape, reader in encodings:
        parts: dict[int, list[str]] = {}
        for found in shape.finditer(text):
            for offset, inner in reader(found[0]):
                parts.setdefault(offset, []).append(inner)
        for found_parts in parts.values():
            yield name, "\n".join(found_parts)
            yield name, "".join(found_parts)


def _percent(text: str) -> str:
    # own lines, since urllib is the network's module and this one is pure
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.replace("+", " ").encode())
    return raw.decode("utf-8", "replace") if b"%" in text.encode() else text


def _character(found: re.Match[str]) -> str:
    number = int(next(filter(None, found.groups())), 16)
    return chr(number) if number < 0x110000 and not 0xD800 <= number < 0xE000 else " "


def _quoted(text: str) -> str:
    if not re.search(r"=[0-9A-F]{2}", text):
        return text
    return quopri.decodestring(text.encode()).decode("utf-8", "replace")


def _hex(found: str) -> Iterator[tuple[int, str]]:
    digits = re.sub(r"0x|\\x|[^0-9A-Fa-f]", "", found)
    if re.search(r"[A-Fa-f]", digits) and len(digits) <= 32:
        yield 2, f" {int(digits, 16)} "  # a number, written so
    for offset in (0, 1):
        shifted = digits[offset:]
        yield from ((offset, text) for text in _readable(bytes.fromhex(shifted[: len(shifted) & ~1])))


def _base32(found: str) -> Iterator[tuple[int, str]]:
    bare = found.rstrip("=").upper()
    with contextlib.suppress(binascii.Error):
        yield from ((0, text) for text in _readable(base64.b32decode(bare + "=" * (-len(bare) % 8))))


def _base64(found: str) -> Iterator[tuple[int, str]]:
    bare = found.rstrip("=").replace("-", "+").replace("_", "/")
    for offset in range(4):  # a piece of a longer text begins anywhere
        piece = bare[offset:]
        piece = piece[: len(piece) - (len(piece) % 4 == 1)]
        with contextlib.suppress(binascii.Error):
            yield from ((offset, text) for text in _readable(base64.b64decode(piece + "=" * (-len(piece) % 4))))


def _readable(raw: bytes) -> Iterator[str]:
    """The bytes as text where they could be one: letters of the European alphabets, digits, ordinary signs."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "latin-1"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        told = sum((sign.isalnum() and sign < "\u0530") or sign in " .,:;-_/\n" for sign in text)
        if told >= 0.8 * len(text) > 2:
            yield text
            return
