"""Things have a colour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("thing", sa.Column("colour", sa.Text))


def downgrade() -> None:
    with op.batch_alter_table("thing") as batch:
        batch.drop_column("colour")
