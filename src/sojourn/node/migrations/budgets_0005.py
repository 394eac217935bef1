"""Budgets of formal privacy: what was charged, and the noisy answers that were drawn for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "privacy_loss",
        sa.Column("project", sa.String(length=200), nullable=False),
        sa.Column("answer", sa.String(length=80), nullable=False),
        sa.Column("dataset", sa.String(length=80), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("unit", sa.String(length=10), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("charged", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("project", "answer"),
    )
    op.create_index(op.f("ix_privacy_loss_dataset"), "privacy_loss", ["dataset"], unique=False)
    op.create_table(
        "noisy_answer",
        sa.Column("answer", sa.String(length=80), nullable=False),
        sa.Column("numbers", sa.Text(), nullable=False),
        sa.Column("drawn", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("answer"),
    )


def downgrade() -> None:
    """Remove them, and with them all memory of what was given away."""
    op.drop_table("noisy_answer")
    op.drop_index(op.f("ix_privacy_loss_dataset"), table_name="privacy_loss")
    op.drop_table("privacy_loss")
