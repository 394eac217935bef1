"""What the hub counts and measures. See `operations.metrics` for the law of labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from sojourn.errors import REASONS
from sojourn.hub.statements import LIVE
from sojourn.hub.store import HubStore
from sojourn.hub.tables import studies, tasks
from sojourn.operations.metrics import Declared, Metrics, Read, of_store, store_gauges
from sojourn.operations.readiness import Readiness
from sojourn.study.lifecycle import SITE, STUDY

OUTCOMES = {
    "round.answered": "answered",
    "round.refused": "refused",
    "round.dropped": "dropped",
    "round.late": "late",
}
BEGINS, ENDS = "study.submitted", tuple(f"study.{state}" for state in STUDY.terminal)

DECLARED = (
    Declared("sojourn_hub_studies", "gauge", "Studies by state.", label="state", values="the states of a study"),
    Declared("sojourn_hub_tasks_waiting", "gauge", "Tasks of live studies that a site has still to answer."),
    Declared("sojourn_hub_sites_online", "gauge", "Sites that asked for work within the last minute."),
    Declared(
        "sojourn_hub_site_online",
        "gauge",
        "1 where a site asked for work within the last minute, else 0.",
        label="site",
        values="the joined sites",
    ),
    Declared(
        "sojourn_hub_rounds_total",
        "counter",
        "Answers to rounds by what became of them.",
        label="outcome",
        values="answered, refused, dropped (given up), late (thrown away)",
        words=tuple(OUTCOMES.values()),
    ),
    Declared(
        "sojourn_hub_rounds_refused_total",
        "counter",
        "Rounds for which a site withheld its answer, by its reason.",
        label="reason",
        values="the list of reasons",
        words=tuple(REASONS),
    ),
    Declared("sojourn_hub_release_bytes_total", "counter", "Bytes of sealed answers that were taken."),
    Declared("sojourn_hub_polls_total", "counter", "Times that a site asked for work."),
    Declared(
        "sojourn_hub_request_seconds",
        "histogram",
        "How long requests took; those that wait for news wait up to 30 s.",
        label="route",
        values="the routes of the interface",
    ),
    Declared(
        "sojourn_hub_requests_refused_total",
        "counter",
        "Requests that were not served, by HTTP status.",
        label="status",
        values="HTTP statuses from 400",
    ),
    *of_store("hub"),
)


class HubMetrics(Metrics):
    """The metrics of one hub. online: site → whether it is there."""

    def __init__(
        self,
        store: HubStore,
        clock: Callable[[], float],
        folder: Path,
        ready: Readiness,
        online: Callable[[], Mapping[str, bool]],
    ) -> None:
        self._store = store
        gauges: dict[str, Read] = {
            "sojourn_hub_studies": self._studies,
            "sojourn_hub_tasks_waiting": self._waiting,
            "sojourn_hub_sites_online": lambda: sum(online().values()),
            "sojourn_hub_site_online": lambda: {site: float(there) for site, there in online().items()},
        }
        super().__init__(DECLARED, gauges | store_gauges("hub", store.tail, clock, folder, ready))

    def entry(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Count what was written to the audit log."""
        if kind in OUTCOMES:
            self.count("sojourn_hub_rounds_total", OUTCOMES[kind])
        if kind == "round.refused":
            self.count("sojourn_hub_rounds_refused_total", facts["reason"])
        if kind == "round.answered":
            self.count("sojourn_hub_release_bytes_total", amount=facts["bytes"])

    def _studies(self) -> dict[str, float]:
        query = select(studies.c.state, func.count().label("number")).group_by(studies.c.state)
        return dict.fromkeys(STUDY.states, 0.0) | {row["state"]: row["number"] for row in self._store.rows(query)}

    def _waiting(self) -> float:
        query = (
            select(func.count().label("number"))
            .select_from(tasks.join(studies, studies.c.id == tasks.c.study))
            .where(tasks.c.state == SITE.initial, studies.c.state.in_(LIVE))
        )
        row = self._store.row(query)
        return 0.0 if row is None else float(row["number"])
