"""A hub's address as one line to copy: where it is, the authority to trust, its log's key and, for a new site, a token.

It reaches nodes and researchers outside the federation's own channels (in person, by signed mail): it is what they pin.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, dataclass

from sojourn.errors import ConfigurationError

_MARK = "sojourn1."


@dataclass(frozen=True)
class Address:
    """url: https address. federation: the hub's name and its log. authority: PEM. log_key: hex. token: to join."""

    url: str
    federation: str
    authority: str
    log_key: str
    token: str = ""

    def encode(self) -> str:
        """One line of letters, digits, `-`, `_` and a dot."""
        body = json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()
        return _MARK + base64.urlsafe_b64encode(body).decode().rstrip("=")

    @classmethod
    def decode(cls, line: str) -> Address:
        """Read `encode`'s line; ConfigurationError on anything else."""
        text = line.strip()
        try:
            if not text.startswith(_MARK):
                raise ValueError
            body = text.removeprefix(_MARK)
            document = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            address = cls(**document)
        except (ValueError, TypeError, binascii.Error) as error:
            raise ConfigurationError(
                "That is not a hub's address.",
                remedy="Copy the whole line that `sojourn hub show` or `sojourn hub invite` printed.",
            ) from error
        if not all(isinstance(value, str) for value in asdict(address).values()):
            raise ConfigurationError("That is not a hub's address.", remedy="Copy the whole line.")
        return address
