"""Steps of a run, each kept under a name that follows from all that went into it.

So a run that was killed goes on after its last finished step, a run over unchanged files makes nothing twice, and a
changed file or rule makes anew what depends on it and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.node.whole import sync_folder

FORMAT = 1  # raised when a step's files change their form
_FACTS = "step.json"


@dataclass(frozen=True)
class Step:
    """A finished step: its name, its folder, and what is known of it (numbers and digests, no value)."""

    key: str
    folder: Path
    facts: dict[str, Any]
    made: bool  # in this run


class Steps:
    """The finished steps of one source."""

    def __init__(self, folder: Path, work: Path, engine: str) -> None:
        self._folder, self._work, self._engine = folder, work, engine
        self.used: list[Step] = []

    def make(self, what: str, follows_from: object, build: Callable[[Path], dict[str, Any]]) -> Step:
        """The step, made by `build` in a folder of its own unless it is there. All of it is kept, or nothing."""
        named = {"what": what, "from": follows_from, "engine": self._engine, "format": FORMAT}
        key = hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:40]
        place = self._folder / key
        if made := not (place / _FACTS).is_file():
            shutil.rmtree(place, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix="step-", dir=self._work))
            try:
                facts = build(folder)
                (folder / _FACTS).write_text(json.dumps(facts, sort_keys=True), encoding="utf-8")
                keep_folder(folder, place)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        step = Step(key, place, json.loads((place / _FACTS).read_text(encoding="utf-8")), made)
        self.used.append(step)
        return step

    def forget_others(self, kept: set[str]) -> None:
        """Remove the steps that neither this run used nor `kept` names."""
        kept = kept | {step.key for step in self.used}
        for folder in self._folder.iterdir():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def keep_folder(made: Path, place: Path) -> None:
    """Put a finished folder in its place, on the disk before it has its name."""
    for file in sorted(path for path in made.rglob("*") if path.is_file()):
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    for folder in [path for path in made.rglob("*") if path.is_dir()] + [made]:
        sync_folder(folder)
    made.rename(place)
    sync_folder(place.parent)
