"""An audit entry: who did what to which thing, why; no personal data of patients, ever."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import rfc8785


@dataclass(frozen=True)
class Entry:
    """One event, e.g. `Entry("release.sealed", actor="node:Cleveland", study="…", facts={"sha256": "…"})`.

    kind: noun.verb of the event catalogue. actor: `researcher:KEYID`, `node:SITE`, `hub`, `custodian`, `administrator`.
    study, dataset: where they apply. facts: short JSON values (hashes, names of columns, rule families); never a value
    from a record.
    """

    kind: str
    actor: str
    study: str = ""
    dataset: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def encode(self, sequence: int, time: str) -> bytes:
        """Canonical bytes of the entry at its place in the log; `time` is UTC, ISO 8601."""
        return rfc8785.dumps(
            {
                "sequence": sequence,
                "time": time,
                "kind": self.kind,
                "actor": self.actor,
                "study": self.study,
                "dataset": self.dataset,
                "facts": dict(self.facts),
            }
        )
