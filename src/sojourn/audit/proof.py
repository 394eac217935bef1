"""Inclusion and consistency proofs of RFC 6962, checked by the algorithms of RFC 9162 sections 2.1.3.2 and 2.1.4.2.

Laws: a proof has at most ceil(log2 n) (inclusion) or ceil(log2 n) + 1 (consistency) hashes; whoever knows one signed
root can check either without the log; a verifier never raises on what another party sent, it answers False.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sojourn.audit.tree import EMPTY_ROOT, HASH_BYTES, Hashes, node_hash, span
from sojourn.errors import AuditError

Proof = tuple[bytes, ...]


def inclusion(hashes: Hashes, index: int, size: int) -> Proof:
    """PATH(index, D[size]): the siblings from the leaf up to the root. AuditError unless 0 <= index < size."""
    if not 0 <= index < size:
        raise AuditError("No such entry in the log.", remedy="Ask for an index below the size of the log.")
    return tuple(_path(hashes, index, 0, size))


def _path(hashes: Hashes, index: int, start: int, end: int) -> list[bytes]:
    if end - start == 1:
        return []
    middle = _split(start, end)
    if index < middle:
        return [*_path(hashes, index, start, middle), span(hashes, middle, end)]
    return [*_path(hashes, index, middle, end), span(hashes, start, middle)]


def consistency(hashes: Hashes, old: int, new: int) -> Proof:
    """PROOF(old, D[new]): that the first `old` leaves are still the same. Empty for old = 0 and old = new.

    AuditError unless 0 <= old <= new.
    """
    if not 0 <= old <= new:
        raise AuditError("The log was never that large.", remedy="Ask for a size up to the present one.")
    if old in (0, new):
        return ()
    return tuple(_subproof(hashes, old, 0, new, whole=True))


def _subproof(hashes: Hashes, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
    if old == end:
        return [] if whole else [span(hashes, start, end)]
    middle = _split(start, end)
    if old <= middle:
        return [*_subproof(hashes, old, start, middle, whole=whole), span(hashes, middle, end)]
    return [*_subproof(hashes, old, middle, end, whole=False), span(hashes, start, middle)]


def _split(start: int, end: int) -> int:
    """Where RFC 6962 divides a span: after the largest power of two below its width."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the leaf is number `index` (from 0) of the tree with this size and root."""
    if not 0 <= index < size or not _well_formed(leaf_hash, root, *proof):
        return False
    node, last, value = index, size - 1, leaf_hash
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            value = node_hash(sibling, value)
            node, last = _skip_left_edge(node, last)
        else:
            value = node_hash(value, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and value == root


def verify_consistency(old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree with the new root begins with all leaves of the tree with the old root."""
    if not 0 <= old_size <= new_size or not _well_formed(old_root, new_root, *proof):
        return False
    if old_size == new_size:
        return not proof and old_root == new_root and (old_size > 0 or old_root == EMPTY_ROOT)
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    # An old tree that is one complete subtree is its own first hash, which the proof leaves out.
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not proof:
        return False
    node, last = old_size - 1, new_size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old = new = path[0]
    for _, sibling in pairwise(path):
        if last == 0:
            return False
        if node & 1 or node == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            node, last = _skip_left_edge(node, last)
        else:
            new = node_hash(new, sibling)
        node, last = node >> 1, last >> 1
    return last == 0 and old == old_root and new == new_root


def _skip_left_edge(node: int, last: int) -> tuple[int, int]:
    """On the right border of an incomplete tree, levels where the node has no sibling give no hash."""
    while not node & 1 and node:
        node, last = node >> 1, last >> 1
    return node, last


def _well_formed(*hashes: object) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in hashes)
