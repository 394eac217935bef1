"""Only the run's key opens an answer, only in its own context; its size tells a bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.errors import IdentityError
from sojourn.wire.seal import new_seal_key, open_sealed, padded_length, release_info, seal

PRIVATE, PUBLIC = new_seal_key()
OTHER_PRIVATE, _ = new_seal_key()
PLACE = {"study": "s", "analysis": "model", "round": "r1", "site": "Cleveland"}
INFO = release_info(**PLACE)


@given(st.binary(max_size=3000))
def test_opens_to_what_was_sealed(plaintext):
    assert open_sealed(PRIVATE, seal(PUBLIC, plaintext, INFO), INFO) == plaintext


def test_other_key_does_not_open():
    with pytest.raises(IdentityError):
        open_sealed(OTHER_PRIVATE, seal(PUBLIC, b"secret", INFO), INFO)


@pytest.mark.parametrize("part", list(PLACE))
def test_other_study_analysis_round_or_site_does_not_open(part):
    with pytest.raises(IdentityError):
        open_sealed(PRIVATE, seal(PUBLIC, b"secret", INFO), release_info(**{**PLACE, part: "x"}))


@given(st.lists(st.text("ab", max_size=2), min_size=4, max_size=4), st.data())
def test_context_has_one_encoding_each(parts, data):
    """Also where the parts, written one after another, are the same text."""
    text = "".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=3, max_size=3)))
    others = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    same = release_info(**dict(zip(PLACE, parts, strict=True))) == release_info(**dict(zip(PLACE, others, strict=True)))
    assert same == (parts == others)


@given(st.data())
def test_any_changed_byte_does_not_open(data):
    blob = bytearray(seal(PUBLIC, b"secret", INFO))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(IdentityError):
        open_sealed(PRIVATE, bytes(blob), INFO)


@given(st.binary(max_size=400))
def test_other_bytes_do_not_open(blob):
    with pytest.raises(IdentityError):
        open_sealed(PRIVATE, blob, INFO)


def test_secrets_of_10_and_11_bytes_have_the_same_size():
    assert len(seal(PUBLIC, b"x" * 10, INFO)) == len(seal(PUBLIC, b"x" * 11, INFO))


def test_two_seals_of_one_secret_differ():
    assert seal(PUBLIC, b"secret", INFO) != seal(PUBLIC, b"secret", INFO)


@given(st.integers(0, 2**40))
def test_padding_is_small_and_grows_with_the_length(length):
    padded = padded_length(length)
    assert padded >= max(length, 256)
    assert padded <= max(256, length * 1.12)
    assert padded_length(length + 1) >= padded
    assert padded_length(padded) == padded


def test_padding_of_published_lengths():
    """Padmé of 2^e + 1 keeps log2(e) + 1 bits: by hand from the paper's algorithm."""
    assert [padded_length(n) for n in (1, 256, 257, 1000, 1025, 100_000)] == [256, 256, 272, 1024, 1088, 100_352]


def test_few_sizes_are_left_of_many():
    assert len({padded_length(n) for n in range(200_000)}) < 200


@pytest.mark.parametrize("key", ["", "00" * 31, "zz" * 32, "00" * 32])
def test_not_a_sealing_key(key):
    with pytest.raises(IdentityError, match="Not a sealing key"):
        seal(key, b"secret", INFO)


def test_private_half_is_32_bytes_to_store():
    assert len(PRIVATE) == 32
    assert len(bytes.fromhex(PUBLIC)) == 32
