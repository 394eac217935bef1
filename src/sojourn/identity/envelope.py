"""Signed envelopes (DSSE) and the researcher's signed request.

The law, which holds whatever the hub does:

* A signature covers the payload type and the payload, byte for byte (DSSE pre-authentication encoding), so it cannot be
  moved to another type or another payload.
* The payload is read only after its signature holds, and only in its one canonical form (RFC 8785): what was signed,
  what is read and what is hashed are the same bytes.
* A key in an envelope proves nothing by itself. `admit` accepts only keys that the custodian pinned at this site for
  the project that the request names.
* A request names everything that it allows: the plan and its hash, the sites with their keys, the smallest number of
  sites, the key that answers are sealed to, the policy it was written for and its times. Nothing comes from elsewhere.
* A check that raises is a refusal.

Source: DSSE 1.0 (github.com/secure-systems-lab/dsse, protocol.md and envelope.md).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

import rfc8785

from sojourn.errors import EnvelopeRefused
from sojourn.identity.keys import PrivateKey, PublicKey

REQUEST_TYPE = "application/vnd.sojourn.request+json"
VERSION = 1
MAX_LIFETIME = 24 * 60 * 60
"""Longest life of a request, in seconds."""
MAX_SKEW = 60
"""How far ahead of the site's clock a request may be issued, in seconds."""

_HEX_128 = re.compile(r"[0-9a-f]{32}")
_HEX_256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Envelope:
    """A payload with its type and one Ed25519 signature over both; `key` is the signer's public key, 64 hex digits."""

    payload_type: str
    payload: bytes
    key: str
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse (`malformed`) a type that is not printable ASCII, and a key that is not 64 lowercase hex digits."""
        if not (self.payload_type.isascii() and _is_name(self.payload_type) and _matches(_HEX_256, self.key)):
            raise EnvelopeRefused("malformed")

    def holds(self) -> bool:
        """Whether `key` signed this type and payload. It does not say whose key it is."""
        return PublicKey.from_hex(self.key).verify(self.signature, _signing_bytes(self.payload_type, self.payload))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form of DSSE; `keyid` holds the whole public key."""
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode("ascii"),
            "signatures": [{"keyid": self.key, "sig": base64.b64encode(self.signature).decode("ascii")}],
        }

    @classmethod
    def from_dict(cls, document: object) -> Envelope:
        """Read what `to_dict` wrote and nothing else: these keys, one signature, canonical base64."""
        match document:
            case {
                "payloadType": str(kind),
                "payload": str(payload),
                "signatures": [{"keyid": str(key), "sig": str(sig)}],
            }:
                envelope = cls(kind, _from_base64(payload), key, _from_base64(sig))
            case _:
                raise EnvelopeRefused("malformed")
        # A mapping pattern lets further keys pass; the way back does not.
        if envelope.to_dict() != document:
            raise EnvelopeRefused("malformed")
        return envelope


def sign(payload_type: str, payload: bytes, private_key: PrivateKey) -> Envelope:
    """An envelope of this payload, signed by this key."""
    signature = private_key.sign(_signing_bytes(payload_type, payload))
    return Envelope(payload_type, payload, private_key.public.hex, signature)


@dataclass(frozen=True)
class Request:
    """What a researcher allows the federation to run, once. One that is not well formed cannot be made.

    study, nonce: 128 random bits, 32 hex digits. plan_hash: SHA-256 of the plan's canonical encoding, hex. roster: site
    → public key of its node, hex, each key once. min_sites: the plan's smallest number of sites. seal_key: the hub's
    X25519 key for this run, hex. software: the client's version. policy_version: the policy the plan was written for.
    issued, expires: UTC, seconds since 1970. rehearsal: to be run on synthetic stand-ins, never on records; the word is
    in the signed bytes only where it is true, so that a program that does not know it refuses it as malformed.
    """

    study: str
    project: str
    plan: Mapping[str, Any]
    plan_hash: str
    roster: Mapping[str, str]
    min_sites: int
    seal_key: str
    software: str
    policy_version: str
    issued: int
    expires: int
    nonce: str
    version: int = VERSION
    rehearsal: bool = False

    def __post_init__(self) -> None:
        """Refuse (`malformed`) any field of another form."""
        well_formed = (
            type(self.version) is int
            and self.version == VERSION
            and type(self.rehearsal) is bool
            and _matches(_HEX_128, self.study, self.nonce)
            and _matches(_HEX_256, self.plan_hash, self.seal_key)
            and all(_is_name(text) for text in (self.project, self.software, self.policy_version))
            and isinstance(self.plan, Mapping)
            and _is_roster(self.roster)
            and all(type(number) is int for number in (self.min_sites, self.issued, self.expires))
            and self.min_sites >= 1
            and 0 <= self.issued < self.expires
        )
        if not well_formed:
            raise EnvelopeRefused("malformed")

    def encode(self) -> bytes:
        """The one canonical encoding (RFC 8785): the bytes that are signed."""
        try:
            return rfc8785.dumps({**_as_dict(self), "plan": dict(self.plan), "roster": dict(self.roster)})
        except (ValueError, RecursionError) as error:
            raise EnvelopeRefused("malformed") from error

    @classmethod
    def read(cls, envelope: Envelope) -> Request:
        """The request in an envelope whose signature was already checked; only the canonical form is read.

        Duplicate keys, NaN, spaces, other number forms and further or missing fields do not survive the comparison with
        the bytes that the values read would have been written as.
        """
        if envelope.payload_type != REQUEST_TYPE:
            raise EnvelopeRefused("malformed")
        try:
            document = json.loads(envelope.payload, parse_int=_integer)
        except (ValueError, RecursionError) as error:
            raise EnvelopeRefused("malformed") from error
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or document.keys() | {"rehearsal"} != names:
            raise EnvelopeRefused("malformed")
        request = cls(**document)
        if request.encode() != envelope.payload:
            raise EnvelopeRefused("malformed")
        return request


