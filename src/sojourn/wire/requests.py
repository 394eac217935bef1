"""Every HTTP request carries its sender's Ed25519 signature (RFC 9421) over its content's digest (RFC 9530).

One profile and no other: method, path, query and content digest; created, keyid (the public key, hex), alg, nonce, tag.
Host and scheme are left out, because hospitals' proxies and a hub's several names change them; the `tag` names the
federation instead (its audience), so that one hub cannot pass on to another what was signed for itself. Other headers
are not covered: no program of ours may act on them.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    VerifyResult,
    algorithms,
)

from sojourn.errors import IdentityError
from sojourn.identity.keys import PrivateKey, PublicKey
from sojourn.operations.lean import without

with without("httpx._main"):
    import httpx

MAX_SKEW = 60
"""Largest difference between the sender's clock and ours, in seconds, either way."""

_COVERED = ("@method", "@path", "@query", "content-digest")
_PARAMETERS = {"created", "keyid", "alg", "nonce", "tag"}
_LABEL = "sojourn"
_NONCE = re.compile(r"[0-9a-f]{32}")
_SIGNATURE = re.compile(rf"{_LABEL}=:[A-Za-z0-9+/]{{85}}[AQgw]==:")  # 64 bytes have one base64 form, and this is it
_TARGET = re.compile(r"/[!-\"$-~]*")  # printable ASCII without `#`, which would end what is signed

_REFUSALS = {
    "signature": ("The HTTP request is not signed as it must be.", "Use Sojourn's own client with your own key."),
    "unknown key": ("The HTTP request's key is not known here.", "Register your public key with the hub first."),
    "clock": (
        "The sender's clock and the receiver's differ by more than a minute.",
        "Set both clocks by a time server, and try again.",
    ),
    "replayed": ("The HTTP request was already used.", "Send it again; if this happens again, report it."),
    "busy": ("Too many HTTP requests in a short time.", "Wait two minutes and try again."),
}


class RequestRefused(IdentityError):
    """An HTTP request that is not accepted; `reason`: signature, unknown key, clock, replayed or busy.

    ahead: by how many seconds the sender's clock is ahead of ours, where that is the reason.
    """

    def __init__(self, reason: str, ahead: float = 0.0) -> None:
        sentence, remedy = _REFUSALS[reason]
        super().__init__(f"{sentence} {skew(ahead)}" if ahead else sentence, remedy=remedy)
        self.reason = reason
        self.ahead = ahead


def skew(ahead: float) -> str:
    """By how much the sender's clock is ahead of the receiver's (behind it where negative), as a sentence."""
    return f"The sender's is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}."


