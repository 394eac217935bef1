"""The tables of witnessing: what a party remembers of others' logs, and what they remember of its own."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Column, Connection, Float, LargeBinary, MetaData, String, Table, Text

from sojourn.audit.tree import HASH_BYTES
from sojourn.storage.log import COUNT


@dataclass(frozen=True)
class WitnessTables:
    """What this party remembers of others' logs; what they remember of its own; the refused notes."""

    memory: Table
    cosignature: Table
    refused: Table


def witness_tables(metadata: MetaData) -> WitnessTables:
    """The three tables in this MetaData, declared at the first call."""
    if "witness" in metadata.tables:
        return WitnessTables(*(metadata.tables[name] for name in ("witness", "cosignature", "refused_checkpoint")))
    return WitnessTables(
        Table(
            "witness",
            metadata,
            Column("origin", String(200), primary_key=True),
            Column("size", COUNT, nullable=False),
            Column("root", LargeBinary(HASH_BYTES), nullable=False),
            Column("note", Text, nullable=False),  # as the log signed it
            Column("cosignature", Text, nullable=False),  # our line below it; empty where a person accepted the state
            Column("time", Float, nullable=False),
            Column("refused", String(20), nullable=False),  # empty, or the reason why the log is under suspicion
            Column("shown", Text),  # what the suspected log showed last
        ),
        Table(
            "cosignature",
            metadata,
            Column("witness", String(200), primary_key=True),
            Column("size", COUNT, nullable=False),
            Column("note", Text, nullable=False),  # our checkpoint with the witness's line; empty before the first
            Column("time", Float, nullable=False),
            Column("refused", String(20), nullable=False),  # why the witness does not accept our log
            Column("ahead", Text),  # our checkpoint, which the witness remembers and our log does not hold
            Column("recovered", Text),  # the one of these from which this party has recovered
        ),
        Table(
            "refused_checkpoint",
            metadata,
            Column("digest", String(64), primary_key=True),  # sha256 of the note
            Column("origin", String(200), nullable=False),
            Column("reason", String(20), nullable=False),
            Column("note", Text, nullable=False),
            Column("remembered", Text, nullable=False),
            Column("time", Float, nullable=False),
        ),
    )


def create_witness(connection: Connection) -> None:
    """For a party's migration (`op.get_bind()`): the tables."""
    metadata = MetaData()
    witness_tables(metadata)
    metadata.create_all(connection, checkfirst=False)


def drop_witness(connection: Connection) -> None:
    """For the migration's downgrade."""
    metadata = MetaData()
    witness_tables(metadata)
    metadata.drop_all(connection, checkfirst=False)
