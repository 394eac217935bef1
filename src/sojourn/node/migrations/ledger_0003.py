"""The ledger by dataset, and each set of persons once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pyroaring import BitMap

from sojourn.disclosure.ledger import digest

revision = "0003"
down_revision = "0002"

_COMMON = ("study", "analysis", "snapshot", "measure", "label")


def upgrade() -> None:
    """Entries get their dataset from their run; their sets go into a table of their own."""
    op.create_table(
        "person_set",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("persons", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    connection = op.get_bind()
    query = sa.text(
        "SELECT ledger.study, analysis, ledger.snapshot, measure, label, persons, run.dataset"
        " FROM ledger JOIN run ON run.study = ledger.study ORDER BY ledger.id"
    )
    before = list(connection.execute(query).mappings())
    _replace(sa.Column("dataset", sa.String(80), nullable=False), sa.Column("digest", sa.String(64), nullable=False))
    op.create_index(op.f("ix_ledger_dataset"), "ledger", ["dataset"], unique=False)
    kept: set[str] = set()
    for row in before:
        mark = digest(BitMap.deserialize(row["persons"]))
        if mark not in kept:
            kept.add(mark)
            insert = sa.text("INSERT INTO person_set (digest, persons) VALUES (:digest, :persons)")
            connection.execute(insert, {"digest": mark, "persons": row["persons"]})
        connection.execute(_insert("dataset", "digest"), {**row, "digest": mark})


def downgrade() -> None:
    """Each entry with its set again."""
    connection = op.get_bind()
    query = sa.text("SELECT ledger.*, persons FROM ledger JOIN person_set USING (digest) ORDER BY ledger.id")
    before = list(connection.execute(query).mappings())
    op.drop_index(op.f("ix_ledger_dataset"), table_name="ledger")
    _replace(sa.Column("persons", sa.LargeBinary(), nullable=False))
    for row in before:
        connection.execute(_insert("persons"), dict(row))
    op.drop_table("person_set")


def _replace(*columns: sa.Column[str] | sa.Column[bytes]) -> None:
    """An empty ledger with these columns beside the common ones."""
    op.drop_index(op.f("ix_ledger_study"), table_name="ledger")
    op.drop_index(op.f("ix_ledger_snapshot"), table_name="ledger")
    op.drop_table("ledger")
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_ledger_snapshot"), "ledger", ["snapshot"], unique=False)
    op.create_index(op.f("ix_ledger_study"), "ledger", ["study"], unique=False)


def _insert(*columns: str) -> sa.TextClause:
    names = (*_COMMON, *columns)
    return sa.text(f"INSERT INTO ledger ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})")
