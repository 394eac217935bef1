"""What a snapshot's persons can be found by at other sites: a hash of each one's identifier, sealed under a node's key.

home/datasets/linkage.key               the secret (0600) that the files are sealed with
home/datasets/NAME/SNAPSHOT.linkage     person numbers and hashes, AES-256-GCM

Made only where the dictionary says what the person column holds. It never leaves; what does is points of a curve that
`secrecy.intersection` makes of it under keys that two sites agree on.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pyroaring import BitMap

from sojourn.errors import DatasetError
from sojourn.node.dictionary import Dictionary
from sojourn.node.whole import write_whole

LINKAGE = ".linkage"
_HASH = 32
_NONCE = 12
_ROW = np.dtype([("number", "<u4"), ("hash", "V32")])


def normalised(identifier: str) -> str:
    """An identifier as every site writes it: letters and digits alone, small, in Unicode's NFKC form."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", identifier).casefold())
    return "".join(sign for sign in folded if sign.isalnum())


def write_linkage(path: Path, home: Path, dictionary: Dictionary, numbers: Mapping[str, int]) -> None:
    """Seal the persons' hashes; `numbers`: identifier → person number.

    DatasetError, with counts alone, where an identifier is empty once it is written alike, or two are the same.
    """
    written = {identifier: normalised(identifier) for identifier in numbers}
    empty = sum(not word for word in written.values())
    doubles = len(written) - len(set(written.values()))
    if empty or doubles:
        raise DatasetError(
            f"column `{dictionary.person}`: {empty} persons have no letter or digit in their identifier, and {doubles} "
            "differ from another in signs or capitals only, so that sites would not count the same.",
            remedy="Write each person's identifier in one way in the file, or leave `linkage` out.",
        )
    rows = np.empty(len(numbers), dtype=_ROW)
    rows["number"] = np.fromiter(numbers.values(), dtype=np.uint32, count=len(numbers))
    hashes = b"".join(_hash(dictionary.linkage, written[identifier]) for identifier in numbers)
    rows["hash"] = np.frombuffer(hashes, dtype="V32")
    nonce = secrets.token_bytes(_NONCE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(nonce + AESGCM(_key(home)).encrypt(nonce, rows.tobytes(), None))


def linked(path: Path, home: Path, persons: BitMap) -> set[bytes]:
    """The hashes of these persons; DatasetError where the file is not there, damaged, or lacks one of them."""
    try:
        sealed = path.read_bytes()
        rows = np.frombuffer(AESGCM(_key(home)).decrypt(sealed[:_NONCE], sealed[_NONCE:], None), dtype=_ROW)
    except (FileNotFoundError, InvalidTag, ValueError):
        raise _none() from None
    chosen = np.isin(rows["number"], np.fromiter(persons, dtype=np.uint32, count=len(persons)))
    found = {bytes(row) for row in rows["hash"][chosen]}
    if len(found) != len(persons):
        raise _none()
    return found


def _hash(linkage: str, identifier: str) -> bytes:
    return hashlib.sha256(f"sojourn-linkage-v1\0{linkage}\0{identifier}".encode()).digest()


def _key(home: Path) -> bytes:
    path = home / "datasets" / "linkage.key"
    if not path.exists():
        write_whole(path, secrets.token_hex(32) + "\n")
    return bytes.fromhex(path.read_text(encoding="ascii").strip())


def _none() -> DatasetError:
    return DatasetError(
        "The snapshot's persons cannot be found at other sites: its linkage file is missing or damaged.",
        remedy="Import the dataset again under a dictionary with `linkage`, or restore it from your backup.",
    )
