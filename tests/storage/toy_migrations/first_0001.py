"""The audit log and one table of the toy program."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sojourn.storage.log import create_log, drop_log

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_log(op.get_bind())
    op.create_table("thing", sa.Column("name", sa.Text, primary_key=True))


def downgrade() -> None:
    op.drop_table("thing")
    drop_log(op.get_bind())
