"""Feedback that Kafka may not have, kept with the change that it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0011", "0010"


def upgrade() -> None:
    """Add the column."""
    op.add_column("audit", sa.Column("unsent", sa.Text(), nullable=True))


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("audit", "unsent")
