"""Reaching a server step by step, so that a failure names its cause: the name, the way, the certificate, the answer."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from sojourn.errors import ConfigurationError, TransportError
from sojourn.wire.authorities import pinned_context


@dataclass(frozen=True)
class Certificate:
    """names: host names and addresses that it is for. ends: when it expires."""

    names: tuple[str, ...]
    ends: datetime

    def days_left(self, now: float) -> float:
        """How long it holds from now on; negative once it has expired."""
        return (self.ends.timestamp() - now) / 86400


def read_certificate(path: Path) -> Certificate:
    """A certificate's file; ConfigurationError where there is none."""
    try:
        return _facts(x509.load_pem_x509_certificate(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path.name} is not a certificate.", remedy="Restore it from your backup.") from error


def belongs(certificate: Path, key: Path, authority: Path) -> bool:
    """Whether a certificate is of this key and, its dates aside, signed by this authority."""
    made = x509.load_pem_x509_certificate(certificate.read_bytes())
    by = x509.load_pem_x509_certificate(authority.read_bytes())
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    if made.public_key() != private.public_key():
        return False
    try:
        made.verify_directly_issued_by(by)
    except Exception:  # several kinds, for as many ways not to be signed by it
        return False
    return True


def reach(url: str, authority: str, timeout: float = 10.0, at: str | None = None) -> Certificate:
    """Go the way to a server's TLS handshake; its certificate. TransportError says at which step it ended, and why.

    at: the machine to ask instead of the one that the url names.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    end = _connect(host, port, _resolve(at or host, port), timeout)
    with end:
        try:
            with pinned_context(authority).wrap_socket(end, server_hostname=host) as secured:
                der = secured.getpeercert(binary_form=True)
        except ssl.SSLCertVerificationError as error:
            raise _distrusted(host, error) from error
        except (OSError, ssl.SSLError) as error:
            raise TransportError(
                f"{host} answers on port {port}, but not with TLS 1.3.",
                remedy="Check the port, and whether a proxy or firewall answers in the hub's place.",
            ) from error
    assert der is not None
    return _facts(x509.load_der_x509_certificate(der))


def _resolve(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise TransportError(
            f"The name {host} is not known (DNS).", remedy="Check the name, and this machine's DNS servers."
        ) from error
    return [(family, address) for family, _, _, _, address in found]


def _connect(host: str, port: int, addresses: list[tuple[int, tuple[object, ...]]], timeout: float) -> socket.socket:
    problem: OSError | None = None
    for family, address in addresses:
        end = socket.socket(family, socket.SOCK_STREAM)
        end.settimeout(timeout)
        try:
            end.connect(address)
            return end
        except OSError as error:
            end.close()
            problem = error
    if isinstance(problem, ConnectionRefusedError):
        raise TransportError(
            f"{host} refuses connections on port {port}.",
            remedy="Ask the hub's administrator whether the hub runs, and on which port.",
        )
    if isinstance(problem, TimeoutError):
        raise TransportError(
            f"{host} does not answer on port {port}.",
            remedy="Ask your network's people to let this machine call out to that address and port.",
        )
    why = problem.strerror if problem is not None else "no address"
    raise TransportError(
        f"There is no way to {host}, port {port} ({why}).", remedy="Check this machine's network and routes."
    )


def _distrusted(host: str, error: ssl.SSLCertVerificationError) -> TransportError:
    said = error.verify_message.lower()
    if "expired" in said:
        remedy = "Ask the hub's administrator for `sojourn hub renew`; check this machine's date as well."
        return TransportError("The server's certificate has expired.", remedy=remedy)
    if "not yet valid" in said:
        remedy = "Set this machine's clock by a time server."
        return TransportError("The server's certificate is not valid yet, by this machine's clock.", remedy=remedy)
    if "mismatch" in said or "not valid for" in said:
        remedy = f"Ask the hub's administrator for `sojourn hub renew --dns {host}`, or use a name that it has."
        return TransportError(f"The server's certificate is not for {host}.", remedy=remedy)
    return TransportError(
        "The server's certificate is not of the pinned authority.",
        remedy="Do not go on: it is another server, or someone between. Compare fingerprints with the administrator.",
    )


def _facts(certificate: x509.Certificate) -> Certificate:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        found = tuple(str(name.value) for name in names)
    except x509.ExtensionNotFound:
        found = ()
    return Certificate(found, certificate.not_valid_after_utc.astimezone(UTC))
