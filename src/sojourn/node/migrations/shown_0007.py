"""How much left, which asks are identical, and the tables that left, for the audit of those that come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
_ADDED = {"question": 64, "first_study": 32, "first_analysis": 40}


def upgrade() -> None:
    """Add them. What left before is not counted, not repeated, and audited with its own run alone."""
    op.add_column("release", sa.Column("numbers", sa.Integer(), nullable=False, server_default="0"))
    for name, length in _ADDED.items():
        op.add_column("release", sa.Column(name, sa.String(length=length), nullable=False, server_default=""))
    op.create_index(op.f("ix_release_question"), "release", ["question"], unique=False)
    op.create_table(
        "shown_table",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dataset", sa.String(length=80), nullable=False),
        sa.Column("snapshot", sa.String(length=64), nullable=False),
        sa.Column("population", sa.String(length=64), nullable=False),
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("shown_table_of_persons", "shown_table", ["dataset", "snapshot", "population"], unique=False)


def downgrade() -> None:
    """Remove them; numbers that left are counted no more."""
    op.drop_index("shown_table_of_persons", table_name="shown_table")
    op.drop_table("shown_table")
    op.drop_index(op.f("ix_release_question"), table_name="release")
    with op.batch_alter_table("release") as batch:
        for name in (*reversed(_ADDED), "numbers"):
            batch.drop_column(name)
