"""What a node hands over to the hub: stored answers, and words of why there is none."""

from __future__ import annotations

from sqlalchemy import Connection, update
from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.messages import Delivery
from sojourn.node.store import NodeStore
from sojourn.node.tables import releases


def outgoing(store: NodeStore, site: str, study: str, analysis: str, ask: str) -> Delivery | None:
    """What may be handed over for an ask at this moment: its sealed answer, or why nothing leaves. None: nothing.

    Where the approval was withdrawn or the run has ended since an answer was sealed, it is withdrawn for good, also
    where it may have been sent already: then the hub's receipt says which of the two it settled.
    """
    row = store.release(study, analysis, ask)
    if row is None:
        return None
    if row["acknowledged"]:
        return _said_again(store, row) if row["forgotten"] else None
    reason = row["reason"]
    if not reason and (reason := store.objection(study)):
        facts = {"analysis": analysis, "round": row["round"], "ask": ask, "reason": reason}
        entry = Entry("release.withdrawn", f"node:{site}", study=study, facts=facts)
        store.withdraw((study, analysis, ask), reason, entry)
    return _delivery(row, reason)


def forget_receipts(connection: Connection) -> None:
    """In the transaction by which a custodian accepts a suspected log of the hub's: receipts of the log before prove
    nothing of this one, so the hub may ask again. What was settled stays settled here; the same bytes are said again.
    """
    connection.execute(update(releases).where(releases.c.acknowledged).values(forgotten=True))


def _said_again(store: NodeStore, row: RowMapping) -> Delivery:
    """What a restored hub had before; a run that was completed then is no reason to keep it from its own researcher."""
    run, reason = store.run(row["study"]), row["reason"] or store.objection(row["study"])
    if reason == "cancelled" and not row["reason"] and run is not None and run["ended"] == "completed":
        reason = ""
    return _delivery(row, reason)


def _delivery(row: RowMapping, reason: str) -> Delivery:
    place = {word: row[word] for word in ("study", "analysis", "ask")}
    return Delivery(**place, reason=reason) if reason else Delivery(**place, sealed=bytes(row["sealed"]).hex())
