"""One program a home: an advisory lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
from pathlib import Path
from types import TracebackType

from sojourn.errors import ConfigurationError


class HomeLock:
    """Held while a program has a home open; ConfigurationError where another has it."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "lock").open("a")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise ConfigurationError(
                "Another program has this home open.", remedy="Use the running one, or stop it first."
            ) from error

    def release(self) -> None:
        """Let others in."""
        self._file.close()

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
