"""What a node remembers. Every writing method takes its audit entry; both are in one transaction or neither is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pyroaring import BitMap
from sqlalchemy import Connection, Update, and_, bindparam, delete, exists, func, insert, not_, select, union, update
from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.disclosure.budget import Loss
from sojourn.disclosure.ledger import Charge
from sojourn.errors import ConfigurationError, EnvelopeRefused, SiteRefused
from sojourn.node.loss_store import DoneBefore, LossStore, loss_row
from sojourn.node.tables import (
    approvals,
    datasets,
    ledger,
    losses,
    masked_sets,
    person_sets,
    refused,
    releases,
    reviews,
    runs,
    stand_ins,
)

Document = Mapping[str, Any]
Place = tuple[str, str, str]  # of a decision: study, analysis, ask

# Statements of every round, made once: making one takes longer than SQLite takes to answer it.
_OF_STUDY = releases.c.study == bindparam("of_study")
_OF_ANALYSIS = (_OF_STUDY, releases.c.analysis == bindparam("of_analysis"))
_OF_ASK = (*_OF_ANALYSIS, releases.c.ask == bindparam("of_ask"))
_RUN = select(runs).where(runs.c.study == bindparam("of_study"))
_LIVE_RUNS = select(runs.c.study).where(runs.c.ended == "")
_LIVE_REQUESTS = select(runs.c.study, runs.c.request).where(runs.c.ended == "")
_APPROVAL = select(approvals.c.revoked).where(
    approvals.c.project == bindparam("of_project"), approvals.c.key == bindparam("of")
)
_RELEASE = select(releases).where(*_OF_ASK)
_ADD_RELEASE = insert(releases)
_ASKED = union(
    select(releases.c.ask).where(*_OF_ANALYSIS),
    select(reviews.c.ask).where(
        reviews.c.study == bindparam("of_study"), reviews.c.analysis == bindparam("of_analysis")
    ),
)
_WITHHELD = select(releases.c.withheld).where(*_OF_ANALYSIS, releases.c.withheld != "").limit(1)
_SITES = select(releases.c.sites).where(*_OF_ANALYSIS, releases.c.reason == "", releases.c.sites != "[]")
_UNSETTLED = releases.c.acknowledged.is_(False) | releases.c.forgotten
_ACKNOWLEDGE = update(releases).where(*_OF_ASK, _UNSETTLED).values(acknowledged=True, forgotten=False)
_ARRIVED = _ACKNOWLEDGE.values(reason="")
_WITHDRAW = update(releases).where(*_OF_ASK, releases.c.acknowledged.is_(False), releases.c.reason == "")
_ADD_CHARGE = insert(ledger)
_CHARGED = select(ledger.c.digest).where(
    ledger.c.study == bindparam("of_study"), ledger.c.analysis == bindparam("of_analysis")
)
_CHARGED_ELSEWHERE = (  # whose answer an analysis repeats was charged, once for all
    select(ledger.c.digest)
    .join_from(releases, ledger, ledger.c.study == releases.c.first_study)
    .where(*_OF_ANALYSIS, releases.c.first_study != "", ledger.c.analysis == releases.c.first_analysis)
)
_NEWEST = select(func.max(ledger.c.id)).where(ledger.c.dataset == bindparam("of_dataset"))
_ENTRIES = select(ledger).where(ledger.c.dataset == bindparam("of_dataset"), ledger.c.id > bindparam("after"))
_SETS = select(person_sets).join(ledger, ledger.c.digest == person_sets.c.digest)


class LedgerGrew(Exception):
    """Something was added to the ledger after a release was judged: it is judged again."""


class NodeStore(LossStore):
    """The node's tables behind its own words."""

    # ---- the custodian's decisions

    def add_dataset(self, row: Document, entry: Entry) -> None:
        """A dataset, or a new snapshot of one; runs in hand keep theirs."""

        def action(connection: Connection) -> None:
            same = datasets.c.name == row["name"]
            if connection.execute(select(datasets.c.name).where(same)).first():
                connection.execute(update(datasets).where(same).values(dict(row)))
            else:
                connection.execute(insert(datasets).values(dict(row)))

        self.write(entry, action)

    def add_stand_in(self, row: Document, entry: Entry) -> None:
        """A custodian's stand-in of a dataset, or another one; rehearsals in hand keep theirs."""

        def action(connection: Connection) -> None:
            connection.execute(delete(stand_ins).where(stand_ins.c.name == row["name"]))
            connection.execute(insert(stand_ins).values(dict(row)))

        self.write(entry, action)

    def approve(self, row: Document, entry: Entry) -> None:
        """Pin a researcher's key for a project and the datasets that it covers. The only way a key is pinned."""

        def action(connection: Connection) -> None:
            known = {name for (name,) in connection.execute(select(datasets.c.name))}
            tables = json.loads(row["tables"])
            if not tables or not set(tables) <= known:
                raise ConfigurationError(
                    "An approval names datasets that this node has.", remedy="See `sojourn dataset list`."
                )
            same = (approvals.c.project == row["project"], approvals.c.key == row["key"])
            if connection.execute(select(approvals.c.key).where(*same)).first():
                connection.execute(update(approvals).where(*same).values(dict(row)))
            else:
                connection.execute(insert(approvals).values(dict(row)))

        self.write(entry, action)

    def revoke(self, project: str, key: str, now: float, entry: Entry) -> None:
        """Withdraw an approval; from now on nothing of its runs is released."""

        def action(connection: Connection) -> None:
            live = update(approvals).where(
                approvals.c.project == project, approvals.c.key == key, approvals.c.revoked.is_(None)
            )
            if connection.execute(live.values(revoked=now)).rowcount != 1:
                raise ConfigurationError("There is no such approval.", remedy="See `sojourn node show`.")

        self.write(entry, action)

    # ---- runs

    def admit(self, row: Document, entry: Entry) -> None:
        """Record an admitted run; a nonce admits one run, ever."""

        def action(connection: Connection) -> None:
            if connection.execute(select(runs.c.study).where(runs.c.nonce == row["nonce"])).first():
                raise EnvelopeRefused("replayed")
            if connection.execute(select(runs.c.study).where(runs.c.study == row["study"])).first():
                raise EnvelopeRefused("replayed")
            connection.execute(insert(runs).values(dict(row)))

        self.write(entry, action)

    def refuse(self, row: Document, entry: Entry) -> None:
        """Remember that a request was refused, so that its later tasks get the same word."""

        def action(connection: Connection) -> None:
            if not connection.execute(select(refused.c.study).where(refused.c.study == row["study"])).first():
                connection.execute(insert(refused).values(dict(row)))

        self.write(entry, action)

    def seal(
        self,
        row: Document,
        entry: Entry | Sequence[Entry],
        charges: Sequence[Charge] = (),
        dataset: str = "",
        after: int | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> int:
        """Store what will be sent, once, with what it adds to the ledger of a dataset; the ledger's newest entry then.

        A withdrawn approval stops it here, in the same transaction. A refusal adds nothing to the ledger. after: the
        newest entry that the judgement knew of; LedgerGrew, and nothing stored, where there is a newer one. also: what
        is decided with it, a review say, comes first.
        """

        def action(connection: Connection) -> int:
            if row["sealed"] is not None and (reason := objection_in(connection, row["study"])):
                raise SiteRefused(reason)
            if after is not None and _newest(connection, dataset) != after:
                raise LedgerGrew
            if also is not None:
                also(connection)
            connection.execute(_ADD_RELEASE, dict(row))
            _charge(connection, {**row, "dataset": dataset}, charges)
            return _newest(connection, dataset) if charges else 0

        return self.write(entry, action)

    def withdraw(self, key: Place, reason: str, entry: Entry) -> None:
        """From now on nothing is handed over for this ask but the reason; a decision that is settled stays."""
        self._once(entry, _WITHDRAW, of_study=key[0], of_analysis=key[1], of_ask=key[2], reason=reason)

    def acknowledge(self, key: Place, receipt: str, arrived: bool, entry: Entry) -> None:
        """The hub has settled it, and its receipt proves that. Again is no error, and leaves no second entry.

        arrived: the hub has the release itself, though it be withdrawn meanwhile.
        """
        settled = _ARRIVED if arrived else _ACKNOWLEDGE
        self._once(entry, settled, of_study=key[0], of_analysis=key[1], of_ask=key[2], receipt=receipt)

    def restore(
        self,
        run: Document,
        decided: Sequence[Document],
        sets: Sequence[Charge],
        entry: Entry,
        private: Sequence[Loss] = (),
        summed: Sequence[Document] = (),
    ) -> None:
        """A run that the store does not know, or not to its end: it is over, its decisions and charges stand.

        private: losses of formal privacy, which stand whatever the budget holds. summed: masked sums, one row each.
        """

        def action(connection: Connection) -> None:
            known = update(runs).where(runs.c.study == run["study"], runs.c.ended == "").values(ended=run["ended"])
            if not connection.execute(select(runs.c.study).where(runs.c.study == run["study"])).first():
                connection.execute(insert(runs).values(dict(run)))
            connection.execute(known)
            connection.execute(insert(releases), [dict(row) for row in decided])
            _charge(connection, run, sets)
            for row in summed:
                connection.execute(insert(masked_sets).values(dict(row)))
            for loss in private:
                connection.execute(insert(losses).values(loss_row(run["dataset"], loss, run["admitted"])))

        self.write(entry, action)

    def end(self, study: str, how: str, entry: Entry) -> None:
        """A run is over; nothing of it is released any more. Again is no error, and leaves no second entry."""
        self._once(entry, update(runs).where(runs.c.study == study, runs.c.ended == "").values(ended=how))

    def _once(self, entry: Entry, change: Update, **values: str) -> None:
        """Make a change with its entry, where it changes anything."""

        def action(connection: Connection) -> None:
            if connection.execute(change, values).rowcount == 0:
                raise DoneBefore

        with suppress(DoneBefore):
            self.write(entry, action)

    # ---- reading

    def row(self, query: Any, values: Document | None = None) -> RowMapping | None:
        """The first row of a query with these values."""
        return self.read(lambda connection: connection.execute(query, values).mappings().first())

    def rows(self, query: Any, values: Document | None = None) -> list[RowMapping]:
        """All rows of a query with these values."""
        return self.read(lambda connection: list(connection.execute(query, values).mappings()))

    def approved(self) -> dict[str, set[str]]:
        """Project → keys that are pinned and not withdrawn."""
        pinned: dict[str, set[str]] = {}
        for row in self.rows(select(approvals).where(approvals.c.revoked.is_(None))):
            pinned.setdefault(row["project"], set()).add(row["key"])
        return pinned

    def covered(self, project: str, key: str) -> set[str]:
        """The datasets that an approval in force covers."""
        same = (approvals.c.project == project, approvals.c.key == key, approvals.c.revoked.is_(None))
        row = self.row(select(approvals.c.tables).where(*same))
        return set() if row is None else set(json.loads(row["tables"]))

    def dataset(self, name: str) -> RowMapping | None:
        """One dataset."""
        return self.row(select(datasets).where(datasets.c.name == name))

    def stand_in(self, name: str) -> RowMapping | None:
        """The stand-in of a dataset that its custodian supplied."""
        return self.row(select(stand_ins).where(stand_ins.c.name == name))

    def run(self, study: str) -> RowMapping | None:
        """One admitted run."""
        return self.row(_RUN, {"of_study": study})

    def live_runs(self) -> list[str]:
        """Studies admitted and not ended."""
        return [row["study"] for row in self.rows(_LIVE_RUNS)]

    def live_requests(self) -> dict[str, str]:
        """Their signed requests, as JSON."""
        return {row["study"]: row["request"] for row in self.rows(_LIVE_REQUESTS)}

    def refusal(self, study: str) -> RowMapping | None:
        """A refused request."""
        return self.row(select(refused).where(refused.c.study == study))

    def nonce_seen(self, nonce: str) -> bool:
        """Whether a run was admitted with this nonce."""
        return self.row(select(runs.c.study).where(runs.c.nonce == nonce)) is not None

    def release(self, study: str, analysis: str, ask: str) -> RowMapping | None:
        """What was decided for one ask."""
        return self.row(_RELEASE, {"of_study": study, "of_analysis": analysis, "of_ask": ask})

    def objection(self, study: str) -> str:
        """Why nothing of a run may leave now, a word of `errors.REASONS`, or nothing."""
        return self.read(lambda connection: objection_in(connection, study))

    def asked(self, study: str, analysis: str) -> int:
        """How many different asks of an analysis were decided, or wait for a checker."""
        return len(self.rows(_ASKED, {"of_study": study, "of_analysis": analysis}))

    def first_asks(self, researcher: str, dataset: str, since: float) -> list[RowMapping]:
        """The first rounds that were decided of a researcher's runs on a dataset: study and reason.

        untold: of a masked analysis, that it never came to numbers, since its joint test failed, say.
        """
        same = (masked_sets.c.study == releases.c.study, masked_sets.c.analysis == releases.c.analysis)
        untold = and_(runs.c.exchange != "", not_(exists().where(*same)))
        query = (
            select(runs.c.study, releases.c.reason, untold.label("untold"))
            .join_from(runs, releases, runs.c.study == releases.c.study)
            .where(runs.c.researcher == researcher, runs.c.dataset == dataset)
            .where(releases.c.round == 1, releases.c.made >= since)
        )
        return self.rows(query)

    def sites_before(self, study: str, analysis: str) -> set[str] | None:
        """The sites that were in every transcript of an analysis so far; None before its second round."""
        found = self.rows(_SITES, {"of_study": study, "of_analysis": analysis})
        seen = [set(json.loads(row["sites"])) for row in found]
        return set.intersection(*seen) if seen else None

    def withheld(self, study: str, analysis: str) -> str:
        """Why a masked analysis gets nothing of this site, a word of `errors.REASONS`, or nothing."""
        row = self.row(_WITHHELD, {"of_study": study, "of_analysis": analysis})
        return "" if row is None else str(row["withheld"])

    def unacknowledged(self) -> list[RowMapping]:
        """What the hub has still to confirm."""
        return self.rows(select(releases).where(releases.c.acknowledged.is_(False)))

    def ledger_of(self, study: str) -> list[RowMapping]:
        """What a study added to the ledger."""
        return self.rows(select(ledger).where(ledger.c.study == study).order_by(ledger.c.id))

    def charged(self, study: str, analysis: str) -> frozenset[str]:
        """The digests of the sets by which an analysis stands in the ledger; none where it does not."""
        found = self.rows(_CHARGED.union(_CHARGED_ELSEWHERE), {"of_study": study, "of_analysis": analysis})
        return frozenset(row["digest"] for row in found)

    def ledger_after(self, dataset: str, after: int) -> tuple[int, list[Charge]]:
        """The entries of a dataset that are newer than one, oldest first, and the newest one's number, of one state."""

        def query(connection: Connection) -> tuple[int, list[Charge]]:
            asked = {"of_dataset": dataset, "after": after}
            rows = connection.execute(_ENTRIES.order_by(ledger.c.id), asked).mappings().all()
            newer = _SETS.where(ledger.c.dataset == dataset, ledger.c.id > after).distinct()
            sets = {digest: bytes(persons) for digest, persons in connection.execute(newer)} if rows else {}
            return (rows[-1]["id"] if rows else after), [_read_charge(row, sets[row["digest"]]) for row in rows]

        return self.read(query)


def objection_in(connection: Connection, study: str) -> str:
    """Why nothing of a run may leave now, inside a transaction: a word of `errors.REASONS`, or nothing."""
    run = connection.execute(_RUN, {"of_study": study}).mappings().first()
    if run is None:
        return "cancelled"
    approval = connection.execute(_APPROVAL, {"of_project": run["project"], "of": run["researcher"]}).first()
    if approval is None or approval[0] is not None:
        return "revoked"
    return "cancelled" if run["ended"] else ""


def _newest(connection: Connection, dataset: str) -> int:
    return connection.execute(_NEWEST, {"of_dataset": dataset}).scalar() or 0


def _charge(connection: Connection, row: Document, charges: Sequence[Charge]) -> None:
    """Add entries to the ledger; a set that is there already is not stored again. row: dataset and study."""
    if not charges:
        return
    sets = {charge.digest: charge.persons for charge in charges}
    known = select(person_sets.c.digest).where(person_sets.c.digest.in_(sets))
    for digest in connection.execute(known).scalars().all():
        del sets[digest]
    if sets:
        added = [{"digest": digest, "persons": persons.serialize()} for digest, persons in sets.items()]
        connection.execute(insert(person_sets), added)
    connection.execute(_ADD_CHARGE, [_ledger_row(row, charge) for charge in charges])


def _read_charge(row: RowMapping, persons: bytes) -> Charge:
    measure = tuple(json.loads(row["measure"]))
    return Charge(row["snapshot"], row["analysis"], measure, row["label"], BitMap.deserialize(persons))


def _ledger_row(row: Document, charge: Charge) -> Document:
    return {
        "dataset": row["dataset"],
        "study": row["study"],
        "analysis": charge.analysis,
        "snapshot": charge.snapshot,
        "measure": json.dumps(list(charge.measure)),
        "label": charge.label,
        "digest": charge.digest,
    }
