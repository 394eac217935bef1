"""What a node hands over to the hub: stored answers, and words of why there is none."""

from __future__ import annotations

from sojourn.audit.entry import Entry
from sojourn.messages import Delivery
from sojourn.node.store import NodeStore


def outgoing(store: NodeStore, site: str, study: str, analysis: str, ask: str) -> Delivery | None:
    """What may be handed over for an ask at this moment: its sealed answer, or why nothing leaves. None: nothing.

    Where the approval was withdrawn or the run has ended since an answer was sealed, it is withdrawn for good, also
    where it may have been sent already: then the hub's receipt says which of the two it settled.
    """
    row = store.release(study, analysis, ask)
    if row is None or row["acknowledged"]:
        return None
    reason = row["reason"]
    if not reason and (reason := store.objection(study)):
        facts = {"analysis": analysis, "round": row["round"], "ask": ask, "reason": reason}
        entry = Entry("release.withdrawn", f"node:{site}", study=study, facts=facts)
        store.withdraw((study, analysis, ask), reason, entry)
    if reason:
        return Delivery(study=study, analysis=analysis, ask=ask, reason=reason)
    return Delivery(study=study, analysis=analysis, ask=ask, sealed=bytes(row["sealed"]).hex())
