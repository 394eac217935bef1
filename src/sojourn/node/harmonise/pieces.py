"""The staged pieces of a plan's sources: a step for each file, so that one more file makes no other one anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import export_files, staging
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.passing import Read
from sojourn.node.harmonise.steps import Step, Steps
from sojourn.omop.plan_files import File

_ELSEWHERE = ("path", "database", "table")  # what of a source's description says where it is, not how it is read


@dataclass(frozen=True)
class Piece:
    """One file of a source. said: what it is called there. digest: SHA-256 (hex) of what was read."""

    said: str
    digest: str
    step: Step


@dataclass(frozen=True)
class Stager:
    """Makes pieces. share: the part of persons that is kept. tables: what was read of databases, by source."""

    engine: Engine
    steps: Steps
    export: Path
    share: float
    tables: Mapping[str, Read]

    def pieces(self, name: str, file: File, columns: tuple[str, ...]) -> tuple[Piece, ...]:
        """Every file of a source, or its table, staged."""
        if file.database:
            read = self.tables[name]
            return (self._piece(file.said, read.path, read.digest, name, file, columns),)
        found = export_files.find(self.export, name, file)
        if len(found) > 1:
            export_files.demand_alike(self.engine, found, name, file)
        return tuple(self._piece(each.said, each.path, "", name, file, columns) for each in found)

    def _piece(self, said: str, path: Path, digest: str, name: str, file: File, columns: tuple[str, ...]) -> Piece:
        before = staging.state(path)
        digest = digest or staging.digest(path)
        words = {word: value for word, value in file.model_dump(mode="json").items() if word not in _ELSEWHERE}
        kind = "table" if file.database else path.suffix
        follows = [digest, words, columns, self.share if file.person else 1.0, kind]

        def build(folder: Path) -> dict[str, Any]:
            if staging.state(path) != before:
                raise HarmonisationError(
                    f"File `{name}` changed while it was read.", remedy="Wait until the export is complete."
                )
            return staging.stage(self.engine, path, name, file, columns, self.share, folder)

        return Piece(said, digest, self.steps.make("stage", follows, build))


def digest(file: File, pieces: Sequence[Piece]) -> str:
    """Of one file its own; of several one over all names and digests."""
    if not file.several:
        return pieces[0].digest
    return hashlib.sha256(json.dumps([[each.said, each.digest] for each in pieces]).encode()).hexdigest()
