"""Rows of a node's store as its custodian reads them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import RowMapping

from sojourn.identity.envelope import Envelope, Request
from sojourn.identity.keys import PublicKey


def approval_shown(row: RowMapping) -> dict[str, Any]:
    """An approval as people read it; the key by its short name, which `sojourn whoami` shows too."""
    return {
        "project": row["project"],
        "key": PublicKey.from_hex(row["key"]).id,
        "name": row["name"],
        "tables": json.loads(row["tables"]),
        "approved": time_shown(row["approved"]),
        "revoked": time_shown(row["revoked"]),
    }


def checker_shown(row: RowMapping) -> dict[str, Any]:
    """A checker as people read it."""
    return {
        "name": row["name"],
        "key": PublicKey.from_hex(row["key"]).id,
        "added": time_shown(row["added"]),
        "removed": time_shown(row["removed"]),
    }


def run_shown(row: RowMapping) -> dict[str, Any]:
    """A run with the hash of the plan that was signed, which a researcher's report shows too."""
    request = Request.read(Envelope.from_dict(json.loads(row["request"])))
    return {
        "study": row["study"],
        "project": row["project"],
        "plan": request.plan_hash,
        "key": PublicKey.from_hex(row["researcher"]).id,
        "rehearsal": request.rehearsal,
        "admitted": time_shown(row["admitted"]),
        "ended": row["ended"] or "running",
    }


def time_shown(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
