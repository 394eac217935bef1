"""What a node remembers of others' logs, and they of its own."""

from __future__ import annotations

from alembic import op

from sojourn.storage.witness_tables import create_witness, drop_witness

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    create_witness(op.get_bind())


def downgrade() -> None:
    """Remove them, the evidence of refused checkpoints too; the log keeps its entries about them."""
    drop_witness(op.get_bind())
