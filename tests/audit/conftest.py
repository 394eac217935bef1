from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from sojourn.audit.tree import append, leaf_hash
from sojourn.errors import AuditError


class MemoryHashes:
    """Every place is put once and read only after that, as the protocol demands."""

    def __init__(self) -> None:
        self.held: dict[tuple[int, int], bytes] = {}

    def get(self, level: int, index: int) -> bytes:
        try:
            return self.held[level, index]
        except KeyError as error:
            raise AuditError("No such hash.", remedy="None.") from error

    def several(self, level: int, first: int, count: int) -> list[bytes]:
        places = ((level, index) for index in range(first, first + count))
        return [self.held[place] for place in places if place in self.held]

    def put(self, level: int, index: int, value: bytes) -> None:
        assert (level, index) not in self.held
        self.held[level, index] = value


@pytest.fixture(scope="session")
def grown() -> Callable[[Iterable[bytes]], MemoryHashes]:
    """Stored hashes of a tree over these leaves."""

    def grow(leaves: Iterable[bytes]) -> MemoryHashes:
        hashes, size = MemoryHashes(), 0
        for leaf in leaves:
            size = append(hashes, size, leaf_hash(leaf))
        return hashes

    return grow
