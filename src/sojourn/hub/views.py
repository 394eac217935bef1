"""What researchers see of a study: its state, its progress, its results. Releases only, and words of the fixed list."""

from __future__ import annotations

import json

from sqlalchemy.engine import RowMapping

from sojourn.errors import IdentityError
from sojourn.hub.circles import stated_in
from sojourn.hub.held import IN_REVIEW
from sojourn.hub.questions import request_of
from sojourn.hub.service import Hub
from sojourn.identity.keys import PublicKey
from sojourn.messages import AnalysisView, Outcome, ResultsView, StudyView
from sojourn.study.lifecycle import SITE


def view(hub: Hub, study: str, key: PublicKey, since: int = 0) -> StudyView:
    """Where a study stands, with the events from number `since` on; only its researcher's project may look."""
    row = _row(hub, study, key)
    return StudyView(
        study=study,
        title=row["title"],
        project=row["project"],
        state=row["state"],
        message=row["message"],
        submitted=row["submitted"],
        finished=row["finished"],
        events=hub.store.events_of(study, since),
    )


def results(hub: Hub, study: str, key: PublicKey) -> ResultsView:
    """Everything that a client needs in order to show an answer and to check it by itself."""
    row = _row(hub, study, key)
    request = json.loads(row["request"])
    concluded = hub.store.results_of(study)
    analyses = {name: _analysis(hub, row, name, result) for name, result in concluded.items()}
    kinds = ["study.submitted", f"study.{row['state']}"] if row["finished"] else ["study.submitted"]
    summed = sorted(concluded) if row["exchange"] else []
    said = [hub.studies.receipt(study, "analysis.concluded", {"analysis": name}) for name in summed]
    origin, log_key = hub.log_identity()
    return ResultsView(
        study=view(hub, study, key),
        request=request,
        analyses=analyses,
        receipts=[hub.studies.receipt(study, kind) for kind in kinds] + said,
        log_origin=origin,
        log_key=log_key,
        exchange=stated_in(row["exchange"]),
    )


def _analysis(hub: Hub, row: RowMapping, name: str, result: RowMapping) -> AnalysisView:
    rests_on = json.loads(result["contributed"])
    return AnalysisView(
        estimate=json.loads(result["estimate"]) if result["estimate"] else None,
        error=json.loads(result["error"]) if result["error"] else None,
        transcript=hub.studies.rounds(row["id"], name, rests_on["asks"], rests_on["sites"]),
        outcomes=_outcomes(hub, row, name, set(rests_on["sites"])),
    )


def _outcomes(hub: Hub, row: RowMapping, name: str, contributed: set[str]) -> dict[str, Outcome]:
    outcomes = {}
    tasks = [task for task in hub.store.tasks_of(row["id"]) if task["analysis"] == name]
    for site in request_of(row["request"]).roster:
        mine = [task for task in tasks if task["site"] == site]
        bytes_left = sum(task["bytes"] for task in mine)
        silent = next((task for task in mine if task["state"] in ("not released", "no answer")), None)
        if silent is not None:
            outcomes[site] = Outcome(status=silent["state"], reason=silent["reason"], bytes=bytes_left)
        elif site in contributed and bytes_left:
            outcomes[site] = Outcome(status="contributed", reason="", bytes=bytes_left)
        else:
            held = any(task["state"] == SITE.initial and task["review"] is not None for task in mine)
            outcomes[site] = Outcome(status="waiting", reason=IN_REVIEW if held else "", bytes=bytes_left)
    return outcomes


def _row(hub: Hub, study: str, key: PublicKey) -> RowMapping:
    row = hub.store.study(study)
    if row is None or not hub.store.is_member(row["project"], key.hex):
        raise IdentityError("There is no such study for this key.", remedy="Check the study's id and your project.")
    return row


def demand_researcher(hub: Hub, study: str, key: PublicKey) -> None:
    """Only the researcher who submitted a study may cancel it."""
    if _row(hub, study, key)["researcher"] != key.hex:
        raise IdentityError("Only the researcher who submitted a study may cancel it.", remedy="Ask that researcher.")
