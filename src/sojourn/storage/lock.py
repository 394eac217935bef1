"""One program a home: an advisory lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import stat
import time
from pathlib import Path
from types import TracebackType

from sojourn.errors import ConfigurationError


class HomeLock:
    """Held while a program has a home open; ConfigurationError where another has it, or others may look into it.

    patience: seconds to wait for another program, which may be a command that is about to end.
    """

    def __init__(self, folder: Path, patience: float = 0.0) -> None:
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            raise ConfigurationError("Others can look into this home.", remedy=f"Run `chmod 700 {folder.name}`.")
        until = time.monotonic() + patience
        self._file = (folder / "lock").open("a")
        while not self._locked():
            if time.monotonic() >= until:
                self._file.close()
                raise ConfigurationError(
                    "Another program has this home open.", remedy="Use the running one, or stop it first."
                )
            time.sleep(0.05)

    def _locked(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let others in."""
        self._file.close()

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
