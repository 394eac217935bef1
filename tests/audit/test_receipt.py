"""Receipts: they verify offline, and no altered one does."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.audit.checkpoint import Checkpoint, sign
from sojourn.audit.entry import Entry
from sojourn.audit.proof import inclusion
from sojourn.audit.receipt import Receipt, decode, sequences
from sojourn.audit.tree import root
from sojourn.errors import AuditError
from sojourn.identity.keys import PrivateKey

ORIGIN = "sojourn.example/node/cleveland"
KEY = PrivateKey.generate()
ENTRIES = [
    Entry("release.sealed", "node:Zürich", study="s", facts={"n": n}).encode(n, "2026-01-01T00:00:00.000+00:00")
    for n in range(21)
]


@pytest.fixture(scope="module")
def receipts(grown):
    hashes = grown(ENTRIES)
    note = sign(Checkpoint(ORIGIN, 21, root(hashes, 21)), KEY)
    return [
        Receipt(ENTRIES[n], n, 21, tuple(value.hex() for value in inclusion(hashes, n, 21)), note) for n in range(21)
    ]


@given(st.integers(0, 20))
def test_a_receipt_survives_its_document_and_verifies(receipts, index):
    document = json.loads(json.dumps(receipts[index].to_dict()))
    receipt = Receipt.from_dict(document)
    assert receipt == receipts[index]
    entry = receipt.verify(ORIGIN, KEY.public)
    assert (entry["sequence"], entry["actor"], entry["facts"]) == (index, "node:Zürich", {"n": index})


@pytest.mark.parametrize(
    "change",
    [
        {"entry": ENTRIES[3].replace(b"sealed", b"denied")},
        {"entry": ENTRIES[4]},
        {"index": 4},
        {"index": -1},
        {"size": 20},
        {"proof": ()},
        {"proof": ("zz",)},
        {"proof": ("00",)},
        {"proof": ("00" * 32,) * 5},
        {"checkpoint": ""},
        {"checkpoint": sign(Checkpoint(ORIGIN, 21, bytes(32)), KEY)},
        {"checkpoint": sign(Checkpoint(ORIGIN, 22, bytes(32)), KEY)},
    ],
)
def test_no_altered_receipt_verifies(receipts, change):
    with pytest.raises(AuditError):
        replace(receipts[3], **change).verify(ORIGIN, KEY.public)


def test_another_log_or_key_does_not_verify(receipts):
    with pytest.raises(AuditError):
        receipts[3].verify("sojourn.example/hub", KEY.public)
    with pytest.raises(AuditError):
        receipts[3].verify(ORIGIN, PrivateKey.generate().public)


@pytest.mark.parametrize("data", [ENTRIES[5], b"not json", b"[]", b'{"sequence":"0"}', b'{"sequence":true}', b"\xff"])
def test_a_signed_log_cannot_prove_what_is_not_the_entry_of_that_place(grown, data):
    hashes = grown([data])
    note = sign(Checkpoint(ORIGIN, 1, root(hashes, 1)), KEY)
    with pytest.raises(AuditError):
        Receipt(data, 0, 1, (), note).verify(ORIGIN, KEY.public)


@pytest.mark.parametrize(
    "change",
    [
        {"entry": 1},
        {"index": "0"},
        {"index": True},
        {"size": 1.0},
        {"proof": "00"},
        {"proof": [1]},
        {"more": 1},
        {"entry": chr(0xD800)},
        {"checkpoint": None},
    ],
)
def test_documents_of_another_form_are_refused(receipts, change):
    with pytest.raises(AuditError):
        Receipt.from_dict({**receipts[0].to_dict(), **change})


def test_a_document_without_a_field_is_refused(receipts):
    document = receipts[0].to_dict()
    del document["proof"]
    with pytest.raises(AuditError):
        Receipt.from_dict(document)


ODD = [
    "[3]",
    '"sequence"',
    '{"sequence":true}',
    '{"sequence":1.0}',
    '{"sequence":"1"}',
    "{}",
    "{",
    "NaN",
    '{"sequence":NaN}',
]
ODD += [
    '{"sequence":7,"more":"\\ud800"}',
    '{"sequence":1,"sequence":2}',
    '{"sequence":' + "9" * 40 + "}",
    "[" * 9000,
    "\xff",
]


@given(
    st.lists(
        st.one_of(st.sampled_from(ODD).map(str.encode), st.sampled_from(ENTRIES), st.binary(max_size=9)), max_size=5
    )
)
def test_many_places_are_read_as_each_alone_is(entries):
    try:
        alone = [decode(data)["sequence"] for data in entries]
    except AuditError as error:
        with pytest.raises(AuditError, match=str(error.args[0])):
            sequences(entries)
    else:
        found = sequences(entries)
        assert found == alone and all(type(place) is int for place in found)
