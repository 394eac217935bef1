"""What a node remembers of lists for other sites: one of a snapshot and partner, and with which one it was compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyroaring import BitMap
from sqlalchemy import ColumnElement, Connection, insert, select, update

from sojourn.disclosure.ledger import RESTORED, digest
from sojourn.node.store import NodeStore
from sojourn.node.tables import masked_sets, overlap_lists, person_sets

Action = Callable[[Connection], None]


@dataclass(frozen=True)
class Listed:
    """A list as it was put in. own, theirs: names of the two lists. persons: none where nobody was put in.

    received: sha256 (hex) of the partner's list; empty until it came.
    """

    dataset: str
    partner: str
    own: str
    theirs: str
    persons: BitMap
    received: str = ""


@dataclass(frozen=True)
class OverlapStore:
    """The table of lists behind its own words, over the node's one store."""

    store: NodeStore

    def lists(self, dataset: str, partner: str) -> list[Listed]:
        """All lists of a dataset for a partner."""
        query = (
            select(overlap_lists, person_sets.c.persons)
            .join_from(overlap_lists, person_sets, overlap_lists.c.digest == person_sets.c.digest)
            .where(overlap_lists.c.dataset == dataset, overlap_lists.c.partner == partner)
            .order_by(overlap_lists.c.id)
        )
        return [
            Listed(dataset, partner, row["own"], row["theirs"], BitMap.deserialize(row["persons"]), row["received"])
            for row in self.store.rows(query)
        ]

    def restored(self, dataset: str) -> bool:
        """Whether the node was restored and answered masked plans that it no longer knows: overlaps may be among
        them.
        """
        lost = (masked_sets.c.dataset == dataset, masked_sets.c.roster == RESTORED)
        return self.store.row(select(masked_sets.c.id).where(*lost).limit(1)) is not None


def keep(lists: Sequence[Listed], study: str, now: float) -> Action:
    """What writes lists, in their answer's own transaction: new ones, and persons into one that nobody was in."""

    def action(connection: Connection) -> None:
        for one in lists:
            name = digest(one.persons)
            if connection.execute(select(person_sets.c.digest).where(person_sets.c.digest == name)).first() is None:
                connection.execute(insert(person_sets).values(digest=name, persons=one.persons.serialize()))
            if connection.execute(update(overlap_lists).where(*_same(one)).values(digest=name)).rowcount:
                continue
            row: dict[str, object] = {
                "dataset": one.dataset,
                "partner": one.partner,
                "own": one.own,
                "theirs": one.theirs,
            }
            row |= {"study": study, "digest": name, "received": "", "made": now}
            connection.execute(insert(overlap_lists).values(row))

    return action


def receive(lists: Sequence[Listed]) -> Action:
    """What writes that the partners' lists came."""

    def action(connection: Connection) -> None:
        for one in lists:
            connection.execute(update(overlap_lists).where(*_same(one)).values(received=one.received))

    return action


def _same(one: Listed) -> tuple[ColumnElement[bool], ...]:
    return (
        overlap_lists.c.dataset == one.dataset,
        overlap_lists.c.partner == one.partner,
        overlap_lists.c.own == one.own,
        overlap_lists.c.theirs == one.theirs,
    )