class SignedAuth(httpx.Auth):
    """Signs each request of a client. `audience` names the federation; server and client must agree on it."""

    requires_request_body = True

    def __init__(self, key: PrivateKey, *, audience: str = "", clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._tag = _tag(audience)
        self._clock = clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add Content-Digest, Signature-Input and Signature."""
        for name in ("Content-Digest", "Signature-Input", "Signature"):
            request.headers.pop(name, None)
        message = _Message(request.method, _url(request.url.raw_path.decode("ascii")), request.headers)
        prepared = _SIGNER.prepare(
            message,
            key_id=self._key.public.hex,
            created=datetime.fromtimestamp(self._clock(), tz=UTC),
            nonce=secrets.token_hex(16),
            tag=self._tag,
            label=_LABEL,
            covered_component_ids=_COVERED,
            body=request.content,
        )
        _SIGNER.apply(message, prepared, self._key.sign(prepared.signature_base))
        yield request


def verify(
    method: str,
    path_and_query: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key_of: Callable[[str], PublicKey | None],
    now: float,
    seen: Callable[[str], bool],
    audience: str = "",
) -> PublicKey:
    """The key that signed this request; `RequestRefused` otherwise.

    path_and_query: as received, before any decoding (see `target`). key_of: from the key id (the public key, hex) to a
    registered key. now: UTC seconds. seen: whether a nonce was used before, recording it; asked last (see `Nonces`).
    """
    signatures = [value for name, value in headers.items() if name.lower() == "signature"]
    if len(signatures) != 1 or not (_SIGNATURE.fullmatch(signatures[0]) and _TARGET.fullmatch(path_and_query)):
        raise RequestRefused("signature")
    resolver = _Resolver(key_of)
    verifier = _Verifier(signature_algorithm=algorithms.ED25519, key_resolver=resolver)
    try:
        results = verifier.verify(_Message(method, _url(path_and_query), headers), max_age=None, body=body)
    except RequestRefused:
        raise
    except Exception as error:  # a check that fails in any way is a refusal
        raise RequestRefused(resolver.refusal) from error
    if len(results) != 1 or resolver.key is None or not _is_our_profile(results[0], audience):
        raise RequestRefused("signature")
    ahead = int(results[0].parameters["created"]) - now
    if abs(ahead) > MAX_SKEW:
        raise RequestRefused("clock", ahead)
    if seen(str(results[0].nonce)):
        raise RequestRefused("replayed")
    return resolver.key


def target(scope: Mapping[str, Any]) -> str:
    """Path and query of an ASGI request as they came over the wire: what `verify` must see."""
    path, query = bytes(scope["raw_path"]).decode("latin-1"), bytes(scope["query_string"]).decode("latin-1")
    return f"{path}?{query}" if query else path


class Nonces:
    """The nonces of the last two minutes; a full memory refuses rather than forgets. Safe for many threads.

    It is asked after the signature holds, so only registered keys fill it. A restart forgets two minutes' worth, which
    is why every effect of a request must also be unique in the store.
    """

    def __init__(self, capacity: int = 200_000, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._ages: deque[tuple[float, str]] = deque()

    def __call__(self, nonce: str) -> bool:
        """Whether this nonce was seen before; it is from now on. RequestRefused (busy) when full."""
        with self._lock:
            now = self._clock()
            # A nonce matters from the earliest to the latest moment at which its request's time is accepted.
            while self._ages and now - self._ages[0][0] > 2 * MAX_SKEW:
                self._known.discard(self._ages.popleft()[1])
            if nonce in self._known:
                return True
            if len(self._known) >= self._capacity:
                raise RequestRefused("busy")
            self._known.add(nonce)
            self._ages.append((now, nonce))
            return False


@dataclass(frozen=True)
class _Message:
    """A request in the form that the signature library reads."""

    method: str
    url: str
    headers: Mapping[str, str] | MutableMapping[str, str]


class _Resolver(HTTPSignatureKeyResolver):
    """Looks the key up once and remembers it, and why a verification failed."""

    def __init__(self, key_of: Callable[[str], PublicKey | None]) -> None:
        self._key_of = key_of
        self.key: PublicKey | None = None
        self.refusal = "signature"

    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey | None:
        self.key = self._key_of(key_id)
        if self.key is None:
            self.refusal = "unknown key"
            return None
        return Ed25519PublicKey.from_public_bytes(self.key.raw)


class _Verifier(HTTPMessageVerifier):
    def validate_created_and_expires(self, sig_input: object, max_age: object = None) -> None:
        """Times are judged in `verify`, by the caller's clock and after the signature."""


_SIGNER = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)


def _is_our_profile(result: VerifyResult, audience: str) -> bool:
    covered = tuple(name.strip('"') for name in result.covered_components)
    return (
        covered == (*_COVERED, "@signature-params")
        and result.parameters.keys() == _PARAMETERS
        and result.parameters["tag"] == _tag(audience)
        and type(result.parameters["created"]) is int
        and _NONCE.fullmatch(str(result.nonce)) is not None
    )


def _tag(audience: str) -> str:
    return f"sojourn/{audience}"


def _url(path_and_query: str) -> str:
    # The library reads absolute addresses; the host is not signed.
    return f"https://sojourn.invalid{path_and_query}"
