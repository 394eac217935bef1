"""Key files: written once, for their owner only."""

from __future__ import annotations

import pytest

from sojourn.errors import IdentityError
from sojourn.identity.keys import PrivateKey, PublicKey


def test_saved_key_signs_as_before(tmp_path):
    key = PrivateKey.generate()
    key.save(tmp_path / "me.key")

    loaded = PrivateKey.load(tmp_path / "me.key")

    assert loaded.public == key.public
    assert PublicKey.from_hex((tmp_path / "me.key.pub").read_text()).verify(loaded.sign(b"m"), b"m")


def test_key_file_is_written_for_its_owner_only(tmp_path):
    PrivateKey.generate().save(tmp_path / "me.key")
    assert (tmp_path / "me.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_key_file_that_others_can_reach_is_refused(tmp_path, mode):
    path = tmp_path / "me.key"
    PrivateKey.generate().save(path)
    path.chmod(mode)

    with pytest.raises(IdentityError, match="chmod 600"):
        PrivateKey.load(path)


def test_key_file_is_never_overwritten(tmp_path):
    path = tmp_path / "me.key"
    PrivateKey.generate().save(path)
    before = path.read_bytes(), path.with_name("me.key.pub").read_bytes()

    with pytest.raises(IdentityError, match="already there"):
        PrivateKey.generate().save(path)

    assert (path.read_bytes(), path.with_name("me.key.pub").read_bytes()) == before


@pytest.mark.parametrize("content", ["", "zz", "00" * 31, "00" * 33, "ключ"])
def test_damaged_key_file_is_refused_without_its_content(tmp_path, content):
    path = tmp_path / "me.key"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)

    with pytest.raises(IdentityError, match="damaged") as refusal:
        PrivateKey.load(path)

    assert not content or content not in str(refusal.value)


def test_missing_key_file_tells_how_to_make_one(tmp_path):
    with pytest.raises(IdentityError, match="sojourn login"):
        PrivateKey.load(tmp_path / "none")


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "00" * 33])
def test_only_64_hex_digits_are_a_public_key(text):
    with pytest.raises(IdentityError):
        PublicKey.from_hex(text)
