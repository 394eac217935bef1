"""The federation's authority and the certificates it issues. What they are worth over TLS: test_tls.py."""

from __future__ import annotations

import hashlib
import ssl
from datetime import timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from sojourn.errors import ConfigurationError
from sojourn.wire.authorities import create_authority, fingerprint, issue_server, pinned_context

DAY = timedelta(days=1)


def load(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificate_verifies_under_the_authority_by_another_implementation(tmp_path):
    ca = x509.load_pem_x509_certificate(create_authority(tmp_path).encode())
    cert, _ = issue_server(tmp_path, ["hub.example.org", "127.0.0.1"])

    for name in (x509.DNSName("hub.example.org"), x509.IPAddress(ip_address("127.0.0.1"))):
        verifier = PolicyBuilder().store(Store([ca])).build_server_verifier(name)
        assert verifier.verify(load(cert), []) == [load(cert), ca]


def test_lives_are_ten_years_and_one(tmp_path):
    create_authority(tmp_path)
    cert, _ = issue_server(tmp_path, ["localhost"])
    ca = load(tmp_path / "ca.pem")

    assert 3650 * DAY < ca.not_valid_after_utc - ca.not_valid_before_utc < 3654 * DAY
    assert 364 * DAY < load(cert).not_valid_after_utc - load(cert).not_valid_before_utc < 398 * DAY


def test_authority_may_sign_servers_but_no_further_authority(tmp_path):
    create_authority(tmp_path)
    constraints = load(tmp_path / "ca.pem").extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    cert, _ = issue_server(tmp_path, ["localhost"])
    assert not load(cert).extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_private_keys_are_for_their_owner_only(tmp_path):
    create_authority(tmp_path)
    issue_server(tmp_path, ["localhost"])
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")} == {
        "ca.key": 0o600,
        "server.key": 0o600,
    }


def test_authority_is_never_overwritten(tmp_path):
    create_authority(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(ConfigurationError, match="already there"):
        create_authority(tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_renewal_keeps_the_key_and_changes_the_certificate(tmp_path):
    create_authority(tmp_path)
    cert, key = issue_server(tmp_path, ["localhost"])
    before = cert.read_bytes(), key.read_bytes()

    issue_server(tmp_path, ["localhost"])

    assert key.read_bytes() == before[1]
    assert cert.read_bytes() != before[0]


@pytest.mark.parametrize("name", ["ca.key", "server.key"])
def test_key_that_others_can_read_is_refused(tmp_path, name):
    create_authority(tmp_path)
    issue_server(tmp_path, ["localhost"])
    (tmp_path / name).chmod(0o644)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        issue_server(tmp_path, ["localhost"])


@pytest.mark.parametrize("names", [[], ["hub.exämple"]])
def test_names_that_cannot_stand_in_a_certificate(tmp_path, names):
    create_authority(tmp_path)
    with pytest.raises(ConfigurationError):
        issue_server(tmp_path, names)


def test_without_an_authority_nothing_is_issued(tmp_path):
    with pytest.raises(ConfigurationError, match="hub init"):
        issue_server(tmp_path, ["localhost"])


def test_context_trusts_this_authority_alone_and_checks_names(tmp_path):
    context = pinned_context(create_authority(tmp_path))
    assert len(context.get_ca_certs()) == 1
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_fingerprint_is_the_hash_of_the_certificate(tmp_path):
    pem = create_authority(tmp_path)
    assert fingerprint(pem) == hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


@pytest.mark.parametrize("pem", ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"])
def test_other_text_than_a_certificate_is_refused(pem):
    with pytest.raises(ConfigurationError):
        pinned_context(pem)
    with pytest.raises(ConfigurationError):
        fingerprint(pem)


def test_two_certificates_are_not_one_authority(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with pytest.raises(ConfigurationError):
        pinned_context(create_authority(tmp_path / "a") + create_authority(tmp_path / "b"))
