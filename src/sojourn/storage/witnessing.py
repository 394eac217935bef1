"""Two parties witness each other's logs: what each remembers of the other, kept before any answer is given.

Laws: what is remembered of a log only grows, by its owner's signed proof. A log that its witness refused is under
suspicion until a person accepts it; the evidence stays. Memory follows from others' signed words and is no act, so it
makes no log entry; a refusal does, and it is the only one while the suspicion lasts: otherwise two parties that
suspect each other would grow each other's logs for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, MetaData, bindparam, delete, func, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.exc import IntegrityError

from sojourn.audit import checkpoint as checkpoints
from sojourn.audit.entry import Entry
from sojourn.audit.witness import Memory, Reason, Refused, cosigned, judge, verified
from sojourn.errors import AuditError, ConfigurationError
from sojourn.identity.keys import PublicKey
from sojourn.messages import Shown
from sojourn.storage.store import Store
from sojourn.storage.witness_tables import Raced, replace, replacing, witness_tables

T = TypeVar("T")
Also = Callable[[Connection], None]  # what follows in the transaction that accepts a log

EVIDENCE_MAX = 100  # refused notes that are kept of one log
NOTHING_SHOWN = "not shown"


@dataclass(frozen=True)
class Peer:
    """Another party's log: its name and the key that signs its checkpoints and its cosignatures."""

    origin: str
    key: PublicKey


@dataclass(frozen=True)
class Heard:
    """What became of what a peer showed.

    since: the size of our log that the peer remembers. refused: why its log is not accepted, empty where it is.
    fresh: refused just now. behind: the peer remembers more of our log than it holds.
    """

    since: int
    refused: str = ""
    fresh: bool = False
    behind: bool = False


@dataclass(frozen=True)
class _Claim:
    """What a peer says it remembers of our log. ahead: our log does not hold that."""

    size: int = 0
    time: int | None = None  # of its cosignature
    ahead: bool = False


@dataclass(frozen=True)
class _Rows:
    """What is remembered of a peer's log, and what it remembers of ours."""

    mine: RowMapping | None
    theirs: RowMapping | None


@dataclass
class _Change:
    """What follows from a message: new values of both rows, evidence (note, reason), entries; why it is refused."""

    rows: _Rows
    mine: dict[str, Any] = field(default_factory=dict)
    theirs: dict[str, Any] = field(default_factory=dict)
    evidence: tuple[str, str] | None = None
    entries: list[Entry] = field(default_factory=list)
    refused: str = ""


