"""The sites of a masked study, as each of them must see the same: names, keys, and the hash of all of it.

The roster is the one that the researcher signed; the exchange keys are the hub's to carry and not to choose: each is
stated under the key that the roster names. Two sites that were told of different circles derive different masks, and
say different hashes in their answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import rfc8785

from sojourn.secrecy.exchange import Stated, roster_hash, verify


@dataclass(frozen=True)
class Circle:
    """site → its node's Ed25519 key and its exchange key, each 64 hex digits."""

    keys: Mapping[str, tuple[str, str]]

    @classmethod
    def of(cls, roster: Mapping[str, str], stated: Mapping[str, Stated], federation: str) -> Circle:
        """Every site of the roster and no other; IdentityError or ValueError where a statement does not hold."""
        if set(stated) != set(roster) or any(site != word.site for site, word in stated.items()):
            raise ValueError("the exchange keys are not those of the roster")
        for site, word in stated.items():
            verify(word, federation, roster[site])
        return cls({site: (roster[site], stated[site].key) for site in sorted(roster)})

    @cached_property
    def hash(self) -> str:
        """sha256 (hex) of sites and keys; ValueError where one key stands for two sites."""
        return roster_hash(self.keys)

    @cached_property
    def members(self) -> str:
        """sha256 (hex) of the sites with their nodes' keys alone: whatever their exchange keys."""
        roster = {site: keys[0] for site, keys in self.keys.items()}
        return hashlib.sha256(b"sojourn-masked-members-v1\n" + rfc8785.dumps(roster)).hexdigest()

    @property
    def sites(self) -> tuple[str, ...]:
        """In the order of their names."""
        return tuple(sorted(self.keys))

    def exchange(self, site: str) -> str:
        """A site's exchange key."""
        return self.keys[site][1]

    def peers(self, site: str) -> dict[str, str]:
        """The other sites' exchange keys."""
        return {other: keys[1] for other, keys in self.keys.items() if other != site}
