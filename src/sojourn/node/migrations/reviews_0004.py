"""Held outputs, the people who check them and their votes; the names of researchers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables; researchers approved before have no name here."""
    op.add_column("approval", sa.Column("name", sa.String(length=200), nullable=False, server_default=""))
    op.create_table(
        "checker",
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("added", sa.Float(), nullable=False),
        sa.Column("removed", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "review",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("ask", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("sites", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("tier", sa.String(length=10), nullable=False),
        sa.Column("family", sa.String(length=40), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("support", sa.Text(), nullable=False),
        sa.Column("features", sa.Text(), nullable=False),
        sa.Column("opened", sa.Float(), nullable=False),
        sa.Column("decided", sa.Float(), nullable=True),
        sa.Column("how", sa.String(length=40), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("review_of_study", "review", ["study", "analysis"])
    op.create_index("review_by_state", "review", ["state"])
    op.create_table(
        "vote",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("review", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("checker", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("envelope", sa.Text(), nullable=False),
        sa.Column("given", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index(op.f("ix_vote_review"), "vote", ["review"])


def downgrade() -> None:
    """Remove them; the log keeps its entries about every decision."""
    op.drop_index(op.f("ix_vote_review"), table_name="vote")
    op.drop_table("vote")
    op.drop_index("review_by_state", table_name="review")
    op.drop_index("review_of_study", table_name="review")
    op.drop_table("review")
    op.drop_table("checker")
    with op.batch_alter_table("approval") as table:
        table.drop_column("name")
