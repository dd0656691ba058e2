"""When records arrived that could not be read, so that they are removed like the rest. Those that are there count as of now."""

from __future__ import annotations

import time

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0010", "0009"


def upgrade() -> None:
    """Add the column."""
    op.add_column("unreadable", sa.Column("arrived", sa.BigInteger(), nullable=False, server_default="0"))
    unreadable = sa.table("unreadable", sa.column("arrived", sa.BigInteger))
    op.execute(unreadable.update().values(arrived=int(time.time() * 1000)))


def downgrade() -> None:
    """Remove the column."""
    op.drop_column("unreadable", "arrived")
