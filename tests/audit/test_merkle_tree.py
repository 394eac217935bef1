"""Roots against the published test inputs of Certificate Transparency, and against the definition of RFC 6962."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.audit.tree import EMPTY_ROOT, leaf_hash, node_hash, peaks, root, span

INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, written down as it stands there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots(grown, size):
    assert root(grown(INPUTS), size).hex() == ROOTS[size]


def test_leaves_and_nodes_are_kept_apart():
    assert leaf_hash(b"a" * 32 + b"b" * 32) != node_hash(b"a" * 32, b"b" * 32)


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_every_past_root_is_the_definition(grown, leaves):
    hashes = grown(leaves)
    assert [root(hashes, size) for size in range(len(leaves) + 1)] == [
        mth(leaves[:size]) for size in range(len(leaves) + 1)
    ]


@given(st.integers(0, 300))
def test_peaks_cover_the_tree_and_are_stored(grown, size):
    hashes = grown([b"leaf"] * size)
    assert sum(1 << level for level, _ in peaks(size)) == size
    assert all(place in hashes.held for place in peaks(size))
    # Only complete subtrees are stored, each once: fewer than two hashes a leaf.
    assert len(hashes.held) == 2 * size - len(peaks(size))


def test_a_span_is_the_root_of_its_leaves(grown):
    leaves = [bytes([number]) for number in range(13)]
    assert span(grown(leaves), 8, 13) == mth(leaves[8:13])


def test_an_empty_tree_has_the_hash_of_nothing(grown):
    assert root(grown([]), 0) == EMPTY_ROOT
