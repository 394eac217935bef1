"""Masked plans: pinned sites, a run's exchange keys, and the sets of persons behind masked sums."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Make the tables and columns."""
    op.create_table(
        "pin",
        sa.Column("site", sa.String(80), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("pinned", sa.Float, nullable=False),
    )
    op.create_table(
        "masked_set",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("dataset", sa.String(80), nullable=False, index=True),
        sa.Column("study", sa.String(32), nullable=False),
        sa.Column("analysis", sa.String(40), nullable=False),
        sa.Column("roster", sa.String(64), nullable=False),
        sa.Column("snapshot", sa.String(64), nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    op.add_column("run", sa.Column("exchange", sa.Text, nullable=False, server_default=""))
    op.add_column("run", sa.Column("withheld", sa.String(40), nullable=False, server_default=""))
    op.add_column("release", sa.Column("withheld", sa.String(40), nullable=False, server_default=""))
    op.add_column("release", sa.Column("newest", sa.Integer, nullable=True))


def downgrade() -> None:
    """Remove them, and with them all memory of what masked sums showed; the log keeps its entries."""
    columns = (("release", "newest"), ("release", "withheld"), ("run", "withheld"), ("run", "exchange"))
    for table, column in columns:
        with op.batch_alter_table(table) as change:
            change.drop_column(column)
    op.drop_table("masked_set")
    op.drop_table("pin")
