"""Since when a site's answer waits for a checker there."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the column."""
    op.add_column("task", sa.Column("review", sa.Float(), nullable=True))


def downgrade() -> None:
    """Drop it; the log keeps its entries."""
    with op.batch_alter_table("task") as table:
        table.drop_column("review")
