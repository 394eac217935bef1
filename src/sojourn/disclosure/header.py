"""The header of a release: what a set of numbers says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from sojourn.analysis.noise import Noise

_OPTIONAL = frozenset({"treatment", "noise", "roster", "transcript"})  # older programs do not know them


@dataclass(frozen=True)
class Header:
    """What a release says of itself; checked by the hub and by every other node.

    snapshot: in a masked plan a commitment, by which nobody can tell a site without data from the others.
    """

    study: str
    plan: str  # plan hash
    analysis: str
    round: int
    ask: str  # hash of (step, broadcast) that it answers
    site: str
    snapshot: str
    policy: str
    policy_version: str
    hidden_max: int
    software: str
    watermark: str
    treatment: str = ""  # what was done to the numbers before they were judged; left out where it is nothing
    noise: str = ""  # what was drawn into the numbers (`analysis.noise`); left out where nothing was
    roster: str = ""  # of a masked plan: hash of all sites with their keys
    transcript: str = ""  # of a masked plan: hash of the rounds before this one, as this site has seen them

    def to_dict(self) -> dict[str, Any]:
        """JSON form, a word a field."""
        return {name: word for name, word in asdict(self).items() if word or name not in _OPTIONAL}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Header:
        """Read `to_dict`'s form; ValueError on anything else."""
        types = {item.name: {"str": str, "int": int}[str(item.type)] for item in fields(cls)}
        if not isinstance(document, Mapping) or set(document) | _OPTIONAL != set(types):
            raise ValueError("not a header")
        if any(document.get(name) == "" for name in _OPTIONAL):
            raise ValueError("a header is not in its canonical form")
        if any(type(document.get(name, "")) is not kind for name, kind in types.items()):
            raise ValueError("a header's word has the wrong type")
        if document["round"] < 0 or document["hidden_max"] < 0:
            raise ValueError("a header's number is negative")
        if "noise" in document:
            Noise.read(document["noise"])
        return cls(**document)
