"""The Merkle tree of RFC 6962: a leaf hashes 0x00 and its data, a node hashes 0x01 and its two children.

Law: the hash of a complete subtree, once put, never changes; so an append puts at most log2(n) + 1 hashes and reads
at most log2(n), and every past root can be computed again.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


class Hashes(Protocol):
    """Hashes of complete subtrees; (level, index) covers the 2**level leaves from index * 2**level on."""

    def get(self, level: int, index: int) -> bytes:
        """The 32 bytes put there; AuditError when there are none."""
        ...

    def put(self, level: int, index: int, value: bytes) -> None:
        """Keep 32 bytes. Each place is put once."""
        ...


def above(hashes: list[bytes]) -> list[bytes]:
    """The next level over neighbours, an even number of them from an even place on."""
    digest = hashlib.sha256
    return [digest(b"\x01" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)]


def leaf_hash(data: bytes) -> bytes:
    """SHA-256 of 0x00 and the raw bytes of one entry."""
    return hashlib.sha256(b"\x00" + data).digest()


def leaf_hashes(entries: list[bytes]) -> list[bytes]:
    """`leaf_hash` of each entry, without a call for each."""
    digest = hashlib.sha256
    return [digest(b"\x00" + data).digest() for data in entries]


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256 of 0x01 and the hashes of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def append(hashes: Hashes, size: int, leaf: bytes) -> int:
    """Add a leaf hash to a tree of `size` leaves; the new size. Puts the leaf and every subtree that it completes."""
    graft(hashes, 0, size, leaf)
    return size + 1


def graft(hashes: Hashes, level: int, index: int, value: bytes) -> None:
    """Put the hash of the next complete subtree, and of every subtree that it completes."""
    hashes.put(level, index, value)
    while index & 1:
        value = node_hash(hashes.get(level, index - 1), value)
        level, index = level + 1, index >> 1
        hashes.put(level, index, value)


def root(hashes: Hashes, size: int) -> bytes:
    """The root of the first `size` leaves, from at most log2(size) + 1 stored hashes."""
    return span(hashes, 0, size) if size else EMPTY_ROOT


def span(hashes: Hashes, start: int, end: int) -> bytes:
    """MTH(D[start:end]) of RFC 6962 section 2.1, for the spans that its recursion meets; end > start."""
    width = end - start
    level = (width - 1).bit_length()
    if width == 1 << level:
        return hashes.get(level, start >> level)
    middle = start + (1 << level - 1)
    return node_hash(span(hashes, start, middle), span(hashes, middle, end))


def peaks(size: int) -> list[tuple[int, int]]:
    """Places (level, index) of the largest complete subtrees of a tree, left to right: one a set bit of its size."""
    return [(level, (size >> level) - 1) for level in reversed(range(size.bit_length())) if size >> level & 1]
