"""Which groups of single partitions belong to a group of several, so that no notices need to be read for it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision, down_revision = "0009", "0008"
GROUPED = ("io.streamgauge.group.opened", "io.streamgauge.group.updated")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make the table, and fill it from the notices."""
    table = op.create_table(
        "group_members",
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("whole", sa.Text(), nullable=False),
        sa.Column("incidents", sa.BigInteger(), nullable=False),
        sa.Column("root", JSON, nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id"),
    )
    op.bulk_insert(table, _members())


def downgrade() -> None:
    """Remove the table."""
    op.drop_table("group_members")


def _members() -> list[dict[str, Any]]:
    """The rows, by the largest notice that names a group."""
    notices = sa.table(
        "notices", sa.column("type", sa.Text), sa.column("arrived", sa.BigInteger), sa.column("data", JSON)
    )
    told = op.get_bind().execute(sa.select(notices.c.arrived, notices.c.data).where(notices.c.type.in_(GROUPED)))
    found: dict[str, dict[str, Any]] = {}
    for arrived, data in sorted(told, key=lambda row: int(row.data["incidents"])):
        whole = {"whole": data["id"], "incidents": int(data["incidents"]), "root": data["root"], "arrived": arrived}
        found |= {group_id: {"group_id": group_id} | whole for group_id in data["groups"]}
    return list(found.values())
