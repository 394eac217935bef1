"""Where a node keeps what it harmonises.

home/harmonised/pseudonym.key           the custodian's key (0600) of row numbers and pseudonyms
home/harmonised/SOURCE/steps/KEY/       one finished step each, named by all that it follows from
home/harmonised/SOURCE/pilots/PLAN/     the pilot of a plan: report.json, report.html, signature.json
home/harmonised/SOURCE/snapshots/ID/    one set of tables, never changed: TABLE/*.parquet, manifest.json, plan.yaml
home/harmonised/SOURCE/current          the history of snapshots, and which of them readers take
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from sojourn.errors import HarmonisationError
from sojourn.node.whole import sync_folder

KEY_BYTES = 32


@dataclass(frozen=True)
class Places:
    """The folders of one source in a node's home."""

    home: Path
    source: str

    @property
    def folder(self) -> Path:
        """Everything of the source."""
        return self.home / "harmonised" / self.source

    @property
    def known(self) -> bool:
        """Whether it is the name of a source that is there."""
        return re.fullmatch(r"[a-z][a-z0-9_]{0,40}", self.source) is not None and self.folder.is_dir()

    @property
    def steps(self) -> Path:
        """Finished steps."""
        return self.folder / "steps"

    @property
    def snapshots(self) -> Path:
        """Finished sets of tables."""
        return self.folder / "snapshots"

    @property
    def work(self) -> Path:
        """What is being made; whatever lies there when nobody works is rubbish."""
        return self.folder / "work"

    @property
    def current(self) -> Path:
        """The pointer that readers follow."""
        return self.folder / "current"

    def pilot(self, digest: str) -> Path:
        """The folder of a plan's pilot."""
        return self.folder / "pilots" / digest[:16]

    def make(self) -> None:
        """Make the folders, for their owner alone."""
        for folder in (self.steps, self.snapshots, self.work, self.folder / "pilots"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def custodian_key(home: Path) -> bytes:
    """The key of row numbers and pseudonyms; made at first use. HarmonisationError where it is damaged or lies open.

    Whoever loses it cannot make the same numbers again; whoever else has it can find a patient's by trying.
    """
    path = home / "harmonised" / "pseudonym.key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        if any(path.parent.glob("*/snapshots/*")):
            raise HarmonisationError(
                "The key of pseudonyms is not there, and tables were made with it.",
                remedy="Restore `harmonised/pseudonym.key` from your backup; numbers must never change.",
            )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)
    key = path.read_bytes()
    if len(key) != KEY_BYTES or stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise HarmonisationError(
            "The key of pseudonyms is not whole, or others can read it.",
            remedy="Restore `harmonised/pseudonym.key` from your backup, with `chmod 600`.",
        )
    return key
