"""What a restored hub has forgotten may be said to it again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the column."""
    op.add_column("release", sa.Column("forgotten", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Remove it: a restored hub gets nothing of what it had acknowledged."""
    with op.batch_alter_table("release") as change:
        change.drop_column("forgotten")
