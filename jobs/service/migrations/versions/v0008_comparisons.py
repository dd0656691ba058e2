"""Figures of the comparisons of models in columns, so that all of them can be added up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision, down_revision = "0008", "0007"
COMPARED = "io.streamgauge.model.compared"
FIGURES = ("threshold", "events", "both", "only_live", "only_shadow", "probes", "live_right", "shadow_right")


def upgrade() -> None:
    """Make the table, and fill it from the notices."""
    table = op.create_table(
        "comparisons",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("live", sa.Text(), nullable=False),
        sa.Column("shadow", sa.Text(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=False) for name in FIGURES),
        sa.PrimaryKeyConstraint("event_id"),
    )
    _fill(table)
    op.create_index("comparisons_by_model", "comparisons", ["model", "arrived"], unique=False)


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("comparisons")


def _fill(table: sa.Table) -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    notices = sa.table(
        "notices",
        sa.column("event_id", sa.Text),
        sa.column("type", sa.Text),
        sa.column("arrived", sa.BigInteger),
        sa.column("data", json),
    )
    data = notices.c.data
    in_postgresql = op.get_bind().dialect.name == "postgresql"

    def number(name: str) -> sa.ColumnElement[float]:
        """A number of the data; 0 for what is none. PostgreSQL would fail on a text that is none."""
        found = data[name].as_float()
        value = sa.case((sa.func.jsonb_typeof(data[name]) == "number", found)) if in_postgresql else found
        return sa.func.coalesce(value, 0.0)

    texts = [data[name].as_string() for name in ("model", "live", "shadow")]
    rows = sa.select(notices.c.event_id, *texts, notices.c.arrived, *(number(name) for name in FIGURES))
    op.execute(table.insert().from_select(table.columns.keys(), rows.where(notices.c.type == COMPARED)))
