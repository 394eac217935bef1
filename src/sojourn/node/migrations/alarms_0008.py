"""Alarms about researchers' histories of asks; who sent a request that was refused, and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Make the table; of requests refused before, nobody knows whose they were."""
    op.add_column("refused_request", sa.Column("researcher", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("refused_request", sa.Column("target", sa.String(length=64), nullable=False, server_default=""))
    op.add_column("refused_request", sa.Column("made", sa.Float(), nullable=False, server_default="0"))
    op.create_table(
        "alarm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("researcher", sa.String(length=64), nullable=False),
        sa.Column("found", sa.Text(), nullable=False),
        sa.Column("raised", sa.Float(), nullable=False),
        sa.Column("cleared", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_alarm_researcher"), "alarm", ["researcher"])


def downgrade() -> None:
    """Remove them; the log keeps its entries."""
    op.drop_index(op.f("ix_alarm_researcher"), table_name="alarm")
    op.drop_table("alarm")
    with op.batch_alter_table("refused_request") as table:
        table.drop_column("made")
        table.drop_column("target")
        table.drop_column("researcher")
