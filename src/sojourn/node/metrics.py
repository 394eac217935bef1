"""What a node counts and measures, for its custodian alone. See `operations.metrics` for the law of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from sojourn.disclosure.review import LIVE
from sojourn.errors import REASONS
from sojourn.node.tables import releases, reviews, runs
from sojourn.operations.metrics import Declared, Metrics, Read, of_store, store_gauges

if TYPE_CHECKING:
    from sojourn.node.service import Node

FAMILIES = (
    "minimum frequency",
    "class disclosure",
    "dominance",
    "residual freedom",
    "design support",
    "events",
    "parameters to observations",
    "histogram",
    "formal privacy",
    "privacy budget",
    "output schema",
    "check failed",
    "review",
)
BEGINS, ENDS = "run.admitted", ("run.ended",)
RELEASED = "released"

OUTCOMES = {"review.approved": "approved", "review.rejected": "rejected", "review.closed": "closed"}

DECLARED = (
    Declared("sojourn_node_connected", "gauge", "1 while the node reaches its hub, else 0."),
    Declared("sojourn_node_poll_age_seconds", "gauge", "Time since the hub last answered the node's poll."),
    Declared(
        "sojourn_node_clock_difference_seconds", "gauge", "The hub's clock less this machine's, at the latest poll."
    ),
    Declared(
        "sojourn_node_tasks_total",
        "counter",
        "Tasks by what became of them: `released`, or the reason why nothing left.",
        label="outcome",
        values="`released` and the list of reasons",
        words=(RELEASED, *REASONS),
    ),
    Declared(
        "sojourn_node_disclosure_refusals_total",
        "counter",
        "Answers that the gate kept inside, by the family of the rule.",
        label="family",
        values="the families of disclosure rules",
        words=FAMILIES,
    ),
    Declared("sojourn_node_unacknowledged", "gauge", "Decisions that the hub has still to acknowledge."),
    Declared("sojourn_node_unacknowledged_age_seconds", "gauge", "Age of the oldest of these; 0 where there is none."),
    Declared("sojourn_node_runs_live", "gauge", "Runs that were admitted and have not ended."),
    Declared("sojourn_node_reviews_open", "gauge", "Held outputs that wait for a checker."),
    Declared("sojourn_node_review_age_seconds", "gauge", "Since when the oldest of these waits; 0 where none does."),
    Declared(
        "sojourn_node_review_seconds", "histogram", "How long held outputs waited until they were decided or closed."
    ),
    Declared(
        "sojourn_node_reviews_total",
        "counter",
        "Held outputs by what became of them.",
        label="outcome",
        values="approved, rejected, closed",
        words=tuple(OUTCOMES.values()),
    ),
    Declared("sojourn_node_worker_starts_total", "counter", "Sandboxed workers that were started."),
    Declared("sojourn_node_computation_seconds", "histogram", "How long one task took from admission to its decision."),
    Declared("sojourn_node_journal_entries_total", "counter", "Failures whose texts are in the node's journal."),
    *of_store("node"),
)


class NodeMetrics(Metrics):
    """The metrics of one node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        gauges: dict[str, Read] = {
            "sojourn_node_connected": lambda: float(node.reaches_hub()),
            "sojourn_node_poll_age_seconds": lambda: node.clock() - self._of_poll(0),
            "sojourn_node_clock_difference_seconds": lambda: self._of_poll(1),
            "sojourn_node_unacknowledged": lambda: self._waiting()[0],
            "sojourn_node_unacknowledged_age_seconds": lambda: self._waiting()[1],
            "sojourn_node_runs_live": self._runs,
            "sojourn_node_reviews_open": lambda: self._held()[0],
            "sojourn_node_review_age_seconds": lambda: self._held()[1],
        }
        of_store = store_gauges("node", node.store.tail, node.clock, node.home.folder, node.ready)
        super().__init__(DECLARED, gauges | of_store)

    def entry(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Count what was written to the audit log."""
        if kind == "release.sealed":
            self.count("sojourn_node_tasks_total", RELEASED)
        if kind in OUTCOMES:
            self.count("sojourn_node_reviews_total", OUTCOMES[kind])
            self.observe("sojourn_node_review_seconds", facts["waited"])
        if kind == "release.refused":
            self.count("sojourn_node_tasks_total", facts["reason"])
            if facts["reason"] in FAMILIES:
                self.count("sojourn_node_disclosure_refusals_total", facts["reason"])

    def _of_poll(self, place: int) -> float:
        """The time of the latest poll, or the clocks' difference at it; ValueError before the first."""
        found = self._node.latest_poll()
        if found is None:
            raise ValueError("not polled yet")
        return found[place]

    def _waiting(self) -> tuple[float, float]:
        open_ones = select(func.count().label("number"), func.min(releases.c.made).label("oldest"))
        row = self._node.store.row(open_ones.where(releases.c.acknowledged.is_(False)))
        if row is None or not row["number"]:
            return 0.0, 0.0
        return float(row["number"]), max(0.0, self._node.clock() - row["oldest"])

    def _held(self) -> tuple[float, float]:
        open_ones = select(func.count().label("number"), func.min(reviews.c.opened).label("oldest"))
        row = self._node.store.row(open_ones.where(reviews.c.state.in_(LIVE)))
        if row is None or not row["number"]:
            return 0.0, 0.0
        return float(row["number"]), max(0.0, self._node.clock() - row["oldest"])

    def _runs(self) -> float:
        row = self._node.store.row(select(func.count().label("number")).where(runs.c.ended == ""))
        return 0.0 if row is None else float(row["number"])
