"""Which exchange keys the sites of a masked study stated."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    op.add_column("study", sa.Column("exchange", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it; the statements are in the nodes' stores too."""
    op.drop_column("study", "exchange")  # in place: others refer to the table, so it cannot be made anew
