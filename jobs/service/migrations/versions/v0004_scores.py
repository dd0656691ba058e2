"""The scores of events: in PostgreSQL a hypertable of TimescaleDB if there is one, else a table with partitions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"
DAY = 86_400_000  # milliseconds of arrival in a partition or chunk


def upgrade() -> None:
    """Make the table."""
    database = op.get_bind()
    postgresql = database.dialect.name == "postgresql"
    hypertable = postgresql and _has_timescale(database)
    op.create_table(
        "scores",
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("tail_probability", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("topic", "partition", "offset", "place", "arrived"),
        postgresql_partition_by=None if hypertable or not postgresql else "RANGE (arrived)",
    )
    op.create_index("scores_by_entity", "scores", ["entity", "time"], unique=False)
    if hypertable:
        op.execute(f"SELECT create_hypertable('scores', by_range('arrived', {DAY}), create_default_indexes => false)")


def downgrade() -> None:
    """Remove the table, with its partitions or chunks."""
    op.drop_table("scores")


def _has_timescale(database: sa.Connection) -> bool:
    """Whether the extension is in the database. It is made if the server has loaded it and the user may make it."""
    if not database.scalar(sa.text("SELECT count(*) FROM pg_settings WHERE name LIKE 'timescaledb.%'")):
        return False  # to make it now would end the connection
    try:
        with database.begin_nested():
            database.execute(sa.text("CREATE EXTENSION IF NOT EXISTS timescaledb"))
    except sa.exc.DBAPIError:
        return False
    return True
