"""Which masked sums this site itself vetoed at their first numbers, so that they never were."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the column; of earlier sums nobody vetoed."""
    op.add_column("masked_set", sa.Column("vetoed", sa.Boolean, nullable=False, server_default=sa.false()))


def downgrade() -> None:
    """Remove it: two studies that are tested at the same time then veto each other again."""
    with op.batch_alter_table("masked_set") as change:
        change.drop_column("vetoed")
