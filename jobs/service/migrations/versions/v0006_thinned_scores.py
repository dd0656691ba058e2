"""How many events a score stands for, once its day was thinned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    """Add the column; partitions and chunks get it, too."""
    op.add_column("scores", sa.Column("events", sa.Integer(), nullable=True))


def downgrade() -> None:
    """Remove the column. What was thinned stays so."""
    op.drop_column("scores", "events")
