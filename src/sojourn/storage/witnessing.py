"""Two parties witness each other's logs: what each remembers of the other, kept before any answer is given.

Laws: what is remembered of a log only grows, by its owner's signed proof. A log that its witness refused is under
suspicion until a person accepts it; the evidence stays. Memory follows from others' signed words and is no act, so it
makes no log entry; a refusal does, and it is the only one while the suspicion lasts: otherwise two parties that
suspect each other would grow each other's logs for ever.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, MetaData, func, insert, select, update
from sqlalchemy.engine import RowMapping

from sojourn.audit import checkpoint as checkpoints
from sojourn.audit.checkpoint import Checkpoint
from sojourn.audit.entry import Entry
from sojourn.audit.witness import Memory, Refused, cosigned, judge, verified
from sojourn.errors import AuditError, ConfigurationError
from sojourn.identity.keys import PublicKey
from sojourn.messages import Shown
from sojourn.storage.store import Store
from sojourn.storage.witness_tables import witness_tables

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


class Witnessing:
    """One party's side of it; safe from any thread. actor: who this party is in its log's entries.

    recovers: whether a party whose log lost something must recover it by hand (`recovered`), or is forgiven as soon as
    the peer is.
    """

    def __init__(self, store: Store, metadata: MetaData, actor: str, *, recovers: bool) -> None:
        self._store = store
        self._tables = witness_tables(metadata)
        self._actor = actor
        self._recovers = recovers
        self._last: dict[str, tuple[str, int]] = {}  # what each peer showed last
        self._held: dict[str, tuple[str, int]] = {}  # what each peer remembers of our log, found in it by this process

    # ---- the conversation

    def show(self, peer: str, since: int | None = None) -> Shown:
        """Our log for this peer, proven from the size `since` (default: as it cosigned last); our memory of its log."""

        def query(connection: Connection) -> Shown:
            log = self._store.log
            note, size = log.checkpoint(connection), log.size(connection)
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
        mine, theirs, size = self._store.read(lambda connection: self._known(connection, peer.origin))
        if shown is None:
            return Heard(0, NOTHING_SHOWN if mine is not None else "")
        new = self._last.get(peer.origin) != (shown.checkpoint, shown.old)
        self._last[peer.origin] = (shown.checkpoint, shown.old)
        claim = self._claim(peer, shown, theirs, size)
        refused = "" if mine is None else str(mine["refused"])
        seen = mine is not None and shown.checkpoint == (mine["shown"] if refused else mine["note"])
        if not seen or self._news(claim, shown, theirs):
            try:
                checkpoint = verified({peer.origin: peer.key}, shown.checkpoint)
            except Refused as error:
                return Heard(claim.size, error.reason.value, new)
            refused = self._store.jot(lambda connection: self._keep(connection, peer, shown, checkpoint, claim))
        behind = (claim.ahead or _unrecovered(theirs)) and self.behind(peer.origin)
        return Heard(claim.size, refused, new and bool(refused), behind)

    def compare(self, peer: Peer, note: str) -> None:
        """A checkpoint that came another way, e.g. in a receipt; Refused where it forks what is remembered.

        Of another size it says nothing here: a later one is proven at the next exchange, an earlier one may be late.
        """
        mine = self._store.read(lambda connection: self._memory(connection, peer.origin))
        if mine is None or f"\n{mine['size']}\n" not in note[: len(peer.origin) + 22]:
            return
        checkpoint = verified({peer.origin: peer.key}, note)
        try:
            judge(_memory_of(mine), checkpoint, mine["size"], ())
        except Refused as error:
            refused = error
            self._store.jot(lambda connection: (self._suspect(connection, note, refused), None))
            raise

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

    def accept(self, peer: Peer, reason: str, actor: str) -> dict[str, Any]:
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
            facts = {"log": peer.origin, "was": row["refused"], "remembered": row["size"], "now": state.size}
            return [Entry("witness.accepted", actor, facts={**facts, "reason": reason[:200]})], facts

        return self._store.write_with(make)

    def recovered(self, connection: Connection, peer: str) -> None:
        """In an action: this party has recovered what its log lost, as far as this peer remembers it."""
        table = self._tables.cosignature
        connection.execute(update(table).where(table.c.witness == peer).values(recovered=table.c.ahead))

    # ---- the other's log, in our memory

    def _keep(
        self, connection: Connection, peer: Peer, shown: Shown, checkpoint: Checkpoint, claim: _Claim
    ) -> tuple[Sequence[Entry], str]:
        """Everything that one message changes, in one transaction; the reason of a refusal."""
        entries = self._keep_claim(connection, peer.origin, shown, claim)
        row = self._memory(connection, peer.origin, lock=True)
        memory = Memory(peer.origin) if row is None else _memory_of(row)
        try:
            grown = judge(memory, checkpoint, shown.old, [bytes.fromhex(value) for value in shown.proof])
        except Refused as error:
            # A log that was never seen before cannot contradict what it said.
            if error.reason.alarm and row is not None:
                entries += self._suspect(connection, shown.checkpoint, error)
            elif row is not None and row["refused"]:
                self._look_at(connection, peer.origin, shown.checkpoint)
            return entries, str(row["refused"] or error.reason) if row is not None else error.reason.value
        if row is not None and row["refused"]:
            self._look_at(connection, peer.origin, shown.checkpoint)
            return entries, str(row["refused"])
        if row is None or row["note"] != shown.checkpoint:
            self._extend(connection, row, grown, shown.checkpoint)
        return entries, ""

    def _extend(self, connection: Connection, row: RowMapping | None, grown: Memory, note: str) -> None:
        table, now = self._tables.memory, self._store.seconds()
        line = self._store.log.cosign(note, now)
        values = {"size": grown.size, "root": grown.root, "note": note, "cosignature": line, "time": now}
        if row is None:
            connection.execute(insert(table).values(origin=grown.origin, refused="", shown=None, **values))
        else:
            connection.execute(update(table).where(table.c.origin == grown.origin).values(**values))

    def _look_at(self, connection: Connection, origin: str, note: str, **values: str) -> None:
        """Note what a suspected log shows now: the state that a person would accept."""
        table = self._tables.memory
        connection.execute(update(table).where(table.c.origin == origin).values(shown=note, **values))

    def _suspect(self, connection: Connection, note: str, why: Refused) -> list[Entry]:
        """Keep the evidence; the first refusal suspends the log and is logged."""
        assert why.checkpoint is not None
        row = self._memory(connection, why.checkpoint.origin, lock=True)
        assert row is not None
        digest = hashlib.sha256(note.encode()).hexdigest()
        self._keep_evidence(connection, row, note, digest, why.reason.value)
        if row["refused"]:
            self._look_at(connection, row["origin"], note)
            return []
        self._look_at(connection, row["origin"], note, refused=why.reason.value)
        facts = {"log": row["origin"], "reason": why.reason.value, "remembered": row["size"], "note": digest}
        return [Entry("witness.refused", self._actor, facts={**facts, "shown": why.checkpoint.size})]

    def _keep_evidence(self, connection: Connection, row: RowMapping, note: str, digest: str, reason: str) -> None:
        table = self._tables.refused
        of_log = table.c.origin == row["origin"]
        kept = connection.scalar(select(func.count()).select_from(table).where(of_log)) or 0
        if connection.execute(select(table.c.digest).where(table.c.digest == digest)).first() or kept >= EVIDENCE_MAX:
            return
        remembered = row["note"] + row["cosignature"]
        values = {"digest": digest, "origin": row["origin"], "reason": reason, "note": note, "remembered": remembered}
        connection.execute(insert(table).values(**values, time=self._store.seconds()))

    # ---- our log, in the other's memory

    def _claim(self, peer: Peer, shown: Shown, theirs: RowMapping | None, size: int) -> _Claim:
        """What the peer says it remembers of our log, checked against our own signature and our own tree."""
        if shown.remembers is None:
            return _Claim()
        known = self._held.get(peer.origin)
        if known is not None and known[0] == shown.remembers and known[1] <= size:
            return _Claim(known[1])
        try:
            remembered = checkpoints.read(shown.remembers, self._store.origin, self._store.public_key)
            time = cosigned(shown.remembers, peer.origin, peer.key)
        except AuditError:  # nothing that we signed: it proves nothing
            return _Claim(0 if theirs is None else theirs["size"])
        if not self._store.read(lambda connection: self._holds(connection, remembered)):
            return _Claim(remembered.size, time, ahead=True)
        self._held[peer.origin] = (shown.remembers, remembered.size)
        return _Claim(remembered.size, time)

    def _holds(self, connection: Connection, remembered: Checkpoint) -> bool:
        log = self._store.log
        return remembered.size <= log.size(connection) and log.root(connection, remembered.size) == remembered.root

    def _news(self, claim: _Claim, shown: Shown, theirs: RowMapping | None) -> bool:
        """Whether anything that the peer says of our log is not in the store yet."""
        if theirs is None:
            return shown.remembers is not None or shown.refused is not None
        ahead = claim.ahead and theirs["ahead"] != shown.remembers
        forgiven = not claim.ahead and not self._recovers and _unrecovered(theirs)
        return ahead or forgiven or _grown(claim, theirs) or (shown.refused or "") != theirs["refused"]

    def _keep_claim(self, connection: Connection, peer: str, shown: Shown, claim: _Claim) -> list[Entry]:
        table = self._tables.cosignature
        theirs = self._cosignature(connection, peer, lock=True)
        if not self._news(claim, shown, theirs):
            return []
        if theirs is None:
            blank = {"size": 0, "note": "", "time": 0.0, "refused": "", "ahead": None, "recovered": None}
            connection.execute(insert(table).values(witness=peer, **blank))
            theirs = self._cosignature(connection, peer)
            assert theirs is not None
        values: dict[str, Any] = {"refused": shown.refused or ""}
        entries = []
        if claim.ahead and theirs["ahead"] != shown.remembers:
            values["ahead"] = shown.remembers
            facts = {"witness": peer, "remembers": claim.size, "here": self._store.log.size(connection)}
            entries = [Entry("witness.behind", self._actor, facts=facts)]
        elif _grown(claim, theirs):
            values |= {"size": claim.size, "note": shown.remembers, "time": claim.time}
        if not claim.ahead and not self._recovers:
            values["recovered"] = theirs["ahead"]
        connection.execute(update(table).where(table.c.witness == peer).values(**values))
        return entries

    # ---- rows

    def _known(self, connection: Connection, peer: str) -> tuple[RowMapping | None, RowMapping | None, int]:
        return self._memory(connection, peer), self._cosignature(connection, peer), self._store.log.size(connection)

    def _memory(self, connection: Connection, origin: str, *, lock: bool = False) -> RowMapping | None:
        query = select(self._tables.memory).where(self._tables.memory.c.origin == origin)
        return connection.execute(query.with_for_update() if lock else query).mappings().first()

    def _cosignature(self, connection: Connection, peer: str, *, lock: bool = False) -> RowMapping | None:
        query = select(self._tables.cosignature).where(self._tables.cosignature.c.witness == peer)
        return connection.execute(query.with_for_update() if lock else query).mappings().first()


def _memory_of(row: RowMapping) -> Memory:
    return Memory(row["origin"], row["size"], row["root"])


def _unrecovered(theirs: RowMapping | None) -> bool:
    return theirs is not None and theirs["ahead"] is not None and theirs["ahead"] != theirs["recovered"]


def _grown(claim: _Claim, theirs: RowMapping) -> bool:
    """Whether the peer cosigned a state of our log that is at least as large as the one kept."""
    return claim.time is not None and not claim.ahead and claim.size >= int(theirs["size"])
