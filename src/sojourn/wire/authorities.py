"""The federation's own certificate authority: no public one vouches for a hub, only the file that nodes pin.

ECDSA P-256, because browsers (the console) do not take Ed25519 certificates. Private keys are files of mode 0600.
"""

from __future__ import annotations

import hashlib
import os
import ssl
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sojourn.errors import ConfigurationError

AUTHORITY_LIFE = timedelta(days=3652)
SERVER_LIFE = timedelta(days=365)
_BACKDATE = timedelta(minutes=5)  # a peer's clock may be behind
_AUTHORITY, _SERVER = "ca", "server"


def create_authority(folder: Path, *, now: datetime | None = None) -> str:
    """Make `ca.key` and `ca.pem` (ten years) in `folder`; the certificate's PEM. Never overwrites one."""
    key = ec.generate_private_key(ec.SECP256R1())
    start = now or datetime.now(UTC)
    name = _name(f"Sojourn federation {os.urandom(4).hex()}")
    certificate = (
        _builder(name, name, key.public_key(), start, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _save_key(folder / f"{_AUTHORITY}.key", key)
    return _save_certificate(folder / f"{_AUTHORITY}.pem", certificate)


def issue_server(folder: Path, names: Sequence[str], *, now: datetime | None = None) -> tuple[Path, Path]:
    """Make or renew `server.pem` for these host names or IP addresses (one year), signed by the folder's authority.

    Gives the paths of certificate and key. A renewal keeps the key and replaces the certificate in one step.
    """
    if not names:
        raise ConfigurationError("A server certificate needs a name.", remedy="Give the host name that nodes will use.")
    authority_key = _load_key(folder / f"{_AUTHORITY}.key")
    authority = _load_certificate(_read(folder / f"{_AUTHORITY}.pem"))
    key_path, path = folder / f"{_SERVER}.key", folder / f"{_SERVER}.pem"
    if not key_path.exists():
        _save_key(key_path, ec.generate_private_key(ec.SECP256R1()))
    key = _load_key(key_path)
    start = now or datetime.now(UTC)
    certificate = (
        _builder(_name(names[0]), authority.subject, key.public_key(), start, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    _save_certificate(path, certificate)
    return path, key_path


def pinned_context(ca_pem: str) -> ssl.SSLContext:
    """A client's TLS settings: 1.3 or newer, host name checked, this authority and no other."""
    _load_certificate(ca_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_verify_locations(cadata=ca_pem)
    return context


def fingerprint(ca_pem: str) -> str:
    """SHA-256 of the certificate (DER), 64 hex digits: what two people compare over the telephone."""
    return hashlib.sha256(_load_certificate(ca_pem).public_bytes(serialization.Encoding.DER)).hexdigest()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, start: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - _BACKDATE)
        .not_valid_after(start + life)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        pass
    try:
        return x509.DNSName(name)
    except ValueError as error:
        raise ConfigurationError(
            "Not a host name or IP address.", remedy="Give names such as hub.example.org or 192.0.2.7."
        ) from error


def _save_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigurationError(
            f"{path.name} is already there.", remedy="Keep it, or choose another folder."
        ) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    text = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConfigurationError(f"{path.name} can be read by others.", remedy=f"Run `chmod 600 {path.name}`.")
    try:
        key = serialization.load_pem_private_key(text.encode(), None)
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path.name} is damaged.", remedy="Restore it from your backup.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigurationError(f"{path.name} is not an ECDSA key.", remedy="Restore it from your backup.")
    return key


def _save_certificate(path: Path, certificate: x509.Certificate) -> str:
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(pem, encoding="ascii")
    fresh.replace(path)
    return pem


def _load_certificate(pem: str) -> x509.Certificate:
    try:
        (certificate,) = x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise ConfigurationError(
            "Not one certificate in PEM form.", remedy="Use the ca.pem that the hub's administrator sent."
        ) from error
    return certificate


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read.", remedy="Run `sojourn hub init` first.") from error