class Witnessing:
    """One party's side of it; safe from any thread. actor: who this party is in its log's entries.

    recovers: whether a party whose log lost something must recover it by hand (`recovered`), or is forgiven as soon as
    the peer is.
    """

    def __init__(self, store: Store, metadata: MetaData, actor: str, *, recovers: bool) -> None:
        self._store = store
        self._tables = tables = witness_tables(metadata)
        self._of_log = select(tables.memory).where(tables.memory.c.origin == bindparam("name"))
        self._remember = replacing(tables.memory)
        self._be_remembered = replacing(tables.cosignature)
        self._by_witness = select(tables.cosignature).where(tables.cosignature.c.witness == bindparam("name"))
        self._actor = actor
        self._recovers = recovers
        self._last: dict[str, tuple[str, int]] = {}  # what each peer showed last
        self._held: dict[str, tuple[str, int]] = {}  # what each peer remembers of our log, found in it by this process

    # ---- the conversation

    def show(self, peer: str, since: int | None = None) -> Shown:
        """Our log for this peer, proven from the size `since` (default: as it cosigned last); our memory of its log."""

        def query(connection: Connection) -> Shown:
            log = self._store.log
            note, size = log.latest(connection)
            mine, theirs = self._memory(connection, peer), None
            if since is None:
                theirs = self._cosignature(connection, peer)
            old = since if since is not None else theirs["size"] if theirs is not None else 0
            proof = log.proof(connection, old, size) if old < size else ()
            remembers = None if mine is None else mine["note"] + mine["cosignature"]
            refused = None if mine is None or not mine["refused"] else mine["refused"]
            hashes = [value.hex() for value in proof]
            return Shown(checkpoint=note, old=old, proof=hashes, remembers=remembers, refused=refused)

        return self._store.read(query)

    def hear(self, peer: Peer, shown: Shown | None) -> Heard:
        """Judge and keep what a peer shows; all of it is committed before this returns.

        A peer that never showed its log is an older one and is not judged; one that did, and stops, is refused.
        """
        if shown is None:
            mine = self._store.read(lambda connection: self._memory(connection, peer.origin))
            return Heard(0, NOTHING_SHOWN if mine is not None else "")
        new = self._last.get(peer.origin) != (shown.checkpoint, shown.old)
        self._last[peer.origin] = (shown.checkpoint, shown.old)
        change, claim = self._settle(peer.origin, lambda rows: self._weigh(peer, shown, rows))
        behind = (claim.ahead or _unrecovered(change.rows.theirs)) and self.behind(peer.origin)
        return Heard(claim.size, change.refused, new and bool(change.refused), behind)

    def compare(self, peer: Peer, note: str) -> None:
        """A checkpoint that came another way, e.g. in a receipt; Refused where it forks what is remembered.

        Of another size it says nothing here: a later one is proven at the next exchange, an earlier one may be late.
        """
        mine = self._store.read(lambda connection: self._memory(connection, peer.origin))
        if mine is None or checkpoints.stated_size(note) != mine["size"]:
            return
        checkpoint = verified({peer.origin: peer.key}, note)

        def weigh(rows: _Rows) -> tuple[_Change, Refused | None]:
            change = _Change(rows)
            try:
                judge(_memory_of(rows.mine, peer.origin), checkpoint, checkpoint.size, ())
            except Refused as error:
                if error.reason is Reason.FORK:
                    self._suspect(change, note, error)
                    return change, error
            return change, None

        _, refused = self._settle(peer.origin, weigh)
        if refused is not None:
            raise refused

    # ---- what is known

    def suspended(self) -> set[str]:
        """The origins of all logs whose owner and this party do not trust each other's log."""
        ours, theirs = self._tables.memory.c, self._tables.cosignature.c

        def query(connection: Connection) -> set[str]:
            found = set(connection.scalars(select(ours.origin).where(ours.refused != "")))
            return found | set(connection.scalars(select(theirs.witness).where(theirs.refused != "")))

        return self._store.read(query)

    def distrusts(self, origin: str) -> str:
        """Why a log is under suspicion here; empty where it is not."""
        row = self._store.read(lambda connection: self._memory(connection, origin))
        return "" if row is None else str(row["refused"])

    def behind(self, peer: str) -> bool:
        """Whether this peer remembers a state of our log that it does not hold, and from which nobody recovered."""
        row = self._store.read(lambda connection: self._cosignature(connection, peer))
        return _unrecovered(row)

    def facts(self) -> dict[str, list[dict[str, Any]]]:
        """Who witnessed our log, up to which size, when; and what is remembered of others' logs."""

        def query(connection: Connection) -> dict[str, list[dict[str, Any]]]:
            theirs = connection.execute(select(self._tables.cosignature)).mappings()
            ours = connection.execute(select(self._tables.memory)).mappings()
            return {
                "witnessed_by": [
                    {
                        "witness": row["witness"],
                        "size": row["size"],
                        "time": row["time"],
                        "refused": row["refused"],
                        "behind": _unrecovered(row),
                        "note": row["note"],
                    }
                    for row in theirs
                ],
                "witness_of": [
                    {
                        "log": row["origin"],
                        "size": row["size"],
                        "time": row["time"],
                        "refused": row["refused"],
                        "note": row["note"] + row["cosignature"],
                        "shown": row["shown"],
                    }
                    for row in ours
                ],
            }

        return self._store.read(query)

    def evidence(self, origin: str) -> list[dict[str, Any]]:
        """Every refused note of a log that was kept, oldest first."""
        table = self._tables.refused
        query = select(table).where(table.c.origin == origin).order_by(table.c.time)
        return self._store.read(lambda connection: [dict(row) for row in connection.execute(query).mappings()])

    # ---- what a person decides

    def accept(self, peer: Peer, reason: str, actor: str, also: Also | None = None) -> dict[str, Any]:
        """Trust a suspected log again, in the state that it showed last; ConfigurationError where it is trusted."""
        table = self._tables.memory

        def make(connection: Connection) -> tuple[Sequence[Entry], dict[str, Any]]:
            row = self._memory(connection, peer.origin)
            if row is None or not row["refused"]:
                raise ConfigurationError("That log is not under suspicion.", remedy="There is nothing to accept.")
            state = verified({peer.origin: peer.key}, row["shown"])
            values = {"size": state.size, "root": state.root, "note": row["shown"], "cosignature": "", "refused": ""}
            same = update(table).where(table.c.origin == peer.origin)
            connection.execute(same.values(**values, shown=None, time=self._store.seconds()))
            if also is not None:
                also(connection)
            facts = {"log": peer.origin, "was": row["refused"], "remembered": row["size"], "now": state.size}
            return [Entry("witness.accepted", actor, facts={**facts, "reason": reason[:200]})], facts

        return self._store.write_with(make)

    def forget(self, origin: str, connection: Connection) -> None:
        """In an action: a new log begins by this name, with another key. The evidence of the old one stays."""
        memory, cosignature = self._tables.memory, self._tables.cosignature
        connection.execute(delete(memory).where(memory.c.origin == origin))
        connection.execute(delete(cosignature).where(cosignature.c.witness == origin))
        self._last.pop(origin, None)
        self._held.pop(origin, None)

    def recovered(self, connection: Connection, peer: str) -> None:
        """In an action: this party has recovered what its log lost, as far as this peer remembers it."""
        table = self._tables.cosignature
        connection.execute(update(table).where(table.c.witness == peer).values(recovered=table.c.ahead))

    # ---- weighing, and keeping what follows

    def _settle(self, peer: str, weigh: Callable[[_Rows], tuple[_Change, T]]) -> tuple[_Change, T]:
        """Weigh what was shown against what is remembered, and write what follows where that is still remembered."""
        while True:
            change, found = weigh(self._store.read(lambda connection: self._rows(connection, peer)))
            if not change.mine and not change.theirs:
                return change, found
            try:
                self._store.jot(partial(self._write, peer, change))
            except (Raced, IntegrityError):
                continue
            return change, found

    def _weigh(self, peer: Peer, shown: Shown, rows: _Rows) -> tuple[_Change, _Claim]:
        """All that one message changes."""
        change, claim = _Change(rows), self._claim(peer, shown, rows.theirs)
        self._weigh_claim(change, claim, peer, shown)
        mine = rows.mine
        suspected = "" if mine is None else str(mine["refused"])
        change.refused = suspected
        if mine is not None and shown.checkpoint == (mine["shown"] if suspected else mine["note"]):
            return change, claim
        try:
            checkpoint = verified({peer.origin: peer.key}, shown.checkpoint)
            proof = [bytes.fromhex(value) for value in shown.proof]
            grown = judge(_memory_of(mine, peer.origin), checkpoint, shown.old, proof)
        except Refused as error:
            change.refused = suspected or error.reason.value
            if mine is not None and error.reason.alarm:  # a log that was never seen cannot contradict itself
                self._suspect(change, shown.checkpoint, error)
            elif suspected and error.checkpoint is not None:
                change.mine = {"shown": shown.checkpoint}
            return change, claim
        if suspected:
            change.mine = {"shown": shown.checkpoint}  # what a person would accept
            return change, claim
        now = self._store.seconds()
        line = self._store.log.cosign(shown.checkpoint, now)
        change.mine = {
            "size": grown.size,
            "root": grown.root,
            "note": shown.checkpoint,
            "cosignature": line,
            "time": now,
        }
        return change, claim

    def _suspect(self, change: _Change, note: str, why: Refused) -> None:
        """Keep the evidence; the first refusal suspends the log and is logged."""
        row, checkpoint = change.rows.mine, why.checkpoint
        assert row is not None and checkpoint is not None
        change.evidence, change.mine = (note, why.reason.value), {"shown": note}
        if row["refused"]:
            return
        change.mine["refused"] = why.reason.value
        digest = hashlib.sha256(note.encode()).hexdigest()
        facts = {"log": row["origin"], "reason": why.reason.value, "remembered": row["size"], "shown": checkpoint.size}
        change.entries.append(Entry("witness.refused", self._actor, facts={**facts, "note": digest}))

    def _claim(self, peer: Peer, shown: Shown, theirs: RowMapping | None) -> _Claim:
        """What the peer says it remembers of our log, held against the checkpoints that we signed."""
        note = shown.remembers
        if note is None:
            return _Claim()
        known = self._held.get(peer.origin)
        if known is not None and known[0] == note:
            return _Claim(known[1])
        try:
            size = checkpoints.stated_size(note)
            own = self._store.read(lambda connection: self._store.log.signed_at(connection, size))
            if own is None or not note.startswith(own):
                size = checkpoints.read(note, self._store.origin, self._store.public_key).size
                return _Claim(size, ahead=True)
            time = cosigned(note, peer.origin, peer.key)
        except AuditError:  # nothing that we signed: it proves nothing
            return _Claim(0 if theirs is None else theirs["size"])
        self._held[peer.origin] = (note, size)
        return _Claim(size, time)

    def _weigh_claim(self, change: _Change, claim: _Claim, peer: Peer, shown: Shown) -> None:
        theirs, refused = change.rows.theirs, shown.refused or ""
        if refused != ("" if theirs is None else theirs["refused"]):
            change.theirs["refused"] = refused
        if claim.ahead and (theirs is None or theirs["ahead"] != shown.remembers):
            change.theirs["ahead"] = shown.remembers
            facts = {"witness": peer.origin, "remembers": claim.size}
            change.entries.append(Entry("witness.behind", self._actor, facts=facts))
        elif claim.time is not None and (theirs is None or claim.size >= theirs["size"]):
            change.theirs |= {"size": claim.size, "note": shown.remembers, "time": claim.time}
        if not claim.ahead and not self._recovers and theirs is not None and _unrecovered(theirs):
            change.theirs["recovered"] = theirs["ahead"]

    def _write(self, peer: str, change: _Change, connection: Connection) -> tuple[Sequence[Entry], None]:
        """Where the rows are still those that were weighed; else nothing, and Raced."""
        memory, cosignature = self._tables.memory, self._tables.cosignature
        mine, theirs = change.rows.mine, change.rows.theirs
        if change.mine and mine is None:
            connection.execute(insert(memory).values(origin=peer, refused="", shown=None, **change.mine))
        elif change.mine and mine is not None:
            replace(connection, self._remember, mine, change.mine)
        if change.theirs and theirs is None:
            blank = {"size": 0, "note": "", "time": 0.0, "refused": "", "ahead": None, "recovered": None}
            connection.execute(insert(cosignature).values(witness=peer, **{**blank, **change.theirs}))
        elif change.theirs and theirs is not None:
            replace(connection, self._be_remembered, theirs, change.theirs)
        if change.evidence is not None and mine is not None:
            self._keep_evidence(connection, mine, *change.evidence)
        return change.entries, None

    def _keep_evidence(self, connection: Connection, row: RowMapping, note: str, reason: str) -> None:
        table, digest = self._tables.refused, hashlib.sha256(note.encode()).hexdigest()
        of_log = table.c.origin == row["origin"]
        kept = connection.scalar(select(func.count()).select_from(table).where(of_log)) or 0
        if connection.execute(select(table.c.digest).where(table.c.digest == digest)).first() or kept >= EVIDENCE_MAX:
            return
        remembered = row["note"] + row["cosignature"]
        values = {"digest": digest, "origin": row["origin"], "reason": reason, "note": note, "remembered": remembered}
        connection.execute(insert(table).values(**values, time=self._store.seconds()))

    # ---- rows

    def _rows(self, connection: Connection, peer: str) -> _Rows:
        return _Rows(self._memory(connection, peer), self._cosignature(connection, peer))

    def _memory(self, connection: Connection, origin: str) -> RowMapping | None:
        return connection.execute(self._of_log, {"name": origin}).mappings().first()

    def _cosignature(self, connection: Connection, peer: str) -> RowMapping | None:
        return connection.execute(self._by_witness, {"name": peer}).mappings().first()


def _memory_of(row: RowMapping | None, origin: str) -> Memory:
    return Memory(origin) if row is None else Memory(origin, row["size"], row["root"])


def _unrecovered(theirs: RowMapping | None) -> bool:
    return theirs is not None and theirs["ahead"] is not None and theirs["ahead"] != theirs["recovered"]
