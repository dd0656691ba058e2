"""The tables of what is told to others. In SQLite, numbers of changes are never given again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"


def upgrade() -> None:
    """Make the tables, and make the table of changes anew in SQLite, which cannot change it."""
    op.create_table(
        "deliveries",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.Column("told", sa.BigInteger(), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("target"),
    )
    op.create_table(
        "refused_deliveries",
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("target", "number"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _make_changes_anew(autoincrement=True)


def downgrade() -> None:
    """Remove the tables."""
    op.drop_table("refused_deliveries")
    op.drop_table("deliveries")
    if op.get_bind().dialect.name == "sqlite":
        _make_changes_anew(autoincrement=False)


def _make_changes_anew(autoincrement: bool) -> None:
    op.drop_index("ix_incident_changes_alert_id", "incident_changes")
    op.rename_table("incident_changes", "incident_changes_before")
    op.create_table(
        "incident_changes",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("alert_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("event_id"),
        sqlite_autoincrement=autoincrement,
    )
    columns = "number, event_id, alert_id, state, time, data"
    op.execute(
        f"INSERT INTO incident_changes ({columns}) SELECT {columns} FROM incident_changes_before ORDER BY number"
    )
    op.drop_table("incident_changes_before")
    op.create_index("ix_incident_changes_alert_id", "incident_changes", ["alert_id"], unique=False)
