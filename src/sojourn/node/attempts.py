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
_OTHERS = ("attempts", "cancelled", "revoked", "rounds", "broadcast", "no sandbox", "no space", "no table", "unusual")
_WITHOUT_DATA = frozenset(_OTHERS)
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Attempts:
    """The count of one node. most: refused and failed asks of a researcher on a dataset; 0: no bound."""

    def __init__(self, store: NodeStore, most: int) -> None:
        self._store = store
        self._most = most
        self._shapes: dict[str, str] = {}  # study → what its plan is without literals

    def exhausted(self, run: Run, now: float) -> bool:
        """Whether a further first round of this run's researcher on its dataset would be one too many."""
        known = self._store.run(run.request.study) if self._most else None
        if known is None:
            return False
        asks = self._store.first_asks(known["researcher"], run.dataset, now - WINDOW)
        told = [(ask["study"], ask["reason"] or _untold(ask, run.request.study)) for ask in asks]
        counted = [(study, reason) for study, reason in told if reason not in _WITHOUT_DATA]
        failed = [study for study, reason in counted if reason]
        if len(failed) >= self._most:
            return True
        own = shape_of(run.request.plan)
        if own not in {self._shape(study) for study in failed}:
            return False
        return sum(self._shape(study) == own for study, _ in counted) >= ALIKE

    def _shape(self, study: str) -> str:
        if study not in self._shapes:
            run = self._store.run(study)
            assert run is not None
            self._shapes[study] = shape_of(Request.read(Envelope.from_dict(json.loads(run["request"]))).plan)
        return self._shapes[study]


def _untold(ask: RowMapping, now: str) -> str:
    """A masked analysis that came to no numbers told a bit by that; one of the study in hand may still come to some."""
    return "joint test" if ask["untold"] and ask["study"] != now else ""


def shape_of(plan: Mapping[str, Any]) -> str:
    """What is left of a plan without its literals: condition and analyses, every number and text as the same sign."""
    asked = {
        "where": _LITERAL.sub("?", str(plan.get("where", ""))),
        "analyses": _LITERAL.sub("?", json.dumps(plan.get("analyses", {}), sort_keys=True).replace('"', "`")),
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
