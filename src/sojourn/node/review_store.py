"""What a node remembers of held outputs, checkers and votes. Every write takes its audit entries."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.disclosure.review import LIVE, fold
from sojourn.errors import ConfigurationError, ReviewError, SiteRefused
from sojourn.node.store import NodeStore, objection_in
from sojourn.node.tables import approvals, checkers, releases, reviews, runs, votes

# Statements of every round and poll, made once.
_HELD = select(reviews.c.id).where(
    reviews.c.study == bindparam("of_study"),
    reviews.c.analysis == bindparam("of_analysis"),
    reviews.c.ask == bindparam("of_ask"),
    reviews.c.state.in_(LIVE),
)
_WAITING = select(reviews.c.ask, reviews.c.study).where(reviews.c.state.in_(LIVE))
_DECIDED = select(func.count().label("number")).where(reviews.c.state.in_(("approved", "rejected")))

Document = Mapping[str, Any]
Also = Callable[[Connection], None]
DECIDED = ("approved", "rejected")


class ReviewStore:
    """The tables of reviews behind their own words, over the node's one store."""

    def __init__(self, store: NodeStore) -> None:
        self.store = store

    # ---- checkers

    def enrol(self, name: str, key: str, now: float, entry: Entry) -> None:
        """Enrol a checker, or give one a new key; ConfigurationError where another has the key or nearly the name."""

        def action(connection: Connection) -> None:
            for row in connection.execute(select(checkers)).mappings():
                if row["name"] != name and fold(row["name"]) == fold(name):
                    raise ConfigurationError("There is a checker of that name.", remedy=f"Write `{row['name']}`.")
                if row["name"] != name and row["key"] == key:
                    raise ConfigurationError("This key is another checker's.", remedy="Each has a key of their own.")
            values = {"name": name, "key": key, "added": now, "removed": None}
            if connection.execute(select(checkers.c.name).where(checkers.c.name == name)).first():
                connection.execute(update(checkers).where(checkers.c.name == name).values(values))
            else:
                connection.execute(insert(checkers).values(values))

        self.store.write(entry, action)

    def dismiss(self, name: str, now: float, entry: Entry) -> None:
        """From now on this checker's votes do not count, those on outputs that still wait included."""

        def action(connection: Connection) -> None:
            present = update(checkers).where(checkers.c.name == name, checkers.c.removed.is_(None))
            if connection.execute(present.values(removed=now)).rowcount != 1:
                raise ConfigurationError("There is no such checker.", remedy="See `sojourn node show`.")

        self.store.write(entry, action)

    def enrolled(self) -> dict[str, str]:
        """Name → key of those who may check."""
        return {
            row["name"]: row["key"] for row in self.store.rows(select(checkers).where(checkers.c.removed.is_(None)))
        }

    def checkers(self) -> list[RowMapping]:
        """Everybody who was ever enrolled."""
        return self.store.rows(select(checkers).order_by(checkers.c.name))

    def names_of(self, key: str) -> set[str]:
        """What the custodian called the person who has this key."""
        found = self.store.rows(select(approvals.c.name).where(approvals.c.key == key))
        return {row["name"] for row in found if row["name"]}

    # ---- reviews

    def hold(self, row: Document, entry: Entry) -> None:
        """An output that waits; SiteRefused where nothing of its run may leave any more."""

        def action(connection: Connection) -> None:
            if reason := objection_in(connection, row["study"]):
                raise SiteRefused(reason)
            connection.execute(insert(reviews).values(dict(row)))

        self.store.write(entry, action)

    def vote(self, vote: Document, entry: Entry) -> None:
        """One vote that decides nothing yet; the review waits for another checker."""
        self.store.write(entry, self.voted(vote, "voted once"))

    def voted(self, vote: Document, state: str, now: float | None = None) -> Also:
        """What a vote changes in the tables, for a transaction: the vote, and the review's new state.

        ReviewError where the review is decided, or its bytes are others by now.
        """

        def action(connection: Connection) -> None:
            self._demand_live(connection, vote["review"], vote["digest"])
            connection.execute(insert(votes).values(dict(vote)))
            values = {"state": state, "decided": now}
            connection.execute(update(reviews).where(reviews.c.id == vote["review"]).values(values))

        return action

    def change(self, review: str, digest: str, values: Document, entry: Entry, vote: Document | None = None) -> None:
        """Other bytes, or a higher tier: the votes so far do not count any more."""

        def action(connection: Connection) -> None:
            self._demand_live(connection, review, digest)
            if vote is not None:
                connection.execute(insert(votes).values(dict(vote)))
            connection.execute(update(reviews).where(reviews.c.id == review).values(dict(values)))

        self.store.write(entry, action)

    def close(
        self,
        row: RowMapping,
        values: Document,
        entries: Sequence[Entry],
        release: Document | None,
        vote: Document | None = None,
    ) -> None:
        """A review by which nothing leaves, with the vote that decided it and the refusal that the hub is told."""

        def action(connection: Connection) -> None:
            self._demand_live(connection, row["id"], None if vote is None else vote["digest"])
            if vote is not None:
                connection.execute(insert(votes).values(dict(vote)))
            connection.execute(update(reviews).where(reviews.c.id == row["id"]).values(dict(values)))
            if release is not None:
                connection.execute(insert(releases).values(dict(release)))

        self.store.write(entries, action)

    def _demand_live(self, connection: Connection, review: str, digest: str | None) -> None:
        found = connection.execute(select(reviews.c.state, reviews.c.digest).where(reviews.c.id == review)).first()
        if found is None or found.state not in LIVE:
            raise ReviewError("This review is decided.", remedy="See `sojourn airlock show`.")
        if digest is not None and found.digest != digest:
            raise ReviewError("The output was changed meanwhile.", remedy="Look at it again, then vote.")

    # ---- reading

    def review(self, name: str) -> RowMapping:
        """One review; ReviewError where there is none of this name."""
        row = self.store.row(select(reviews).where(reviews.c.id == name))
        if row is None:
            raise ReviewError("There is no such review.", remedy="See `sojourn airlock list`.")
        return row

    def live(self, study: str | None = None) -> list[RowMapping]:
        """What waits, the oldest first; without the bytes and their evidence."""
        query = select(*_FACTS).where(reviews.c.state.in_(LIVE)).order_by(reviews.c.opened)
        return self.store.rows(query if study is None else query.where(reviews.c.study == study))

    def all(self) -> list[RowMapping]:
        """Every review, the oldest first; without the bytes and their evidence."""
        return self.store.rows(select(*_FACTS).order_by(reviews.c.opened))

    def held(self, study: str, analysis: str, ask: str) -> bool:
        """Whether the answer to an ask waits for a checker."""
        place = {"of_study": study, "of_analysis": analysis, "of_ask": ask}
        return self.store.row(_HELD, place) is not None

    def waiting(self) -> dict[str, str]:
        """The asks whose answers wait, each with its study."""
        return {row["ask"]: row["study"] for row in self.store.rows(_WAITING)}

    def votes(self, review: str) -> list[RowMapping]:
        """All votes ever cast in a review, in order."""
        return self.store.rows(select(votes).where(votes.c.review == review).order_by(votes.c.number))

    def envelopes(self, review: str) -> list[dict[str, Any]]:
        """The same as they were signed."""
        return [json.loads(vote["envelope"]) for vote in self.votes(review)]

    def approved(self, study: str, analysis: str) -> list[RowMapping]:
        """The outputs of an analysis that checkers let leave."""
        same = (reviews.c.study == study, reviews.c.analysis == analysis, reviews.c.state == "approved")
        return self.store.rows(select(reviews).where(*same))

    def decisions(self) -> list[tuple[dict[str, float], bool]]:
        """What checkers of this site decided so far, in order: features of the output, and whether it was rejected."""
        query = select(reviews.c.features, reviews.c.state).where(reviews.c.state.in_(DECIDED))
        found = self.store.rows(query.order_by(reviews.c.decided, reviews.c.id))
        return [(json.loads(row["features"]), row["state"] == "rejected") for row in found]

    def decided(self) -> int:
        """How many decisions there are."""
        row = self.store.row(_DECIDED)
        return 0 if row is None else int(row["number"])

    def past(self, researcher: str) -> dict[str, int]:
        """How often outputs of a researcher left this site, were refused, and were rejected by a checker."""
        joined = select(releases.c.reason, func.count().label("number"))
        joined = joined.join(runs, runs.c.study == releases.c.study).where(runs.c.researcher == researcher)
        counts = {row["reason"]: row["number"] for row in self.store.rows(joined.group_by(releases.c.reason))}
        left = counts.pop("", 0)
        return {"left": left, "refused": sum(counts.values()), "rejected": counts.get("review", 0)}

    def released_before(self, dataset: str, study: str) -> list[RowMapping]:
        """What left of a dataset in other studies, the newest first, with the run that it left for."""
        query = (
            select(releases, runs.c.project, runs.c.researcher, runs.c.request, runs.c.snapshot)
            .join(runs, runs.c.study == releases.c.study)
            .where(runs.c.dataset == dataset, releases.c.reason == "", releases.c.study != study)
            .order_by(releases.c.made.desc())
            .limit(MOST_EARLIER)
        )
        return self.store.rows(query)


MOST_EARLIER = 500
_HEAVY = ("document", "support", "features")
_FACTS = tuple(column for column in reviews.c if column.name not in _HEAVY)
