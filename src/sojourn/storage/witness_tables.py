"""The tables of witnessing: what a party remembers of others' logs, and what they remember of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Float, LargeBinary, MetaData, String, Table, Text, Update, bindparam, update
from sqlalchemy.engine import RowMapping

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


class Raced(Exception):
    """Somebody wrote between reading and writing: read again."""


def replacing(table: Table) -> Update:
    """Replaces a row that is still as it was; built once, as it is a part of every poll."""
    unchanged = [column.is_not_distinct_from(bindparam(f"old_{column.name}")) for column in table.columns]
    new: dict[str, Any] = {column.name: bindparam(f"new_{column.name}") for column in table.columns}
    return update(table).where(*unchanged).values(new)


def replace(connection: Connection, statement: Update, row: RowMapping, values: Mapping[str, Any]) -> None:
    """Give a row these values where it still is as it was read; else Raced."""
    before = {f"old_{name}": value for name, value in row.items()}
    after = {f"new_{name}": value for name, value in {**row, **values}.items()}
    if connection.execute(statement, before | after).rowcount != 1:
        raise Raced
