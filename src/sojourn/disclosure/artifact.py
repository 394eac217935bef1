"""Outputs that are no typed statistic: text, log, table file, notebook, image, archive, binary. Always high risk.

Law: none of them ever leaves by itself. `judge_artifact` says what is in it for the people who check: places and kinds
of what looks like an identifier, what the site's own fingerprints find, what no viewer shows. An image never passes:
figures are drawn from cleared tables. A file that cannot be examined to its end is refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sojourn.disclosure.fingerprints import Match
from sojourn.disclosure.identifiers import identifier_spots
from sojourn.disclosure.output import Tier, Verdict
from sojourn.disclosure.readers.archives import OTHER, ZIP, read_archive
from sojourn.disclosure.readers.contents import MOST_BYTES, MOST_TEXT, Contents, Piece, refused, strings
from sojourn.disclosure.readers.documents import read_csv, read_json, read_pdf, read_xml
from sojourn.disclosure.readers.images import KINDS, read_image
from sojourn.disclosure.text import HIDDEN, MIXED, Spot, character_spots
from sojourn.errors import FileRefused

DIGITS = 6  # significant, of numbers that no certified statistic computed
BITS_A_NUMBER = DIGITS * math.log2(10)  # what one such number can carry at the most
TEXT, BINARY, EMPTY = "text", "binary file", "empty file"
_PICTURES = frozenset((*KINDS.values(), "image", "SVG image"))
_TEXT_SHARE = 0.85


@dataclass(frozen=True)
class Seen:
    """A kind of thing in a kind of place, how often, and where first (sign of that piece's text)."""

    kind: str
    place: str
    times: int
    first: int


@dataclass(frozen=True)
class Judgement:
    """What a checker sees of a file. verdict: REFUSE, or RELEASE once two people have approved these very bytes.

    seen, matches: findings without the text itself; matches name columns and are for the site alone. hides: what no
    viewer shows. numbers, bits: what it can carry beside what it says, for a table or JSON in its canonical form.
    """

    sha256: str
    size: int
    kind: str
    verdict: Verdict
    tier: Tier = Tier.HIGH
    why: str = ""  # of a refusal, with its remedy
    seen: tuple[Seen, ...] = ()
    matches: tuple[Match, ...] = ()
    hides: tuple[str, ...] = ()
    numbers: int = 0
    bits: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether nothing was found; it is for people to judge all the same."""
        return self.verdict is Verdict.RELEASE and not (self.seen or self.matches or self.hides)


def judge_artifact(data: bytes, find: Callable[[str], tuple[Match, ...]]) -> Judgement:
    """Examine one file. find: searches a text for the site's fingerprints (`fingerprints.scan`). Never raises."""
    sha256, kind = hashlib.sha256(data).hexdigest(), "unknown"
    try:
        contents = read(data)
        kind = contents.kind
        whole = "\n".join(piece.text for piece in contents.pieces)  # what is spread over several is found too
        matches = set(find(whole)) if whole else set()
        seen = _seen(contents.pieces)
    except FileRefused as error:
        return Judgement(sha256, len(data), kind, Verdict.REFUSE, why=str(error))
    except Exception as error:  # a check that fails is a refusal; its text may quote the file
        return Judgement(
            sha256, len(data), kind, Verdict.REFUSE, why=f"The examination failed ({type(error).__name__})."
        )
    picture = kind in _PICTURES
    why = "Images never pass: figures are drawn from cleared tables after their release." if picture else ""
    numbers = sum(len(_LITERAL.findall(piece.text)) for piece in contents.pieces)
    return Judgement(
        sha256,
        len(data),
        kind,
        Verdict.REFUSE if picture else Verdict.RELEASE,
        why=why,
        seen=seen,
        matches=tuple(sorted(matches, key=lambda match: (match.kind, match.column, match.reading))),
        hides=contents.hides,
        numbers=numbers,
        bits=round(numbers * BITS_A_NUMBER, 1),
    )


_LITERAL = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def read(data: bytes, depth: int = 0) -> Contents:
    """All that a file says, by what it is, not by its name; FileRefused where it cannot be read to its end."""
    if len(data) > MOST_BYTES:
        raise refused("The file is too large to be examined.", "Give it in parts.")
    contents = _read(data, depth)
    if sum(len(piece.text) for piece in contents.pieces) > MOST_TEXT:
        raise refused("The file holds more text than can be examined.", "Give it in parts.")
    return contents


def _read(data: bytes, depth: int) -> Contents:
    if not data:
        return Contents(EMPTY)
    if data.startswith((*OTHER, *ZIP)) and (depth or data.startswith(OTHER)):
        raise refused("The file is an archive inside another, or of a kind that is not read.", "Unpack it.")
    if data.startswith(ZIP):
        return read_archive(data, lambda member: read(member, depth + 1))
    if data.startswith(tuple(KINDS)) or data[:4] in (b"RIFF", b"II*\0", b"MM\0*"):
        return read_image(data)
    if data.startswith(b"%PDF-"):
        return read_pdf(data)
    text = _text(data)
    if text is None:
        return Contents(BINARY, tuple(Piece("bytes", found) for found in strings(data)), ("bytes of an unknown kind",))

    def inner(raw: bytes) -> Contents:
        return read(raw, depth + 1) if depth < 2 else Contents(BINARY, (), ("files inside files",))

    if re.match(r"\s*<(\?xml|!DOCTYPE|!--|[A-Za-z])", text):
        return read_xml(data, inner)
    return read_json(text, inner) or read_csv(text) or Contents(TEXT, (Piece(TEXT, text),))


def _text(data: bytes) -> str | None:
    """The text of a file, None where it is none; FileRefused where it is one in another encoding."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError:
            raise refused("The text is not sound UTF-16.", "Export it as UTF-8.") from None
    if b"\0" in data:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        readable = sum(byte >= 0xA0 or 0x20 <= byte < 0x7F or byte in b"\t\n\r" for byte in data)
        if readable >= _TEXT_SHARE * len(data):
            raise refused("The text is not UTF-8.", "Export it as UTF-8.") from None
        return None


def _seen(pieces: tuple[Piece, ...]) -> tuple[Seen, ...]:
    found: dict[tuple[str, str], list[Spot]] = {}
    for piece in pieces:
        for spot in (*_characters(piece.text), *identifier_spots(piece.text)):
            found.setdefault((spot.kind, piece.place), []).append(spot)
    return tuple(
        Seen(kind, place, len(spots), min(spot.start for spot in spots))
        for (kind, place), spots in sorted(found.items())
    )


def _characters(text: str) -> list[Spot]:
    return [spot for spot in character_spots(text) if spot.kind in (HIDDEN, MIXED)]


# ---- canonical forms: one document has one file


def canonical_json(data: bytes) -> bytes:
    """The same document with sorted names, no space, numbers of six digits. The order of lists is content; it stays."""
    text = _text(data)
    if text is None or (found := read_json(text, lambda raw: read(raw, 1))) is None or found.hides:
        raise refused("The file is no JSON document, or holds another file.", "Give one object or list of JSON.")
    document = json.loads(text)
    return json.dumps(_plain(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def canonical_csv(data: bytes) -> bytes:
    """The same table with sorted columns and rows, numbers of six digits, one way of quoting, one kind of line end."""
    text = _text(data)
    if text is None or read_csv(text) is None:
        raise refused("The file is no table.", "Give a first line of names and at least one row, all of one length.")
    lines = text.splitlines()
    delimiter = max(",;\t|", key=lines[0].count)
    head, *body = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, strict=True)
    if len(set(head)) != len(head) or any(len(row) != len(head) for row in body):
        raise refused("The table names a column twice, or has rows of several lengths.")
    order = sorted(range(len(head)), key=lambda at: head[at])
    rows = sorted([_cell(row[at]) for at in order] for row in body)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([[head[at] for at in order], *rows])
    return out.getvalue().encode()


def _cell(text: str) -> str:
    text = text.strip()
    return number_text(float(text)) if _LITERAL.fullmatch(text) else text


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        number = float(number_text(float(value)))
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value]


def number_text(value: float) -> str:
    """A number with six significant digits, one text for one number; FileRefused for what is not finite."""
    if not math.isfinite(value):
        raise refused("The file holds a number that is none.", "Write what is missing as an empty field or null.")
    return f"{value:.{DIGITS}g}" if value else "0"
