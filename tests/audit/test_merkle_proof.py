"""Proofs: the published vectors, every pair of sizes up to 70, and no altered proof accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.audit.proof import consistency, inclusion, verify_consistency, verify_inclusion
from sojourn.audit.tree import EMPTY_ROOT, leaf_hash, root
from sojourn.errors import AuditError

SIZE = 70
LEAVES = [f"leaf {number}".encode() for number in range(SIZE)]
CT_INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]

sizes = st.integers(1, SIZE)


@pytest.fixture(scope="module")
def hashes(grown):
    return grown(LEAVES)


@st.composite
def places(draw):
    size = draw(sizes)
    return draw(st.integers(0, size - 1)), size


@st.composite
def alterations(draw):
    """A change of a proof of at least one hash, or of none: flip a bit, drop, add, double or turn round."""
    kind = draw(st.sampled_from(["flip", "drop", "add", "double", "reverse"]))
    where, bit = draw(st.integers(0, 63)), draw(st.integers(0, 255))

    def alter(proof):
        proof = list(proof)
        if not proof or kind == "add":
            return [*proof, leaf_hash(b"other")]
        place = where % len(proof)
        if kind == "flip":
            value = bytearray(proof[place])
            value[bit // 8] ^= 1 << bit % 8
            proof[place] = bytes(value)
        elif kind == "drop":
            del proof[place]
        elif kind == "double":
            proof.insert(place, proof[place])
        else:
            proof.reverse()
        return proof

    return alter


def test_published_proofs(grown):
    hashes = grown([bytes.fromhex(text) for text in CT_INPUTS])
    assert [value.hex() for value in inclusion(hashes, 0, 8)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [value.hex() for value in consistency(hashes, 6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


def test_every_leaf_of_every_size_is_proven(hashes):
    for size in range(1, SIZE + 1):
        top = root(hashes, size)
        for index in range(size):
            proof = inclusion(hashes, index, size)
            assert len(proof) <= (size - 1).bit_length()
            assert verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, top)


def test_every_pair_of_sizes_is_consistent(hashes):
    for new in range(SIZE + 1):
        for old in range(new + 1):
            proof = consistency(hashes, old, new)
            assert len(proof) <= max(new - 1, 0).bit_length() + 1
            assert verify_consistency(old, root(hashes, old), new, root(hashes, new), proof)


@given(places(), alterations())
def test_no_altered_inclusion_proof_is_accepted(hashes, place, alter):
    index, size = place
    proof = list(inclusion(hashes, index, size))
    altered = alter(proof)
    accepted = verify_inclusion(leaf_hash(LEAVES[index]), index, size, altered, root(hashes, size))
    assert accepted == (altered == proof)


@given(places(), st.integers(-1, SIZE + 1))
def test_a_leaf_is_proven_at_its_own_place_only(hashes, place, other):
    index, size = place
    proof, top = inclusion(hashes, index, size), root(hashes, size)
    assert verify_inclusion(leaf_hash(LEAVES[index]), other, size, proof, top) == (other == index)
    assert not verify_inclusion(leaf_hash(LEAVES[index] + b"!"), index, size, proof, top)
    assert not verify_inclusion(leaf_hash(LEAVES[index]), index, size, proof, leaf_hash(b"another root"))


@given(st.tuples(sizes, sizes).map(sorted), alterations())
def test_no_altered_consistency_proof_is_accepted(hashes, pair, alter):
    old, new = pair
    proof = list(consistency(hashes, old, new))
    altered = alter(proof)
    accepted = verify_consistency(old, root(hashes, old), new, root(hashes, new), altered)
    assert accepted == (altered == proof)


@given(st.tuples(sizes, sizes).map(sorted), st.integers(0, SIZE - 1))
def test_a_rewritten_past_is_inconsistent(grown, hashes, pair, changed):
    old, new = pair
    leaves = list(LEAVES)
    leaves[changed % old] = b"rewritten"
    rewritten = grown(leaves)
    proof = consistency(rewritten, old, new)
    assert not verify_consistency(old, root(hashes, old), new, root(rewritten, new), proof)


def test_the_empty_log_is_before_every_log(hashes):
    assert verify_consistency(0, EMPTY_ROOT, 5, root(hashes, 5), ())
    assert not verify_consistency(0, root(hashes, 5), 5, root(hashes, 5), ())
    assert not verify_consistency(0, EMPTY_ROOT, 5, root(hashes, 5), (EMPTY_ROOT,))
    assert not verify_consistency(0, leaf_hash(b""), 0, leaf_hash(b""), ())


def test_a_node_of_the_tree_is_not_a_leaf(hashes):
    left, right = hashes.get(1, 0), hashes.get(1, 1)
    assert not verify_inclusion(left, 0, 4, (right,), root(hashes, 4))
    assert not verify_inclusion(root(hashes, 4), 0, 4, (), root(hashes, 4))


def test_malformed_claims_are_refused_without_an_exception(hashes):
    top, leaf = root(hashes, 5), leaf_hash(LEAVES[0])
    assert not verify_inclusion(leaf, 0, 0, (), top)
    assert not verify_inclusion(leaf, 0, 5, (b"short",), top)
    assert not verify_inclusion(leaf, 0, 5, ("text",), top)
    assert not verify_consistency(5, top, 4, root(hashes, 4), ())
    assert not verify_consistency(-1, top, 5, top, ())
    assert not verify_consistency(4, root(hashes, 4), 5, top, ())


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 5), (0, 0)])
def test_no_proof_of_what_is_not_there(hashes, index, size):
    with pytest.raises(AuditError):
        inclusion(hashes, index, size)


@pytest.mark.parametrize(("old", "new"), [(6, 5), (-1, 5)])
def test_no_proof_from_the_future(hashes, old, new):
    with pytest.raises(AuditError):
        consistency(hashes, old, new)
