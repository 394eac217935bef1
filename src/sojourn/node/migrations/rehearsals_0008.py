"""Synthetic stand-ins that custodians supply, for rehearsals."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "stand_in",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("snapshot", sa.String(64), nullable=False),
        sa.Column("dictionary", sa.String(64), nullable=False),
        sa.Column("persons", sa.Integer, nullable=False),
        sa.Column("added", sa.Float, nullable=False),
    )


def downgrade() -> None:
    """Remove it; the files stay, and rehearsals run on what the node makes itself."""
    op.drop_table("stand_in")
