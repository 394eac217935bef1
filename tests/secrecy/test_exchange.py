"""Exchange keys are stated by their sites, kept to their owners, and open what was sealed to them alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sojourn.errors import IdentityError
from sojourn.identity.keys import PrivateKey
from sojourn.secrecy.exchange import ExchangeKey, open_with, roster_hash, seal_to, state, verify

SITE, OTHER = PrivateKey.generate(), PrivateKey.generate()
KEY = ExchangeKey.generate()
STATED = state("Federation", "north", KEY.public, SITE.sign)


def test_a_statement_holds_for_its_site_federation_and_key_alone() -> None:
    verify(STATED, "Federation", SITE.public.hex)
    small_order = state("Federation", "north", "ab", SITE.sign)
    for stated, federation, identity in (
        (STATED, "Another", SITE.public.hex),
        (STATED, "Federation", OTHER.public.hex),
        (STATED, "Federation", "ab"),
        (replace(STATED, site="south"), "Federation", SITE.public.hex),
        (replace(STATED, key=ExchangeKey.generate().public), "Federation", SITE.public.hex),
        (replace(STATED, key=KEY.public.upper()), "Federation", SITE.public.hex),
        (replace(STATED, signature=bytes(64)), "Federation", SITE.public.hex),
        (small_order, "Federation", SITE.public.hex),
    ):
        with pytest.raises(IdentityError):
            verify(stated, federation, identity)


def test_a_key_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "exchange.key"
    KEY.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert ExchangeKey.load(path).public == KEY.public
    with pytest.raises(IdentityError, match="already"):
        ExchangeKey.generate().save(path)
    path.chmod(0o640)
    with pytest.raises(IdentityError, match="by others"):
        ExchangeKey.load(path)
    path.chmod(0o600)
    for damaged in (b"", b"ab", b"\xff" * 64, KEY.public.encode() + b"00"):
        path.write_bytes(damaged)
        with pytest.raises(IdentityError, match="damaged"):
            ExchangeKey.load(path)
    with pytest.raises(IdentityError, match="no exchange key"):
        ExchangeKey.load(tmp_path / "nothing")


def test_sealed_shares_open_for_their_key_and_context_alone() -> None:
    sealed = seal_to(KEY.public, b"share", b"step 1")
    assert open_with(KEY, sealed, b"step 1") == b"share"
    assert sealed != seal_to(KEY.public, b"share", b"step 1")
    changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for key, blob, info in (
        (ExchangeKey.generate(), sealed, b"step 1"),
        (KEY, sealed, b"step 2"),
        (KEY, changed, b"step 1"),
        (KEY, b"", b"step 1"),
    ):
        with pytest.raises(IdentityError):
            open_with(key, blob, info)
    for public in ("", "0" * 64, "zz"):
        with pytest.raises(IdentityError):
            seal_to(public, b"share", b"step 1")


def test_everybody_agrees_in_pairs_and_nobody_with_a_point_of_small_order() -> None:
    other = ExchangeKey.generate()
    assert KEY.agree(other.public) == other.agree(KEY.public) != KEY.agree(KEY.public)
    for small in ("0" * 64, "01" + "0" * 62):
        with pytest.raises(IdentityError):
            KEY.agree(small)


def test_a_roster_has_one_hash_and_each_key_once() -> None:
    keys = {"a": ("1", "2"), "b": ("3", "4"), "c": ("5", "6")}
    assert roster_hash(keys) == roster_hash(dict(reversed(keys.items())))
    others = [{**keys, "c": ("5", "7")}, {**keys, "c": ("7", "6")}, {"a": keys["a"], "b": keys["b"]}]
    others.append({"a": keys["b"], "b": keys["a"], "c": keys["c"]})
    assert len({roster_hash(roster) for roster in [keys, *others]}) == 5
    for twice in ({**keys, "d": ("1", "8")}, {**keys, "d": ("8", "6")}):
        with pytest.raises(ValueError, match="same key"):
            roster_hash(twice)
