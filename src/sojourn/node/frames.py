"""Messages between a node and its worker: 4 bytes of length (big-endian), then JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

MOST_BYTES = 64 * 1024 * 1024
HEAD = 4


def pack(document: Mapping[str, Any]) -> bytes:
    """One frame; ValueError where it is too long or holds what JSON cannot."""
    body = json.dumps(document, allow_nan=False).encode("utf-8")
    if len(body) > MOST_BYTES:
        raise ValueError("a message is too long")
    return len(body).to_bytes(HEAD, "big") + body


def length(head: bytes) -> int:
    """The length of the body; ValueError where it is over the cap."""
    size = int.from_bytes(head, "big")
    if size > MOST_BYTES:
        raise ValueError("a message is too long")
    return size


def unpack(body: bytes) -> dict[str, Any]:
    """The document of a body; ValueError on anything but a JSON object."""
    try:
        document = json.loads(body)
    except RecursionError as error:
        raise ValueError("a message is nested too deep") from error
    if not isinstance(document, dict):
        raise ValueError("a message is not an object")
    return document


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """The next document of a stream, None at its end."""
    head = stream.read(HEAD)
    if len(head) < HEAD:
        return None
    return unpack(stream.read(length(head)))
