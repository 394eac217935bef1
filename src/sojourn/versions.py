"""Two programs of different versions: which may work together, and what is said where they may not."""

from __future__ import annotations

import re
from enum import Enum

from sojourn import __version__
from sojourn.errors import ConfigurationError

_NUMBERS = re.compile(r"(\d{1,6})\.(\d{1,6})(\..{0,30})?")


class VersionsDiffer(ConfigurationError):
    """Two programs whose versions are too far apart to work together."""


class Skew(Enum):
    """How another version stands to ours."""

    SAME = "the same minor version"
    NEWER = "one minor version newer"
    OLDER = "one minor version older"
    TOO_NEW = "too new"
    TOO_OLD = "too old"
    UNKNOWN = "not a version"

    @property
    def works(self) -> bool:
        """Whether the two may work together; the number of the protocol decides where the version says nothing."""
        return self not in (Skew.TOO_NEW, Skew.TOO_OLD)


def skew(other: str, own: str = __version__) -> Skew:
    """How `other` stands to `own`: major.minor, and whatever follows."""
    theirs, ours = _NUMBERS.fullmatch(other), _NUMBERS.fullmatch(own)
    if theirs is None or ours is None:
        return Skew.UNKNOWN
    major, minor = int(theirs[1]) - int(ours[1]), int(theirs[2]) - int(ours[2])
    if major or abs(minor) > 1:
        return Skew.TOO_NEW if (major, minor) > (0, 0) else Skew.TOO_OLD
    return Skew.NEWER if minor == 1 else Skew.OLDER if minor == -1 else Skew.SAME


def advice(who: str, other: str, me: str, own: str = __version__) -> str:
    """One sentence for people about two versions, empty where they are alike: `who` and `me`, e.g. `the hub`."""
    found = skew(other, own)
    if found is Skew.SAME:
        return ""
    if found is Skew.UNKNOWN:
        return f"{_first(who)} does not say a version that {me} ({own}) can read."
    older = me if found in (Skew.NEWER, Skew.TOO_NEW) else who
    return f"{_first(who)} runs {other}, {me} {own}: upgrade {older}."


def demand_near(who: str, other: str, me: str, own: str = __version__) -> Skew:
    """How the other stands to us; VersionsDiffer, which names both and which to upgrade, if too far."""
    found = skew(other, own)
    if found.works:
        return found
    older = me if found is Skew.TOO_NEW else who
    raise VersionsDiffer(
        f"{_first(who)} runs Sojourn {other}, {me} {own}: they may differ by one minor version.",
        remedy=f"Upgrade {older}.",
    )


def demand_same(protocol: int, known: int, who: str, other: str, me: str, own: str = __version__) -> None:
    """VersionsDiffer where the other speaks another protocol than the one known here."""
    if protocol != known:
        raise VersionsDiffer(
            f"{_first(who)} speaks another protocol (its software is {other}, that of {me} {own}).",
            remedy="Upgrade the older of the two; minor versions differ by at most one.",
        )


def _first(words: str) -> str:
    return words[:1].upper() + words[1:]
