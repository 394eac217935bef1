"""Asks that are refused or fail tell a bit each; how many a researcher may have of a dataset is bounded here.

Two bounds within `WINDOW`: of refused and failed asks (the site's setting `most_refusals`), and of asks that are alike
but for their literals once one of them was refused: a search that halves an interval asks the same with another number.
Asks that were released are not counted by the first: what they tell is the ledger's matter.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import RowMapping

from sojourn.identity.envelope import Envelope, Request
from sojourn.node.admission import Run
from sojourn.node.store import NodeStore

WINDOW = 7 * 86_400.0  # seconds
ALIKE = 6  # asks that differ in literals alone, where one was refused: so many bits of one value at the most
# Refusals that no record decides.
_OTHERS = ("attempts", "cancelled", "revoked", "rounds", "broadcast", "no sandbox", "no space", "no table")
_WITHOUT_DATA = frozenset(_OTHERS)
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


def exhausted(store: NodeStore, run: Run, most: int, now: float) -> bool:
    """Whether a further first round of this run's researcher on its dataset would be one too many."""
    if not most:
        return False
    known = store.run(run.request.study)
    researcher = "" if known is None else str(known["researcher"])
    asks = store.first_asks(researcher, run.dataset, now - WINDOW)
    failed = [ask for ask in asks if ask["reason"] and ask["reason"] not in _WITHOUT_DATA]
    if len(failed) >= most:
        return True
    own = shape_of(run.request.plan)
    alike = [ask for ask in asks if ask["reason"] not in _WITHOUT_DATA and _shape(ask) == own]
    return len(alike) >= ALIKE and any(ask["reason"] for ask in alike)


def shape_of(plan: Mapping[str, Any]) -> str:
    """What is left of a plan without its literals: condition and analyses, every number and text as the same sign."""
    asked = {
        "where": _LITERAL.sub("?", str(plan.get("where", ""))),
        "analyses": _LITERAL.sub("?", json.dumps(plan.get("analyses", {}), sort_keys=True).replace('"', "`")),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _shape(ask: RowMapping) -> str:
    return shape_of(Request.read(Envelope.from_dict(json.loads(ask["request"]))).plan)
