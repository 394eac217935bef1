"""How many persons two sites have in common, without either site's list and without the number at a third site.

Each site turns its persons into points of a curve and multiplies them by a secret number of its own (`blinded`), the
other multiplies what it gets by its own (`doubled`), and a third site compares the two lists (`matches`): whoever was
multiplied by both numbers is the same point, in either order. Lists are sorted, so that no place in one tells a person,
and filled up to a size of the plan with points of nobody, so that no length tells a count. Both sites put in the same
`made_up` persons, 0 .. MADE_UP of them, by a lot that only they know, so that the third does not see the number either:
numbers that differ by k look alike to it but with a chance of k / (MADE_UP + 1).

What is told of the number is the joint test's to say, over matches less made-up persons. Who sends wrong points makes
the number wrong, and learns one number. Two that keep together learn more: see the page on secrecy. Nobody may know a
factor between two points of persons, or of what one site has multiplied: whoever does could make matches.

Sources: C. Meadows, IEEE Symposium on Security and Privacy 1986 (matching by commuting exponents); B. Huberman,
M. Franklin, T. Hogg, ACM EC 1999; E. De Cristofaro, P. Gasti, G. Tsudik, CANS 2012 (cardinality by shuffling).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Iterable
from functools import lru_cache
from itertools import pairwise

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from sojourn.secrecy.exchange import ExchangeKey
from sojourn.secrecy.masks import Place, derived

MADE_UP = 1000
"""The most made-up persons of two sites."""
POINT = 32
"""Bytes of a point: its u-coordinate on Curve25519, little-endian (RFC 7748)."""
_FIELD = 2**255 - 19
_A = 486662


def pseudonyms(identifiers: Iterable[bytes], own: ExchangeKey, public: str, place: Place) -> set[bytes]:
    """Persons under a key that only the two sites have: HMAC-SHA256 of identifiers, which both write alike."""
    key = derived(own.agree(public), place, use="pseudonyms")
    return {hmac.digest(key, identifier, "sha256") for identifier in identifiers}


def made_up(own: ExchangeKey, public: str, place: Place) -> set[bytes]:
    """The persons whom both sites add and nobody else knows: 0 .. MADE_UP of them, each number as likely."""
    key = derived(own.agree(public), place, use="made up")
    count = int.from_bytes(hmac.digest(key, b"count", "sha256"), "big") % (MADE_UP + 1)
    return {hmac.digest(key, number.to_bytes(8, "big"), "sha256") for number in range(count)}


def blinded(persons: Collection[bytes], own: ExchangeKey, place: Place, size: int) -> bytes:
    """What a site sends to the other: `size` points, its persons' and others, under its number for this place.

    The same persons give the same bytes. ValueError for more persons than `size`, or any of them twice.
    """
    if len(persons) > size or len(set(persons)) < len(persons):
        raise ValueError("more persons than the plan allows for, or one of them twice")
    # Other persons have other points of nobody, else what two lists have in common would tell how many persons one has;
    # the same persons have the same ones, whatever the size, else what they have in common would be the persons.
    filler = hmac.digest(derived(own.secret(), place, use="filler"), b"".join(sorted(persons)), "sha256")
    nobody = (hmac.digest(filler, number.to_bytes(8, "big"), "sha256") for number in range(size - len(persons)))
    points = [*_multiplied(map(_point, persons), own, place), *map(_drawn, nobody)]
    return b"".join(sorted(points))


def doubled(points: bytes, own: ExchangeKey, place: Place, size: int) -> bytes:
    """The other site's `blinded` points under this site's number too; ValueError for what `blinded` does not make."""
    return b"".join(sorted(_multiplied(_points(points, size), own, place)))


def matches(one: bytes, other: bytes, size: int) -> int:
    """How many points are in both lists of `doubled` points: persons in common, and made-up ones."""
    return len(set(_points(one, size)) & set(_points(other, size)))


def _multiplied(points: Iterable[bytes], own: ExchangeKey, place: Place) -> list[bytes]:
    # A multiple of the cofactor (RFC 7748 clamps it): what is left of a point is in the group of prime order.
    number = X25519PrivateKey.from_private_bytes(derived(own.secret(), place, use="blinding"))
    return [number.exchange(X25519PublicKey.from_public_bytes(point)) for point in points]


def _drawn(secret: bytes) -> bytes:
    """A point of nobody, as good as random: also in the group of prime order."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


@lru_cache(maxsize=4096)  # made-up persons are the same in each study of two lists
def _point(text: bytes) -> bytes:
    """A point of the curve that nobody knows a factor of: the first hash that is one, not one of the curve's twist.

    Multiplying keeps a point on its curve, so a hash taken as it is would tell one bit of its person.
    """
    for count in range(256):
        u = int.from_bytes(hashlib.sha512(b"sojourn-point-v1" + bytes([count]) + text).digest(), "big") % _FIELD
        if pow(u * (u * u + _A * u + 1), (_FIELD - 1) // 2, _FIELD) == 1:
            return u.to_bytes(POINT, "little")
    raise ValueError("no point")  # once in 2^256 texts


def _points(data: bytes, size: int) -> list[bytes]:
    """The points of a list: as many as were agreed, in order, none twice and each in its one spelling."""
    points = [data[start : start + POINT] for start in range(0, len(data), POINT)]
    canonical = all(int.from_bytes(point, "little") < _FIELD for point in points)
    if len(data) != size * POINT or not canonical or any(a >= b for a, b in pairwise(points)):
        raise ValueError("not a list of points of the agreed size")
    return points
