"""Counts of what the job set aside: dead letters and late events, by day and reason."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision, down_revision = "0005", "0004"
Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "not_scored",
        sa.Column("day", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("example", Json, nullable=False),
        sa.PrimaryKeyConstraint("day", "reason"),
    )


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("not_scored")
