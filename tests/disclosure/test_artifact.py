"""Files that no statistic made: all that they say is found, what is broken is refused, none leaves by itself."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sojourn.disclosure.artifact import Judgement, canonical_csv, canonical_json, judge_artifact, read
from sojourn.disclosure.fingerprints import Match
from sojourn.disclosure.output import Tier, Verdict
from sojourn.errors import FileRefused

SECRET = "Canary7731"


def find(text: str) -> tuple[Match, ...]:
    return (Match("identifier", "name"),) if SECRET in text else ()


def judged(data: bytes) -> Judgement:
    return judge_artifact(data, find)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(*chunks: bytes, after: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + pixels + chunk(b"IEND", b"") + after


def jpeg(*segments: bytes, after: bytes = b"") -> bytes:
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\1\1\0\0\x3f\0" + b"\x12\xff\x00\x34"
    return b"\xff\xd8" + b"".join(segments) + scan + b"\xff\xd9" + after


def segment(mark: int, body: bytes) -> bytes:
    return bytes((0xFF, mark)) + struct.pack(">H", len(body) + 2) + body


def zipped(members: dict[str, bytes], comment: bytes = b"", extra: bytes = b"", stored: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.extra = extra
            info.compress_type = archive.compression
            archive.writestr(info, data)
        archive.comment = comment
    return out.getvalue()


def pdf(title: str = "x", note: str = "", text: str = "", after: bytes = b"") -> bytes:
    import pypdf
    from pypdf.annotations import Text
    from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

    writer = pypdf.PdfWriter()
    page = writer.add_blank_page(200, 200)
    writer.add_metadata({"/Title": title})
    if note:
        writer.add_annotation(0, Text(rect=(0, 0, 9, 9), text=note))
    if text:
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf ({text}) Tj ET".encode())
        font = DictionaryObject(
            {NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")}
        )
        font[NameObject("/BaseFont")] = NameObject("/Helvetica")
        fonts = DictionaryObject({NameObject("/F1"): font})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        page[NameObject("/Contents")] = writer._add_object(stream.flate_encode())
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue() + after


def svg(inside: str, attributes: str = "") -> bytes:
    return f'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" {attributes}>{inside}</svg>'.encode()


EXIF = b"Exif\0\0II*\0" + b"\0" * 8 + SECRET.encode() + b"\0"
HIDING: dict[str, Callable[[], bytes]] = {
    "PNG tEXt": lambda: png(chunk(b"tEXt", b"Author\0" + SECRET.encode())),
    "PNG zTXt": lambda: png(chunk(b"zTXt", b"Author\0\0" + zlib.compress(SECRET.encode()))),
    "PNG iTXt": lambda: png(chunk(b"iTXt", b"Author\0\0\0en\0a\0" + SECRET.encode())),
    "PNG iTXt, packed": lambda: png(chunk(b"iTXt", b"Author\0\1\0en\0a\0" + zlib.compress(SECRET.encode()))),
    "PNG eXIf": lambda: png(chunk(b"eXIf", EXIF[6:])),
    "PNG private chunk": lambda: png(chunk(b"prVt", SECRET.encode())),
    "PNG after the end": lambda: png(after=SECRET.encode()),
    "JPEG comment": lambda: jpeg(segment(0xFE, SECRET.encode())),
    "JPEG Exif": lambda: jpeg(segment(0xE1, EXIF)),
    "JPEG XMP, UTF-16": lambda: jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRET.encode("utf-16-le"))),
    "JPEG after the end": lambda: jpeg(after=SECRET.encode()),
    "GIF comment": lambda: b"GIF89a\1\0\1\0\0\0\0!\xfe\x0a" + SECRET.encode() + b"\0;",
    "zip comment": lambda: zipped({"a.txt": b"x"}, comment=SECRET.encode()),
    "zip name": lambda: zipped({f"{SECRET}.txt": b"x"}),
    "zip folder": lambda: zipped({f"{SECRET}/": b""}),
    "zip extra field": lambda: zipped({"a.txt": b"x"}, extra=b"\xfe\xca\x0a\0" + SECRET.encode()),
    "zip member": lambda: zipped({"a.txt": SECRET.encode()}),
    "zip before the members": lambda: SECRET.encode() + b" " * 20 + zipped({"a.txt": b"x"}),
    "zip after the end": lambda: zipped({"a.txt": b"x"}) + SECRET.encode(),
    "office document": lambda: zipped({"[Content_Types].xml": b"<a/>", "w.xml": f"<w><t>{SECRET}</t></w>".encode()}),
    "PDF title": lambda: pdf(title=SECRET),
    "PDF note": lambda: pdf(note=SECRET),
    "PDF text": lambda: pdf(text=SECRET),
    "PDF after the end": lambda: pdf(after=SECRET.encode()),
    "SVG title": lambda: svg(f"<title>{SECRET}</title>"),
    "SVG comment": lambda: svg(f"<!-- {SECRET} -->"),
    "SVG data attribute": lambda: svg("<g/>", f'data-x="{SECRET}"'),
    "SVG picture": lambda: svg(
        '<image href="data:image/png;base64,'
        + base64.b64encode(png(chunk(b"tEXt", b"a\0" + SECRET.encode()))).decode()
        + '"/>'
    ),
    "JSON name": lambda: json.dumps({SECRET: 1}).encode(),
    "JSON list": lambda: json.dumps([[{"a": [SECRET]}]]).encode(),
    "notebook output": lambda: json.dumps(
        {
            "nbformat": 4,
            "cells": [
                {"outputs": [{"image/png": base64.b64encode(png(chunk(b"tEXt", b"a\0" + SECRET.encode()))).decode()}]}
            ],
        }
    ).encode(),
    "CSV": lambda: f"a,b\n1,{SECRET}\n".encode(),
    "log": lambda: f"INFO started\nERROR {SECRET}\n".encode(),
    "UTF-16 text": lambda: SECRET.encode("utf-16"),
    "bytes": lambda: b"\0\1\2\xfe" + SECRET.encode() + b"\0\xff",
    "bytes, UTF-16": lambda: b"\0\1\2\xfe" + SECRET.encode("utf-16-le") + b"\0\xff",
}  # fmt: skip


@pytest.mark.parametrize("place", HIDING)
def test_what_hides_in_a_file_is_found(place: str) -> None:
    """Each kind of place, with the same file without the name beside it."""
    found = judged(HIDING[place]())
    assert found.matches == (Match("identifier", "name"),), found
    assert found.tier is Tier.HIGH and not found.clean
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "data", [png(), jpeg(), b"GIF89a\1\0\1\0\0\0\0;", svg("<g/>")], ids=["png", "jpeg", "gif", "svg"]
)
def test_images_never_pass(data: bytes) -> None:
    found = judged(data)
    assert found.verdict is Verdict.REFUSE and "drawn from cleared tables" in found.why


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "empty file"),
        (b"all went well\n", "text"),
        (b"a,b\n1,2\n3,4\n", "CSV table"),
        (b'{"a": [1, 2.5]}', "JSON document"),
        (json.dumps({"nbformat": 4, "cells": []}).encode(), "notebook"),
        (zipped({"a.txt": b"hello"}), "zip archive"),
        (zipped({"[Content_Types].xml": b"<a/>"}), "office document"),
        (b"\0\1\2\3", "binary file"),
        (b"<a><b/></a>", "XML document"),
        (pdf(), "PDF document"),
    ],
)
def test_every_file_is_high_risk_even_where_nothing_is_found(data: bytes, kind: str) -> None:
    found = judged(data)
    assert (found.kind, found.tier, found.verdict) == (kind, Tier.HIGH, Verdict.RELEASE)
    assert found.matches == ()


def deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def bomb_member() -> bytes:
    return zipped({"zeros": bytes(30 << 20)})


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "PNG cut": (lambda: png()[:-6], "damaged"),
    "PNG with a wrong sum": (lambda: png()[:20] + b"\7" + png()[21:], "damaged"),
    "PNG bomb": (lambda: png(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(40 << 20)))), "unpacks to more"),
    "JPEG cut": (lambda: jpeg()[:-4], "damaged"),
    "zip cut": (lambda: zipped({"a.txt": b"hello" * 99})[:-30], "damaged"),
    "zip with wrong bytes": (lambda: zipped({"a.txt": b"hello"}, stored=True).replace(b"hello", b"jello"), "damaged"),
    "zip bomb": (bomb_member, "unpacks to more"),
    "zip in a zip": (lambda: zipped({"b.zip": zipped({"a": b"x"})}), "archive inside another"),
    "gzip": (lambda: b"\x1f\x8b\x08\0\0", "of a kind that is not read"),
    "gzip in a zip": (lambda: zipped({"a.gz": b"\x1f\x8b\x08\0"}), "archive inside another"),
    "zip in JSON": (
        lambda: json.dumps([base64.b64encode(zipped({"a": b"x" * 50})).decode()]).encode(),
        "inside another",
    ),
    "PDF cut": (lambda: pdf()[:-20], "damaged"),
    "PDF of nothing": (lambda: b"%PDF-1.7 nothing %%EOF", "damaged"),
    "Latin-1 text": (lambda: ("Größe und Maß " * 5).encode("latin-1"), "not UTF-8"),
    "UTF-16 cut": (lambda: "x".encode("utf-16") + b"\0", "not sound UTF-16"),
    "XML entities": (lambda: b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "declares entities"),
    "XML cut": (lambda: b"<a><b></a>", "damaged"),
    "JSON too deep": (lambda: deep(200), "nested too deep"),
    "JSON far too deep": (lambda: deep(100_000), "nested too deep"),
    "JSON twice": (lambda: b'{"a": 1, "a": 2}', "stands twice"),
    "JSON NaN": (lambda: b'{"a": NaN}', "number that is none"),
    "too large": (lambda: b"a" * (64 * 1024 * 1024 + 1), "too large"),
    "too much text": (lambda: b"a b\n" * (3 << 20), "more text"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_files_are_refused_in_clear_words(what: str) -> None:
    make, words = BAD[what]
    found = judged(make())
    assert found.verdict is Verdict.REFUSE and words in found.why and "Remedy: " in found.why, found


def test_a_check_that_fails_is_a_refusal_without_its_text() -> None:
    def broken(text: str) -> tuple[Match, ...]:
        raise RuntimeError(text)

    found = judge_artifact(SECRET.encode(), broken)
    assert found.verdict is Verdict.REFUSE and SECRET not in repr(found)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_the_examination_fail(data: bytes) -> None:
    found = judged(data)
    assert found.tier is Tier.HIGH and "examination failed" not in found.why


@settings(deadline=None)
@given(st.sampled_from([png(), jpeg(), zipped({"a.txt": b"hello"}), pdf(), svg("<g/>")]), st.data())
def test_no_changed_byte_makes_the_examination_fail(data: bytes, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, len(data) - 1))
    changed = data[:place] + bytes([draw.draw(st.integers(0, 255))]) + data[place + 1 :]
    assert "examination failed" not in judged(changed).why


class TestCanonical:
    """One document has one file: what can be written in two ways cannot carry a bit by the choice."""

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (b"a,b\n1.0000001,x\n2,y\n", b'b;a\n"y";2.0\nx;1\n'),
            (b"a,b\n-0.0,x\n", b"a,b\r\n0,x\r\n"),
            (b"a\tb\n1e3\tx\n", b"b,a\nx,1000\n"),
        ],
    )
    def test_tables(self, one: bytes, other: bytes) -> None:
        assert canonical_csv(one) == canonical_csv(other)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (b'{"a": 1.00000001, "b": [true, null]}', b'{ "b":[true,null],"a":1 }\n'),
            (b'{"a": -0.0}', b'{"a": 0}'),
            (b'{"a": 1e3}', b'{"a": 1000.0000001}'),
            (b'{"\\u0061": 2}', b'{"a": 2.0}'),
        ],
    )
    def test_json(self, one: bytes, other: bytes) -> None:
        assert canonical_json(one) == canonical_json(other)

    @settings(deadline=None)
    @given(st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=5))
    def test_twice_is_once(self, document: dict[str, float]) -> None:
        once = canonical_json(json.dumps(document).encode())
        assert canonical_json(once) == once

    def test_digits_beyond_six_are_gone(self) -> None:
        assert b"0.123457" in canonical_csv(b"a,b\n0.12345678901234,x\n")

    @pytest.mark.parametrize("data", [b"text", b'"text"', b"a,a\n1,2\n", b"a,b\n1e999,2\n", b"\0"])
    def test_what_has_no_canonical_form_is_refused(self, data: bytes) -> None:
        for canonical in (canonical_csv, canonical_json):
            with pytest.raises(FileRefused):
                canonical(data)


def test_capacity_is_told() -> None:
    found = judged(b"a,b\n" + b"1.25,2.5\n" * 50)
    assert found.numbers == 100 and found.bits == pytest.approx(1993.2, abs=0.1)


def test_reading_never_opens_a_file_of_that_name() -> None:
    assert read(b"/etc/passwd").pieces[0].text == "/etc/passwd"
