"""The first schema of a hub: the audit log and the hub's own tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sojourn.storage.log import create_log, drop_log

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    create_log(op.get_bind())
    op.create_table(
        "join_token",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=80), nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.Column("used", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table("project", sa.Column("name", sa.String(length=80), nullable=False), sa.PrimaryKeyConstraint("name"))
    op.create_table(
        "seal_key",
        sa.Column("public", sa.String(length=64), nullable=False),
        sa.Column("private", sa.LargeBinary(), nullable=False),
        sa.Column("made", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("public"),
    )
    op.create_table(
        "site",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("log_key", sa.String(length=64), nullable=False),
        sa.Column("software", sa.String(length=40), nullable=False),
        sa.Column("published", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("key"),
    )
    op.create_table(
        "member",
        sa.Column("project", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("project", "key"),
    )
    op.create_table(
        "study",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=80), nullable=False),
        sa.Column("researcher", sa.String(length=64), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("plan", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("submitted", sa.Float(), nullable=False),
        sa.Column("finished", sa.Float(), nullable=True),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"],
            ["project.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "ask",
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("sites", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study"],
            ["study.id"],
        ),
        sa.PrimaryKeyConstraint("study", "analysis", "digest"),
    )
    op.create_table(
        "event",
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study"],
            ["study.id"],
        ),
        sa.PrimaryKeyConstraint("study", "number"),
    )
    op.create_table(
        "result",
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("estimate", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("contributed", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["study"],
            ["study.id"],
        ),
        sa.PrimaryKeyConstraint("study", "analysis"),
    )
    op.create_table(
        "task",
        sa.Column("study", sa.String(length=32), nullable=False),
        sa.Column("analysis", sa.String(length=40), nullable=False),
        sa.Column("ask", sa.String(length=64), nullable=False),
        sa.Column("site", sa.String(length=80), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("dispatched", sa.Float(), nullable=False),
        sa.Column("answered", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["study"],
            ["study.id"],
        ),
        sa.PrimaryKeyConstraint("study", "analysis", "ask", "site"),
    )
    op.create_index("task_of_site", "task", ["site", "state"], unique=False)


def downgrade() -> None:
    """Remove them."""
    op.drop_index("task_of_site", table_name="task")
    op.drop_table("task")
    op.drop_table("result")
    op.drop_table("event")
    op.drop_table("ask")
    op.drop_table("study")
    op.drop_table("member")
    op.drop_table("site")
    op.drop_table("seal_key")
    op.drop_table("project")
    op.drop_table("join_token")
    drop_log(op.get_bind())