def admit(
    envelope: Envelope,
    *,
    approved: Mapping[str, Collection[str]],
    site: str,
    own_key: PublicKey,
    now: float,
    seen: Callable[[str], bool],
    policy_version: str,
    least_sites: int,
    plan_hash: Callable[[dict[str, Any]], str],
) -> Request:
    """The request, if this site may look at it; `EnvelopeRefused` with the first reason that applies otherwise.

    approved: project → public keys (hex) that the custodian pinned. own_key: this node's. now: this site's clock, UTC
    seconds. seen: whether a nonce was used before; asked last, so that it may also record it. policy_version: the only
    one that this site runs. least_sites: the site's own smallest number of sites. plan_hash: from a plan to its hash.
    """
    if not envelope.holds():
        raise EnvelopeRefused("signature")
    request = Request.read(envelope)
    # A set, for `in` on a string would also find a part of it.
    if envelope.key not in frozenset(approved.get(request.project, ())):
        raise EnvelopeRefused("not approved")
    _check_times(request, now)
    if request.policy_version != policy_version:
        raise EnvelopeRefused("policy version")
    if request.roster.get(site) != own_key.hex:
        raise EnvelopeRefused("roster")
    if len(request.roster) < max(request.min_sites, least_sites):
        raise EnvelopeRefused("minimum sites")
    if not _is_hash_of(request.plan_hash, request.plan, plan_hash):
        raise EnvelopeRefused("plan")
    if seen(request.nonce):
        raise EnvelopeRefused("replayed")
    return request


def _check_times(request: Request, now: float) -> None:
    if now >= request.expires:
        raise EnvelopeRefused("expired")
    if request.issued - now > MAX_SKEW:
        raise EnvelopeRefused("clock")
    if request.expires - request.issued > MAX_LIFETIME:
        raise EnvelopeRefused("lifetime")


def _is_hash_of(claimed: str, plan: Mapping[str, Any], plan_hash: Callable[[dict[str, Any]], str]) -> bool:
    try:
        return plan_hash(dict(plan)) == claimed
    except Exception as error:  # a plan that cannot be hashed is not the plan that was signed
        raise EnvelopeRefused("plan") from error


def _signing_bytes(payload_type: str, payload: bytes) -> bytes:
    """DSSE pre-authentication encoding: `DSSEv1 SP length SP type SP length SP payload`, lengths in bytes."""
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EnvelopeRefused("malformed") from error


def _integer(text: str) -> int | float:
    # RFC 8785 writes doubles from 2^53 to 1e21 as integers; they are read as what they were.
    number = int(text)
    return number if abs(number) < 2**53 else float(text)


def _as_dict(request: Request) -> dict[str, Any]:
    document = {field.name: getattr(request, field.name) for field in fields(request)}
    if not request.rehearsal:
        del document["rehearsal"]
    return document


def _matches(pattern: re.Pattern[str], *texts: object) -> bool:
    return all(isinstance(text, str) and pattern.fullmatch(text) for text in texts)


def _is_name(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 200 and text.isprintable()


def _is_roster(roster: object) -> bool:
    # One key under two names would count as two sites towards the minimum.
    return (
        isinstance(roster, Mapping)
        and len(roster) > 0
        and all(_is_name(site) and _matches(_HEX_256, key) for site, key in roster.items())
        and len(set(roster.values())) == len(roster)
    )
