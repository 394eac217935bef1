"""What a node remembers of formal privacy: what was charged, and the noisy numbers that were drawn for it, once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sqlalchemy import Connection, insert, select

from sojourn.audit.entry import Entry
from sojourn.disclosure.budget import Account, Loss
from sojourn.errors import DisclosureRefused
from sojourn.node.tables import losses, noisy
from sojourn.storage.store import Store


class DoneBefore(Exception):
    """Rolls the savepoint back: nothing is to be done, and nothing is logged."""


class LossStore(Store):
    """The part of a node's store that holds charges and noisy answers."""

    def charge(self, dataset: str, account: Account, loss: Loss, most: Fraction, now: float, entry: Entry) -> float:
        """Charge an answer to a project, once. The share of its nearer limit that was spent when it was charged.

        DisclosureRefused("privacy budget"), and nothing is charged, where that would be more than `most`, or than all.
        """

        def action(connection: Connection) -> float:
            before = _losses(connection, dataset)
            for one in before:
                if (one.key, one.project) == (loss.key, loss.project):
                    raise DoneBefore(one.share)
            after = account.after(before, loss)
            if after is None or after > most:
                raise DisclosureRefused("privacy budget")
            connection.execute(insert(losses).values(loss_row(dataset, replace(loss, share=float(after)), now)))
            return float(after)

        try:
            return self.write(entry, action)
        except DoneBefore as before:
            return float(before.args[0])

    def keep_noisy(self, key: str, numbers: str, now: float, entry: Entry) -> str:
        """Store the noisy numbers of a charged answer; the stored ones, which are older ones where there are such."""

        def action(connection: Connection) -> str:
            known = connection.execute(select(noisy.c.numbers).where(noisy.c.answer == key)).first()
            if known is not None:
                raise DoneBefore(known[0])
            if not connection.execute(select(losses.c.answer).where(losses.c.answer == key)).first():
                raise DisclosureRefused("privacy budget")  # nothing is kept that was not charged
            connection.execute(insert(noisy).values(answer=key, numbers=numbers, drawn=now))
            return numbers

        try:
            return self.write(entry, action)
        except DoneBefore as before:
            return str(before.args[0])

    def noisy_numbers(self, key: str) -> str | None:
        """The noisy numbers of an answer, if they were drawn."""
        query = select(noisy.c.numbers).where(noisy.c.answer == key)
        found = self.read(lambda connection: connection.execute(query).scalar())
        return None if found is None else str(found)

    def losses(self, dataset: str) -> list[Loss]:
        """What was charged on a dataset, over all projects."""
        return self.read(lambda connection: _losses(connection, dataset))


def _losses(connection: Connection, dataset: str) -> list[Loss]:
    found = connection.execute(select(losses).where(losses.c.dataset == dataset)).mappings()
    return [Loss(row["answer"], row["project"], row["cost"], row["unit"], row["share"]) for row in found]


def loss_row(dataset: str, loss: Loss, now: float) -> Mapping[str, Any]:
    """What is stored of a charge."""
    return {
        "project": loss.project,
        "answer": loss.key,
        "dataset": dataset,
        "cost": loss.cost,
        "unit": loss.unit,
        "share": loss.share,
        "charged": now,
    }
