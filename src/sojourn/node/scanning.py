"""A custodian or checker examines a file by hand before it leaves by another way: `sojourn airlock scan`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sojourn.disclosure.artifact import Judgement, judge_artifact
from sojourn.disclosure.fingerprints import Match, Prints, scan
from sojourn.disclosure.readers.contents import MOST_BYTES
from sojourn.disclosure.text import Vocabulary, vocabulary
from sojourn.errors import ConfigurationError
from sojourn.node.config import NodeHome
from sojourn.node.dataset import current_snapshot, dataset_names
from sojourn.node.prints import ENDING, load_prints, prints_key


def scan_file(home: NodeHome, path: Path) -> Judgement:
    """The judgement over one file by the fingerprints of all datasets of this node.

    ConfigurationError where there is no file; DatasetError where a dataset has no fingerprints: nothing is said then.
    """
    if not path.is_file():
        raise ConfigurationError("There is no such file.", remedy="Give the path of one file.")
    known = fingerprints(home)
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    return judge_artifact(data, lambda text: find(text, known))


def fingerprints(home: NodeHome) -> list[tuple[str, Prints, Vocabulary]]:
    """Every dataset of a node with the fingerprints of its current snapshot and its published words."""
    found = []
    for name in dataset_names(home.folder):
        snapshot = current_snapshot(home.folder, name)
        prints = load_prints(snapshot.path.with_suffix(ENDING), prints_key(home.folder))
        found.append((name, prints, vocabulary(snapshot.dictionary.columns, (name,))))
    return found


def find(text: str, known: list[tuple[str, Prints, Vocabulary]]) -> tuple[Match, ...]:
    """What of these datasets is in a text; a column is named with its dataset."""
    return tuple(
        Match(match.kind, f"{name}.{match.column}", match.reading)
        for name, prints, words in known
        for match in scan(text, prints, words)
    )


def document(judgement: Judgement) -> dict[str, Any]:
    """The JSON form, for the site alone."""
    return {**asdict(judgement), "clean": judgement.clean}


def facts(judgement: Judgement) -> dict[str, Any]:
    """What the audit log keeps of a scan: which bytes, and whether anything was found. No name, no column."""
    return {"sha256": judgement.sha256, "bytes": judgement.size, "clean": judgement.clean}
