"""The first schema of a node: the audit log and the node's own tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sojourn.storage.log import create_log, drop_log

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    create_log(op.get_bind())
    op.create_table(
        "approval",
        sa.Column("project", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("tables", sa.Text(), nullable=False),
        sa.Column("approved", sa.Float(), nullable=False),
        sa.Column("revoked", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("project", "key"),
    )
    op.create_table(
        "dataset",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("dictionary", sa.Text(), nullable=False),
        sa.Column("added", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("measure", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("persons", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_ledger_snapshot"), "ledger", ["snapshot"], unique=False)
    op.create_index(op.f("ix_ledger_study"), "ledger", ["study"], unique=False)
    op.create_table(
        "refused_request",
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("study"),
    )
    op.create_table(
        "release",
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("ask", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("sites", sa.Text(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("tier", sa.String(length=10), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("made", sa.Float(), nullable=False),
        sa.Column("acknowledged", sa.Boolean(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("study", "analysis", "ask"),
    )
    op.create_table(
        "run",
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("nonce", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=200), nullable=False),
        sa.Column("researcher", sa.String(length=64), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("dataset", sa.String(length=80), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("admitted", sa.Float(), nullable=False),
        sa.Column("ended", sa.String(length=20), nullable=False),
        sa.PrimaryKeyConstraint("study"),
        sa.UniqueConstraint("nonce"),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("run")
    op.drop_table("release")
    op.drop_table("refused_request")
    op.drop_index(op.f("ix_ledger_study"), table_name="ledger")
    op.drop_index(op.f("ix_ledger_snapshot"), table_name="ledger")
    op.drop_table("ledger")
    op.drop_table("dataset")
    op.drop_table("approval")
    drop_log(op.get_bind())
