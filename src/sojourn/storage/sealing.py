"""Sealing a file with age: to the public keys of who may open it, to a passphrase, or, said in words, not at all.

What was sealed to keys is an ordinary age file (`age --decrypt` opens it). age has no streams under a passphrase that
we could use, so such a file begins with a fresh age key in armour, under the passphrase, and goes on as an age file to
that key. Nothing is held in memory but one piece.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyrage
from pyrage.x25519 import Identity, Recipient

from sojourn.errors import ConfigurationError, IdentityError

LEAST_PASSPHRASE = 12
_AGE = b"age-encryption.org/v1\n"
_ARMOUR, _ARMOUR_END = b"-----BEGIN AGE ENCRYPTED FILE-----\n", b"-----END AGE ENCRYPTED FILE-----\n"
_ARMOUR_LINES = 100
_PIECE = 1 << 16


@dataclass(frozen=True)
class Key:
    """What opens a sealed file: age identities or a passphrase; neither, for a file that is not sealed."""

    identities: tuple[Identity, ...] = ()
    passphrase: str = ""

    @classmethod
    def of_identities(cls, path: Path) -> Key:
        """The keys (`AGE-SECRET-KEY-1…`) of a file as `age-keygen` writes it."""
        lines = [line.strip() for line in _private_text(path).splitlines()]
        try:
            found = tuple(Identity.from_str(line) for line in lines if line and not line.startswith("#"))
        except pyrage.IdentityError:
            found = ()
        if not found:
            raise IdentityError("That is not a file of age keys.", remedy="Give the file that `age-keygen -o` wrote.")
        return cls(identities=found)

    @classmethod
    def of_passphrase(cls, path: Path) -> Key:
        """The passphrase that a file holds."""
        return cls(passphrase=_passphrase(path))


@dataclass(frozen=True)
class Seal:
    """How a file is sealed (`recipient`, `passphrase`, `plain`), and the key by which its maker reads it back."""

    how: str
    own: Key
    head: bytes = b""
    recipients: tuple[Recipient, ...] = ()

    @classmethod
    def to_recipients(cls, keys: Sequence[str]) -> Seal:
        """To age public keys (`age1…`), and to one more that is forgotten once the file was read back and checked."""
        try:
            recipients = [Recipient.from_str(key.strip()) for key in keys]
        except pyrage.RecipientError as error:
            remedy = "Give the line that begins with age1, from `age-keygen`."
            raise IdentityError("That is not an age recipient.", remedy=remedy) from error
        own = Identity.generate()
        return cls("recipient", Key((own,)), recipients=(*recipients, own.to_public()))

    @classmethod
    def to_passphrase(cls, path: Path) -> Seal:
        """To the passphrase that a file holds."""
        passphrase, own = _passphrase(path), Identity.generate()
        head = pyrage.passphrase.encrypt(str(own).encode("ascii"), passphrase, armored=True)
        return cls("passphrase", Key(passphrase=passphrase), head, (own.to_public(),))

    @classmethod
    def plain(cls) -> Seal:
        """Not sealed: whoever has the file has all that it holds."""
        return cls("plain", Key())

    def write(self, pieces: Iterator[bytes], file: IO[bytes]) -> None:
        """Write the pieces; errors of making or of writing them reach the caller as they are."""
        file.write(self.head)
        if not self.recipients:
            for piece in pieces:
                file.write(piece)
            return
        watch = _Watch()
        source = _Source(pieces, watch)
        try:
            pyrage.encrypt_io(source, _Sink(file, watch), list(self.recipients))
        except (pyrage.EncryptError, OSError) as error:
            raise watch.problem or error from None


def seal_of(recipients: Sequence[str], passphrase: Path | None, plain: bool) -> Seal:
    """The one of three ways that was asked for; ConfigurationError where none was, or more than one."""
    if bool(recipients) + (passphrase is not None) + plain != 1:
        raise ConfigurationError(
            "Say in one way how the backup is sealed.",
            remedy="Give --recipient age1…, or --passphrase-file FILE, or, on your own responsibility, --plain.",
        )
    if passphrase is not None:
        return Seal.to_passphrase(passphrase)
    return Seal.to_recipients(recipients) if recipients else Seal.plain()


def key_of(identity: Path | None, passphrase: Path | None) -> Key:
    """What was given to open a file; ConfigurationError for both at once."""
    if identity is not None and passphrase is not None:
        raise ConfigurationError("A file has one seal.", remedy="Give --identity or --passphrase-file, not both.")
    if identity is not None:
        return Key.of_identities(identity)
    return Key() if passphrase is None else Key.of_passphrase(passphrase)


@contextmanager
def opened(path: Path, key: Key) -> Iterator[IO[bytes]]:
    """What a sealed file holds, as a stream to be read to its end; ConfigurationError where it cannot be, or was cut.

    IdentityError where this key does not open it, and where it is not sealed though a key is given: a file that
    somebody put in place of a sealed one.
    """
    with path.open("rb") as file:
        first = file.readline(len(_ARMOUR))
        if first not in (_AGE, _ARMOUR):
            if key != Key():
                raise IdentityError(
                    "The file is not sealed, though you gave a key.",
                    remedy="Find the sealed one; only where you made this one with --plain, leave the key away.",
                )
            file.seek(0)
            yield file
            return
        identities = _identities(first, file, key)
        with _decrypted(file, identities) as stream:
            yield stream


def _identities(first: bytes, file: IO[bytes], key: Key) -> Sequence[Identity]:
    """The keys of the age stream, with `file` at its beginning."""
    if first == _AGE:
        file.seek(0)
        if not key.identities:
            raise IdentityError("The file is sealed to a key.", remedy="Give it: --identity FILE.")
        return key.identities
    if not key.passphrase:
        raise IdentityError("The file is sealed to a passphrase.", remedy="Give it: --passphrase-file FILE.")
    head = first
    for _ in range(_ARMOUR_LINES):
        line = file.readline(len(_ARMOUR) * 2 + 10)
        head += line
        if line == _ARMOUR_END:
            break
    try:
        return [Identity.from_str(pyrage.passphrase.decrypt(head, key.passphrase).decode("ascii"))]
    except (pyrage.DecryptError, pyrage.IdentityError, UnicodeDecodeError) as error:
        remedy = "Give the passphrase that it was made with; if it is that one, the file is damaged: take another."
        raise IdentityError("This passphrase does not open the file.", remedy=remedy) from error


@contextmanager
def _decrypted(file: IO[bytes], identities: Sequence[Identity]) -> Iterator[IO[bytes]]:
    """A stream that another thread decrypts into; after the block its end must have been reached."""
    problems: list[BaseException] = []
    read_end, write_end = os.pipe()

    def decrypt() -> None:
        with suppress(BrokenPipeError), os.fdopen(write_end, "wb", _PIECE) as sink:
            try:
                pyrage.decrypt_io(file, sink, list(identities))
            except Exception as error:
                problems.append(error)  # before the stream ends: who sees its end finds the reason

    thread = threading.Thread(target=decrypt, name="unsealing", daemon=True)
    with os.fdopen(read_end, "rb") as stream:
        thread.start()
        try:
            yield stream
        except Exception as error:
            why = _unopened(problems[0]) if problems else error
            _finish(stream, thread)
            raise why from None
        _finish(stream, thread)
    if problems:
        raise _unopened(problems[0])


def _finish(stream: IO[bytes], thread: threading.Thread) -> None:
    with suppress(OSError):
        stream.close()
    thread.join()


def _unopened(problem: BaseException) -> Exception:
    if isinstance(problem, pyrage.DecryptError) and "No matching keys" in str(problem):
        return IdentityError("This key does not open the file.", remedy="Give the key that it was sealed to.")
    return damaged()


def damaged() -> ConfigurationError:
    """The error for a file that is not as it was written."""
    return ConfigurationError(
        "The file is damaged or cut short: its contents are not what was sealed.",
        remedy="Copy it again from where it is kept, or take an earlier one. Nothing was restored.",
    )


def _passphrase(path: Path) -> str:
    text = _private_text(path).rstrip("\r\n")
    if len(text) < LEAST_PASSPHRASE:
        raise IdentityError(
            f"The passphrase is shorter than {LEAST_PASSPHRASE} characters.", remedy="Use six words drawn by chance."
        )
    return text


def _private_text(path: Path) -> str:
    try:
        mode, text = stat.S_IMODE(path.stat().st_mode), path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityError(f"{path.name} cannot be read.", remedy="Give the path of a text file of yours.") from error
    if mode & 0o077:
        raise IdentityError(f"{path.name} can be read by others.", remedy=f"Run `chmod 600 {path.name}`.")
    return text


class _Watch:
    """pyrage tells the text of an error in its streams; this keeps the error itself."""

    problem: Exception | None = None

    def __call__(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except Exception as error:
            self.problem = error
            raise


class _Source:
    def __init__(self, pieces: Iterator[bytes], watch: _Watch) -> None:
        self._pieces = pieces
        self._rest = b""
        self._watch = watch

    def read(self, size: int) -> bytes:
        while not self._rest:
            piece = self._watch(lambda: next(self._pieces, None))
            if piece is None:
                return b""
            self._rest = piece
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


class _Sink:
    def __init__(self, file: IO[bytes], watch: _Watch) -> None:
        self._file = file
        self._watch = watch

    def write(self, data: bytes) -> int:
        return int(self._watch(lambda: self._file.write(data)))

    def flush(self) -> None:
        self._watch(self._file.flush)
