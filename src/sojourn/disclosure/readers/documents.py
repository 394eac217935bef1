"""Documents of text: JSON and notebooks, CSV, XML and SVG, PDF."""

from __future__ import annotations

import base64
import binascii
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from xml.parsers import expat

from sojourn.disclosure.readers.contents import MOST_TEXT, Contents, Piece, damaged, refused, strings

_DEPTH = 100
_FIRST_ROWS = 50
_DATA_ADDRESS = re.compile(r"data:[^,;]{0,80};base64,([A-Za-z0-9+/=\s]+)")
_ENCODED = re.compile(r"[A-Za-z0-9+/\s]{64,}={0,2}\s*")


def read_json(text: str, inner: Callable[[bytes], Contents]) -> Contents | None:
    """A JSON document or notebook, None where it is none. What is encoded in its texts is read too."""
    try:
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise refused("The document is nested too deep.") from None
    except json.JSONDecodeError:
        return None
    if not isinstance(document, dict | list):
        return None
    pieces, hides = [Piece("JSON", text)], set()
    for value in _texts(document, 0):
        found = _embedded(value, inner)
        if found is not None:
            hides.add("files inside texts")
            pieces += [Piece(f"in JSON: {piece.place}", piece.text) for piece in found.pieces]
    notebook = isinstance(document, dict) and {"cells", "nbformat"} <= set(document)
    return Contents("notebook" if notebook else "JSON document", tuple(pieces), tuple(sorted(hides)))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise refused("A name stands twice in one object.")
    return dict(pairs)


def _no_number(word: str) -> None:
    raise refused("The document holds a number that is none.", "Write what is missing as null.")


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        raise refused("The document is nested too deep.")
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        parts = [*value, *value.values()] if isinstance(value, dict) else value
        for part in parts:
            yield from _texts(part, depth + 1)


def _embedded(text: str, inner: Callable[[bytes], Contents]) -> Contents | None:
    found = _DATA_ADDRESS.search(text)
    encoded = found[1] if found else text if _ENCODED.fullmatch(text) else ""
    try:
        raw = base64.b64decode(re.sub(r"\s", "", encoded), validate=True)
    except (binascii.Error, ValueError):
        return None
    return inner(raw) if raw else None


def read_csv(text: str) -> Contents | None:
    """A table of at least two rows and columns, None where the text is none."""
    lines = text.splitlines()
    if len(lines) < 2 or not lines[0]:
        return None
    delimiter = max(",;\t|", key=lines[0].count)
    try:
        rows = list(csv.reader(io.StringIO("\n".join(lines[:_FIRST_ROWS])), delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    if len(rows[0]) < 2 or len({len(row) for row in rows}) != 1:
        return None
    formulas = re.search(r"(?:^|[,;\t|\n])\"?[=+@-][A-Za-z(|]", text)
    return Contents("CSV table", (Piece("CSV", text),), ("formulas",) if formulas else ())


def read_xml(data: bytes, inner: Callable[[bytes], Contents]) -> Contents:
    """XML, SVG and HTML that is XML: texts, attributes, comments, instructions. Declared entities are refused."""
    pieces: list[Piece] = []
    names: list[str] = []
    hides: set[str] = set()
    parser = expat.ParserCreate()

    def entity(*_: object) -> None:
        raise refused("The document declares entities or a document type.", "Export it without them.")

    def element(name: str, attributes: dict[str, str]) -> None:
        names.append(name.rpartition(":")[2])
        for word, value in attributes.items():
            pieces.append(Piece("XML attribute", f"{word} {value}"))
            if (found := _embedded(value, inner)) is not None:
                hides.add("files inside texts")
                pieces.extend(Piece(f"in XML: {piece.place}", piece.text) for piece in found.pieces)
            if word.startswith("data-"):
                hides.add("data attributes")

    def comment(text: str) -> None:
        hides.add("a comment")
        pieces.append(Piece("XML comment", text))

    def text(value: str) -> None:
        pieces.append(Piece("XML text", value))

    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = entity
    parser.StartElementHandler, parser.CharacterDataHandler, parser.CommentHandler = element, text, comment
    parser.ProcessingInstructionHandler = lambda target, value: comment(f"{target} {value}")
    parser.buffer_text = True
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError):
        raise damaged("XML document") from None
    hides |= {"a title or description"} if {"title", "desc", "metadata"} & set(names) else set()
    hides |= {"scripts or foreign objects"} if {"script", "foreignObject"} & set(names) else set()
    return Contents("SVG image" if names[:1] == ["svg"] else "XML document", tuple(pieces), tuple(sorted(hides)))


def read_pdf(data: bytes) -> Contents:
    """A PDF's information, XMP, pages' texts, notes and attached files."""
    import pypdf  # loads with the first PDF, not with an idle node
    from pypdf.errors import PyPdfError

    if b"%%EOF" not in data[-2048:]:
        raise damaged("PDF document")
    try:
        document = pypdf.PdfReader(io.BytesIO(data), strict=False)
        if document.is_encrypted:
            raise refused("The PDF document is encrypted.", "Export it without a password.")
        pieces = [*_pdf_pieces(document)]
    except (PyPdfError, ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, RecursionError):
        raise damaged("PDF document") from None
    hides = {"metadata"} if any(piece.place == "PDF metadata" for piece in pieces) else set()
    hides |= {"notes"} if any(piece.place == "PDF note" for piece in pieces) else set()
    if document.attachments or b"/EmbeddedFile" in data or b"/JavaScript" in data:
        hides.add("files or scripts inside")
    if rest := data[data.rfind(b"%%EOF") + 5 :].strip():
        hides.add("bytes after the end")
        pieces += [Piece("bytes after the end", text) for text in strings(rest)]
    pieces += [Piece("PDF bytes", text) for text in strings(data)]
    return Contents("PDF document", tuple(pieces), tuple(sorted(hides)))


def _pdf_pieces(document: Any) -> Iterator[Piece]:
    for name, value in (document.metadata or {}).items():
        yield Piece("PDF metadata", f"{name} {value}")
    if document.xmp_metadata is not None:
        yield Piece("PDF metadata", document.xmp_metadata.stream.get_data().decode("utf-8", "replace"))
    said = 0
    for page in document.pages:
        text = page.extract_text()
        said += len(text)
        if said > MOST_TEXT:
            raise refused("The document is too long to be examined.", "Give it in parts.")
        yield Piece("PDF text", text)
        for note in page.get("/Annots") or []:
            yield Piece("PDF note", str(note.get_object().get("/Contents", "")))
    for name, files in document.attachments.items():
        yield Piece("PDF attachment", name)
        for file in files:
            yield from (Piece("PDF attachment", text) for text in strings(file))
