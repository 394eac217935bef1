"""What researchers asked here, over all their projects; the alarms about it, which hold what they ask until cleared.

While an alarm stands, whatever this researcher asks is of high risk: two checkers look at it, or it does not leave.
Only the custodian clears it, with a reason. Rehearsals are in no history: they open no records.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, exists, func, insert, not_, select, update
from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.disclosure.output import Finding, Tier, Verdict
from sojourn.errors import ConfigurationError
from sojourn.governance.history import KEPT, KINDS, Asked, suspicions
from sojourn.identity.keys import PublicKey
from sojourn.node.admission import REHEARSED
from sojourn.node.loss_store import DoneBefore
from sojourn.node.store import NodeStore
from sojourn.node.tables import alarms, masked_sets, refused, releases, reviews, runs

UNUSUAL = "unusual"  # a word of `errors.REASONS`
MOST_WORDS = 2000  # characters of a reason

_OWN = (runs.c.researcher == bindparam("of"), ~runs.c.dataset.startswith(REHEARSED, autoescape=True))
# Of a masked analysis that came to no numbers all parties know that; why, nobody.
_SUMMED = (masked_sets.c.study == releases.c.study, masked_sets.c.analysis == releases.c.analysis)
_UNTOLD = and_(runs.c.exchange != "", runs.c.ended != "", releases.c.reason == "", not_(exists().where(*_SUMMED)))
_DECIDED = (
    select(
        releases.c.study,
        releases.c.analysis,
        releases.c.made,
        case((_UNTOLD, "joint frequency"), else_=releases.c.reason),
    )
    .join_from(releases, runs, runs.c.study == releases.c.study)
    .where(*_OWN, releases.c.round == 1, releases.c.made >= bindparam("since"))
)
_REVIEWED = (
    select(reviews.c.study, reviews.c.analysis, reviews.c.opened, reviews.c.family)
    .join_from(reviews, runs, runs.c.study == reviews.c.study)
    .where(*_OWN, reviews.c.round == 1, reviews.c.opened >= bindparam("since"), reviews.c.state != "approved")
)
# What comes again, and a request that a hub shows under several names, is one.
_REFUSED = (
    select(func.max(refused.c.made), refused.c.reason, refused.c.target)
    .where(refused.c.researcher == bindparam("of"), refused.c.made >= bindparam("since"))
    .group_by(refused.c.target, refused.c.reason)
)
_ALARMS = select(alarms).where(alarms.c.researcher == bindparam("of")).order_by(alarms.c.id.desc()).limit(1)


class Histories:
    """The histories of one node. usual: asks a day of a researcher whom it does not know yet; 0: it looks at none."""

    def __init__(self, store: NodeStore, site: str, usual: int = 0) -> None:
        self._store = store
        self._site = site
        self._usual = usual

    def asked(self, researcher: str, now: float) -> list[Asked]:
        """What a researcher (key, hex) asked here, as far back as it is looked at."""
        place = {"of": researcher, "since": now - KEPT}

        def query(connection: Connection) -> list[Asked]:
            found = {row[:2]: Asked(*row[2:]) for row in connection.execute(_DECIDED, place)}
            found |= {row[:2]: Asked(*row[2:]) for row in connection.execute(_REVIEWED, place)}
            return [*found.values(), *(Asked(*row) for row in connection.execute(_REFUSED, place))]

        return self._store.read(query)

    def look(self, researcher: str, now: float) -> None:
        """Raise an alarm where this history looks like abuse, in one transaction with its entry; once for each kind."""
        if not self._usual:
            return
        last = self._last(researcher)
        cleared = -math.inf if last is None or last["cleared"] is None else float(last["cleared"])
        seen = suspicions(self.asked(researcher, now), now, self._usual, cleared)
        found = {one.kind: [one.seen, one.bound] for one in seen}
        if found.keys() <= set(self.standing(researcher)):
            return
        facts = {"researcher": PublicKey.from_hex(researcher).id, "found": found}
        entry = Entry("researcher.suspected", f"node:{self._site}", facts=facts)

        def action(connection: Connection) -> None:
            row = connection.execute(_ALARMS, {"of": researcher}).mappings().first()
            live = row is not None and row["cleared"] is None
            known = json.loads(row["found"]) if row is not None and live else {}
            if found.keys() <= known.keys():
                raise DoneBefore  # another study's thread was first
            told = json.dumps(known | found)
            if row is not None and live:
                connection.execute(update(alarms).where(alarms.c.id == row["id"]).values(found=told))
                return
            values = {"researcher": researcher, "found": told, "raised": now, "cleared": None, "reason": ""}
            connection.execute(insert(alarms).values(values))

        with suppress(DoneBefore):
            self._store.write(entry, action)

    def standing(self, researcher: str) -> Mapping[str, Any]:
        """The alarm that stands about a researcher, kind → number seen and bound; empty: none."""
        last = self._last(researcher)
        found: Mapping[str, Any] = {} if last is None or last["cleared"] is not None else json.loads(last["found"])
        return found

    def finding(self, study: str) -> tuple[Finding, ...]:
        """What to join to every finding on what leaves for a study; it can only raise a tier."""
        run = self._store.run(study)
        found = self.standing("" if run is None else run["researcher"])
        if not found:
            return ()
        note = f"the history of this researcher's asks is unusual: {', '.join(sorted(found))}"
        return (Finding(Verdict.RELEASE, tier=Tier.HIGH, note=note, raised=UNUSUAL),)

    def clear(self, key: str, reason: str, now: float) -> dict[str, Any]:
        """The custodian has looked: what was asked until now raises no alarm again. key: in full (hex), or its name."""
        reason = " ".join(reason.split())
        if not 0 < len(reason) <= MOST_WORDS:
            raise ConfigurationError("Clearing an alarm needs a reason.", remedy="Give --reason: it is kept.")
        rows = [row for row in self.alarms() if key in (row["researcher"], PublicKey.from_hex(row["researcher"]).id)]
        if not rows:
            raise ConfigurationError("No alarm stands about this key.", remedy="See `sojourn node show`.")
        name, digest = PublicKey.from_hex(rows[0]["researcher"]).id, hashlib.sha256(reason.encode()).hexdigest()
        entry = Entry("researcher.cleared", "custodian", facts={"researcher": name, "words": digest})
        live = update(alarms).where(alarms.c.id == rows[0]["id"], alarms.c.cleared.is_(None))

        def action(connection: Connection) -> None:
            if connection.execute(live.values(cleared=now, reason=reason)).rowcount != 1:
                raise ConfigurationError("No alarm stands about this key.", remedy="See `sojourn node show`.")

        self._store.write(entry, action)
        return {"key": name}

    def alarms(self) -> list[RowMapping]:
        """The alarms that stand, the oldest first."""
        return self._store.rows(select(alarms).where(alarms.c.cleared.is_(None)).order_by(alarms.c.id))

    def shown(self) -> list[dict[str, Any]]:
        """The same as people read them: of each kind how many were seen, and the bound that they reached."""
        told = []
        for row in self.alarms():
            found = json.loads(row["found"])
            told.append(
                {
                    "key": PublicKey.from_hex(row["researcher"]).id,
                    "raised": datetime.fromtimestamp(row["raised"], UTC).isoformat(timespec="seconds"),
                    **{kind: f"{found[kind][0]} of {found[kind][1]}" if kind in found else "" for kind in KINDS},
                }
            )
        return told

    def _last(self, researcher: str) -> RowMapping | None:
        return self._store.row(_ALARMS, {"of": researcher})
