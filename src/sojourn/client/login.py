"""Who the researcher is and which hub is theirs: a small file beside the researcher's key, both 0600."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from sojourn.errors import ConfigurationError, IdentityError
from sojourn.identity.keys import PrivateKey
from sojourn.wire.address import Address


def default_folder() -> Path:
    """Where logins are kept: SOJOURN_LOGIN, else the user's configuration folder."""
    chosen = os.environ.get("SOJOURN_LOGIN")
    base = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    return Path(chosen) if chosen else base / "sojourn"


@dataclass(frozen=True)
class Login:
    """One hub's address and the key file to sign with."""

    address: Address
    key_file: str

    def key(self) -> PrivateKey:
        """The researcher's key; refused when others may read it."""
        return PrivateKey.load(Path(self.key_file))


def save_login(address: Address, key_file: Path | None, folder: Path | None = None) -> Login:
    """Remember a hub, making a new key where none is given. The last one saved is the one in use."""
    folder = folder or default_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if key_file is None:
        key_file = folder / "researcher.key"
        if not key_file.exists():
            PrivateKey.generate().save(key_file)
    PrivateKey.load(key_file)
    login = Login(address, str(key_file.resolve()))
    path = folder / "login.json"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"address": asdict(address), "key_file": login.key_file}, file, indent=2)
    return login


def load_login(folder: Path | None = None) -> Login:
    """The login in use; IdentityError where there is none."""
    path = (folder or default_folder()) / "login.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Login(Address(**document["address"]), str(document["key_file"]))
    except FileNotFoundError as error:
        raise IdentityError("You are not logged in.", remedy="Run `sojourn login ADDRESS`.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError("The login file is damaged.", remedy="Run `sojourn login ADDRESS` again.") from error


def forget_login(folder: Path | None = None) -> None:
    """Remove the login; the key file stays."""
    ((folder or default_folder()) / "login.json").unlink(missing_ok=True)
