"""Checkpoints by the rules of C2SP tlog-checkpoint and signed-note."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.audit.checkpoint import Checkpoint, read, sign
from sojourn.audit.tree import leaf_hash
from sojourn.errors import AuditError
from sojourn.identity.keys import PrivateKey, PublicKey

ORIGIN = "sojourn.example/hub"
KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()
CHECKPOINT = Checkpoint(ORIGIN, 42, leaf_hash(b"root"))
NOTE = sign(CHECKPOINT, KEY)


def signed_by_hand(text: str, key: PrivateKey = KEY, name: str = ORIGIN) -> str:
    """A note over any text, made here from the specification alone."""
    key_id = hashlib.sha256(name.encode() + b"\n\x01" + key.public.raw).digest()[:4]
    blob = base64.b64encode(key_id + key.sign(text.encode())).decode()
    return f"{text}\n— {name} {blob}\n"


def line(key: PrivateKey, name: str) -> str:
    return signed_by_hand(CHECKPOINT.text(), key, name).splitlines()[-1] + "\n"


def test_the_note_is_what_the_specification_says():
    root = base64.b64encode(CHECKPOINT.root).decode()
    assert NOTE.startswith(f"{ORIGIN}\n42\n{root}\n\n— {ORIGIN} ")
    assert signed_by_hand(f"{ORIGIN}\n42\n{root}\n") == NOTE


def test_the_published_example_of_a_signed_note():
    """The key of the example is not published; its parts can be read, its signature is by an unknown key."""
    example = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    with pytest.raises(AuditError, match="not signed by the expected key"):
        read(example, "example.com/behind-the-sofa", KEY.public)


def test_the_key_of_the_go_implementation():
    """PeterNeumann of golang.org/x/mod/sumdb/note: key id, name and signature made by another program."""
    encoded = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    key = PublicKey(encoded[1:])
    assert hashlib.sha256(b"PeterNeumann\n" + encoded).digest()[:4].hex() == "c74f20a3"
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    blob = base64.b64decode(signature)
    assert blob[:4].hex() == "c74f20a3"
    assert key.verify(blob[4:], text.encode())
    # The signature holds, so it is the text that is refused: it is no checkpoint of this log.
    with pytest.raises(AuditError, match="origin"):
        read(f"{text}\n— PeterNeumann {signature}\n", "PeterNeumann", key)


@given(st.integers(0, 10**18 - 1), st.binary(min_size=32, max_size=32))
def test_what_is_signed_is_read(size, root):
    checkpoint = Checkpoint(ORIGIN, size, root)
    assert read(sign(checkpoint, KEY), ORIGIN, KEY.public) == checkpoint


@given(st.integers(0, len(NOTE) - 1), st.characters(codec="utf-8"))
def test_no_altered_note_is_accepted(place, letter):
    altered = NOTE[:place] + letter + NOTE[place + 1 :]
    if altered != NOTE:
        with pytest.raises(AuditError):
            read(altered, ORIGIN, KEY.public)


@given(st.text(max_size=200))
def test_any_text_is_refused_in_order(text):
    with pytest.raises(AuditError):
        read(text, ORIGIN, KEY.public)


def test_unknown_signatures_are_ignored():
    witnesses = line(OTHER, "witness.example/a") + line(OTHER, ORIGIN) + line(KEY, "another.example/name")
    text, _, signatures = NOTE.rpartition("\n\n")
    assert read(f"{text}\n\n{witnesses}{signatures}", ORIGIN, KEY.public) == CHECKPOINT
    assert read(NOTE + line(OTHER, "witness.example/a") * 16, ORIGIN, KEY.public) == CHECKPOINT


def test_a_false_signature_under_our_key_condemns_the_note():
    blob = bytearray(base64.b64decode(line(KEY, ORIGIN).split(" ")[2]))
    blob[-1] ^= 1
    forged = f"— {ORIGIN} {base64.b64encode(bytes(blob)).decode()}\n"
    with pytest.raises(AuditError, match="does not verify"):
        read(NOTE + forged, ORIGIN, KEY.public)


def test_base64_has_one_writing_only():
    """The last letter before the padding has bits that decode to nothing."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

    def otherwise(text):
        end = text.rindex("=\n")
        return text[: end - 1] + letters[letters.index(text[end - 1]) ^ 1] + text[end:]

    for note in (otherwise(NOTE), signed_by_hand(otherwise(CHECKPOINT.text()))):
        with pytest.raises(AuditError, match="canonical"):
            read(note, ORIGIN, KEY.public)


def test_extension_lines_are_read_over_but_signed():
    text = CHECKPOINT.text() + "an extension\n"
    assert read(signed_by_hand(text), ORIGIN, KEY.public) == CHECKPOINT
    with pytest.raises(AuditError):
        read(signed_by_hand(text).replace("an extension", "an Extension"), ORIGIN, KEY.public)


ROOT = base64.b64encode(CHECKPOINT.root).decode()


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n042\n{ROOT}\n",
        f"{ORIGIN}\n-1\n{ROOT}\n",
        f"{ORIGIN}\n+1\n{ROOT}\n",
        f"{ORIGIN}\n٤٢\n{ROOT}\n",
        f"{ORIGIN}\n42\n{ROOT[:-4]}\n",
        f"{ORIGIN}\n42\n{ROOT.rstrip('=')}\n",
        f"{ORIGIN}\n42\n {ROOT}\n",
        f"{ORIGIN}\n42\n",
        f"other.example/log\n42\n{ROOT}\n",
        f"{ORIGIN}\n42\n{ROOT}\n\nafter an empty line\n",
        f"{ORIGIN}\n42\n{ROOT}\r\n",
        f"{ORIGIN}\t\n42\n{ROOT}\n",
    ],
)
def test_bodies_that_are_not_a_checkpoint_are_refused_though_signed(text):
    with pytest.raises(AuditError):
        read(signed_by_hand(text), ORIGIN, KEY.public)


@pytest.mark.parametrize(
    "note",
    [
        "",
        NOTE[:-1],
        NOTE + "\n",
        NOTE.replace("— ", "- "),
        NOTE.replace("\n\n", "\n"),
        NOTE + "— witness.example \n",
        NOTE + "— witness.example AAAAAA==\n",
        NOTE + "— wit+ness AAAAAAAA\n",
        NOTE + "x" * 100_000,
        NOTE.replace("42", "4\ud800"),
    ],
)
def test_malformed_notes_are_refused(note):
    with pytest.raises(AuditError):
        read(note, ORIGIN, KEY.public)


def test_another_key_or_origin_does_not_read_it():
    with pytest.raises(AuditError, match="expected key"):
        read(NOTE, ORIGIN, OTHER.public)
    with pytest.raises(AuditError, match="expected key"):
        read(NOTE, "sojourn.example/node", KEY.public)


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "a\nb", "a\u00a0b", "a\x00b"])
def test_names_that_cannot_stand_in_a_note_sign_nothing(origin):
    with pytest.raises(AuditError, match="name"):
        sign(Checkpoint(origin, 0, CHECKPOINT.root), KEY)
