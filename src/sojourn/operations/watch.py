"""Watches a program's store: what is committed to its audit log is counted, and said in the operators' log."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sojourn.errors import REASONS
from sojourn.operations.logs import FIELDS, SILENT, Log, error_fields
from sojourn.operations.metrics import Metrics

MOST_STUDIES = 10_000  # whose beginnings are remembered
TAMPERING = "audit.tamper_attempt"
WITNESSED = ("witness.refused", "witness.behind")  # a log that is not the one that was seen before
Counted = Callable[[str, Mapping[str, Any]], None]  # an entry's kind and facts


class Watch:
    """program: `hub` or `node`. begins, ends: the kinds of entries with which a study's time begins and ends."""

    def __init__(self, program: str, metrics: Metrics, counted: Counted, begins: str, ends: Sequence[str]) -> None:
        self.log: Log = SILENT
        self._prefix = f"sojourn_{program}"
        self._metrics = metrics
        self._counted = counted
        self._begins = begins
        self._ends = frozenset(ends)
        self._begun: OrderedDict[str, float] = OrderedDict()

    def committed(self, seconds: float, writes: int, encoded: Sequence[bytes]) -> None:
        """Called by the store after each commit, in the order of the log."""
        self._metrics.observe(f"{self._prefix}_commit_seconds", seconds)
        self._metrics.observe(f"{self._prefix}_commit_writes", writes)
        for data in encoded:
            try:
                self._entry(json.loads(data))
            except Exception as error:  # the entry stands in the audit log; only the figures lack it
                self.log.error("entry.not_watched", **error_fields(error))

    def _entry(self, entry: Mapping[str, Any]) -> None:
        kind, facts = str(entry["kind"]), entry["facts"]
        if kind in WITNESSED:
            self._metrics.count(f"{self._prefix}_witness_refusals_total")
        if kind == TAMPERING:
            self._metrics.count(f"{self._prefix}_tamper_attempts_total", amount=facts["times"])
        self._counted(kind, facts)
        fields = {name: value for name, value in facts.items() if name in FIELDS}
        if fields.get("reason", "") not in REASONS:  # a person's own words, in an entry about people
            fields.pop("reason", None)
        fields |= {"study": entry["study"]} if entry["study"] else {}
        fields |= self._lasted(kind, entry)
        tell = self.log.error if kind == TAMPERING or kind in WITNESSED else self.log.info
        tell(kind, actor=entry["actor"], entry=entry["sequence"], **fields)

    def _lasted(self, kind: str, entry: Mapping[str, Any]) -> dict[str, float]:
        now = datetime.fromisoformat(entry["time"]).timestamp()
        if kind == self._begins:
            self._begun[entry["study"]] = now
            if len(self._begun) > MOST_STUDIES:
                self._begun.popitem(last=False)
        elif kind in self._ends and entry["study"] in self._begun:
            return {"seconds": round(now - self._begun.pop(entry["study"]), 3)}
        return {}
