"""Snapshots of finished tables, and the one pointer that readers follow: they see the old or the new, never between.

A snapshot's id is keyed as a dataset's is (see `dataset`): plans pin it, and it must not confirm a guess of the data.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rfc8785

from sojourn.errors import HarmonisationError
from sojourn.node.harmonise.places import Places
from sojourn.node.harmonise.steps import keep_folder
from sojourn.node.whole import write_whole

MANIFEST, PLAN = "manifest.json", "plan.yaml"
Audit = Callable[[str, dict[str, Any]], None]  # kind of entry, facts


@dataclass(frozen=True)
class History:
    """The snapshots that were published, the oldest first, and which of them readers take; none: 0 of none."""

    snapshots: tuple[str, ...] = ()
    at: int = -1

    @property
    def current(self) -> str:
        """The snapshot that readers take, or nothing."""
        return self.snapshots[self.at] if self.snapshots else ""

    def followed_by(self, snapshot: str) -> History:
        """A new snapshot after the current one; what was undone can no longer be redone, but is kept."""
        if snapshot == self.current:
            return self
        kept = self.snapshots[: self.at + 1]
        return History((*kept, snapshot), len(kept))


def history(places: Places) -> History:
    """The history of a source; HarmonisationError where it is damaged."""
    if not places.current.is_file():
        return History()
    try:
        words = json.loads(places.current.read_text(encoding="utf-8"))
        found = History(tuple(words["snapshots"]), int(words["at"]))
    except (ValueError, KeyError, TypeError):
        found = History(("",), 0)
    if not all(re.fullmatch(r"[0-9a-f]{16}", each) for each in found.snapshots) or not 0 <= found.at < len(
        found.snapshots
    ):
        raise HarmonisationError("The pointer to the snapshots is damaged.", remedy="Restore it from your backup.")
    return found


def snapshot_id(key: bytes, inputs: dict[str, Any]) -> str:
    """16 hex digits, from all that the tables follow from, under the node's own key."""
    return hmac.digest(key, rfc8785.dumps(inputs), "sha256").hex()[:16]


def publish(
    places: Places, snapshot: str, manifest: dict[str, Any], plan: str, files: dict[str, list[Path]], audit: Audit
) -> bool:
    """Keep a snapshot and make it the current one; whether anything changed.

    files: of each table its finished Parquet files, which are linked, so that equal parts take no room twice. The audit
    entry comes before the pointer: without it nothing is seen.
    """
    place = places.snapshots / snapshot
    if not (place / MANIFEST).is_file():
        shutil.rmtree(place, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="snapshot-", dir=places.work))
        try:
            for table, paths in files.items():
                (folder / table).mkdir(mode=0o700)
                for number, path in enumerate(paths):
                    os.link(path, folder / table / f"{number:04}.parquet")
            (folder / PLAN).write_text(plan, encoding="utf-8")
            (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
            keep_folder(folder, place)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    before = history(places)
    after = before.followed_by(snapshot)
    if after == before:
        return False
    audit("tables.published", {"source": places.source, "snapshot": snapshot, "plan": manifest["plan"]})
    _point(places, after)
    return True


def step_back(places: Places, audit: Audit) -> str:
    """Undo the last publication: readers take the snapshot before; its id."""
    return _step(places, -1, "tables.undone", "There is no earlier snapshot.", audit)


def step_forward(places: Places, audit: Audit) -> str:
    """Redo what was undone; the snapshot's id."""
    return _step(places, 1, "tables.redone", "Nothing was undone since the last run.", audit)


def manifest_of(places: Places, snapshot: str = "") -> dict[str, Any]:
    """What a snapshot follows from and holds; of the current one if none is named."""
    named = snapshot or history(places).current
    path = places.snapshots / named / MANIFEST
    if not re.fullmatch(r"[0-9a-f]{16}", named) or not path.is_file():
        raise HarmonisationError(
            "There is no such snapshot.", remedy="See `sojourn harmonise list`; make one with `sojourn harmonise run`."
        )
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _step(places: Places, by: int, kind: str, nothing: str, audit: Audit) -> str:
    before = history(places)
    at = before.at + by
    if not 0 <= at < len(before.snapshots):
        raise HarmonisationError(nothing, remedy="See `sojourn harmonise list`.")
    after = History(before.snapshots, at)
    manifest_of(places, after.current)
    audit(kind, {"source": places.source, "snapshot": after.current, "before": before.current})
    _point(places, after)
    return after.current


def _point(places: Places, to: History) -> None:
    write_whole(places.current, json.dumps({"snapshots": list(to.snapshots), "at": to.at}) + "\n")
