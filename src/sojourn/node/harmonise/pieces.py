"""The staged pieces of a plan's sources: a step for each file, so that one more file makes no other one anew."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise import export_files, staging
from sojourn.node.harmonise.engine import Engine
from sojourn.node.harmonise.steps import Step, Steps
from sojourn.omop.plan import File

_ELSEWHERE = {"path"}  # what of a source's description says where it is, not how it is read


@dataclass(frozen=True)
class Piece:
    """One file of a source. said: what it is called there. digest: SHA-256 (hex) of what was read."""

    said: str
    digest: str
    step: Step


def of_files(
    engine: Engine, steps: Steps, export: Path, name: str, file: File, columns: tuple[str, ...], share: float
) -> tuple[Piece, ...]:
    """Every file of a source, staged. share: the part of persons that is kept."""
    found = export_files.find(export, name, file)
    if len(found) > 1:
        export_files.demand_alike(engine, found, name, file)
    return tuple(_of_file(engine, steps, each, name, file, columns, share) for each in found)


def _of_file(
    engine: Engine,
    steps: Steps,
    found: export_files.Found,
    name: str,
    file: File,
    columns: tuple[str, ...],
    share: float,
) -> Piece:
    path = found.path
    before = staging.state(path)
    digest = staging.digest(path)
    read = file.model_dump(mode="json", exclude=_ELSEWHERE)
    follows = [digest, read, columns, share if file.person else 1.0, path.suffix]

    def build(folder: Path) -> dict[str, Any]:
        if staging.state(path) != before:
            raise HarmonisationError(
                f"File `{name}` changed while it was read.", remedy="Wait until the export is complete."
            )
        return staging.stage(engine, path, name, file, columns, share, folder)

    return Piece(found.said, digest, steps.make("stage", follows, build))


def digest(file: File, pieces: Sequence[Piece]) -> str:
    """Of one file its own; of several one over all names and digests."""
    if not file.several:
        return pieces[0].digest
    return hashlib.sha256(json.dumps([[each.said, each.digest] for each in pieces]).encode()).hexdigest()
