"""Lists of persons that were put together for other sites, to count whom both have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "overlap_list",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(length=80), nullable=False),
        sa.Column("partner", sa.String(length=80), nullable=False),
        sa.Column("own", sa.String(length=64), nullable=False),
        sa.Column("theirs", sa.String(length=64), nullable=False),
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("received", sa.String(length=64), nullable=False),
        sa.Column("made", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_overlap_list_dataset"), "overlap_list", ["dataset"])


def downgrade() -> None:
    """Remove it, and with it all memory of whom lists were for; the log keeps its entries."""
    op.drop_index(op.f("ix_overlap_list_dataset"), table_name="overlap_list")
    op.drop_table("overlap_list")
