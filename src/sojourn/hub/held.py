"""What sites hold for a checker: no refusal and no answer yet. The hub knows that it waits, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sojourn.audit.entry import Entry
from sojourn.hub.bell import Bell
from sojourn.hub.store import HubStore

IN_REVIEW = "in review"  # what researchers see of such an answer


def note(store: HubStore, bell: Bell, clock: Callable[[], float], site: str, asks: Sequence[str]) -> None:
    """A site says that its answers to these asks wait for a checker; each is recorded and told once."""
    for task in store.untold_reviews(site, asks):
        place, now = (task["study"], task["analysis"], task["ask"], site), clock()
        event = {"analysis": place[1], "site": site, "round": task["round"], "state": IN_REVIEW, "time": now}
        facts = {"analysis": place[1], "site": site, "ask": place[2]}
        entry = Entry("round.held", f"node:{site}", study=place[0], facts=facts)
        store.note_review(place, now, event, entry)
        bell.ring(f"study:{place[0]}")
