"""The sites that a custodian trusts to be sites. Every write takes its audit entry."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.engine import RowMapping

from sojourn.audit.entry import Entry
from sojourn.node.store import NodeStore
from sojourn.node.tables import pins


class PinStore:
    """The table of pins behind its own words, over the node's one store."""

    def __init__(self, store: NodeStore) -> None:
        self.store = store

    def pin(self, site: str, key: str, now: float, entry: Entry) -> None:
        """From now on this is the key of that site, and no other."""

        def action(connection: Connection) -> None:
            connection.execute(delete(pins).where(pins.c.site == site))
            connection.execute(insert(pins).values(site=site, key=key, pinned=now))

        self.store.write(entry, action)

    def all(self) -> list[RowMapping]:
        """Every pin, by the names of the sites."""
        return self.store.rows(select(pins).order_by(pins.c.site))

    def keys(self) -> dict[str, str]:
        """Site → key."""
        return {row["site"]: row["key"] for row in self.all()}
