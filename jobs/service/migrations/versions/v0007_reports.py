"""Figures of the job's reports in columns, and indexes that hold all that counts of incidents and verdicts need."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision, down_revision = "0007", "0006"
TRACKED = "io.streamgauge.tracked"
AGES = ("day_1", "days_2_to_7", "later")


def upgrade() -> None:
    """Make the table, fill it from the notices, and make the indexes."""
    table = op.create_table(
        "reports",
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("events", sa.Float(), nullable=False),
        sa.Column("unjudged", sa.Float(), nullable=False),
        sa.Column("promised", sa.Float(), nullable=True),
        sa.Column("opened", sa.Float(), nullable=True),
        sa.Column("probe", sa.Text(), nullable=True),
        sa.Column("found", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("event_id"),
    )
    _fill(table)
    op.create_index("reports_by_place", "reports", ["place", "time"], unique=False)
    op.drop_index("incidents_by_time", "incidents")
    op.create_index("incidents_by_time", "incidents", ["opened", "alert_id", "kind"], unique=False)
    op.create_index("feedback_by_alert", "feedback", ["alert_id", "verdict"], unique=False)


def downgrade() -> None:
    """Remove the table and the indexes."""
    op.drop_index("feedback_by_alert", "feedback")
    op.drop_index("incidents_by_time", "incidents")
    op.create_index("incidents_by_time", "incidents", ["opened", "alert_id"], unique=False)
    op.drop_table("reports")


def _fill(table: sa.Table) -> None:
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    plain = [
        sa.column(name, kind) for name, kind in (("event_id", sa.Text), ("type", sa.Text), ("time", sa.BigInteger))
    ]
    notices = sa.table("notices", *plain, sa.column("arrived", sa.BigInteger), sa.column("data", json))
    data = notices.c.data
    in_postgresql = op.get_bind().dialect.name == "postgresql"

    def number(*path: str) -> sa.ColumnElement[float | None]:
        """A number of the data. PostgreSQL would fail on a text that is none."""
        value = data[path]
        return (
            sa.case((sa.func.jsonb_typeof(value) == "number", value.as_float())) if in_postgresql else value.as_float()
        )

    place = sa.func.coalesce(data["topic"].as_string() + "/", "") + data["partition"].as_string()
    promise = number("promise", "promised")
    by_age = {
        what: sum(sa.func.coalesce(number("promise", "by_age", age, what), 0.0) for age in AGES)
        for what in ("promised", "opened")
    }
    rows = sa.select(
        notices.c.event_id,
        place,
        notices.c.time,
        notices.c.arrived,
        sa.func.coalesce(number("of"), 0.0),
        sa.func.coalesce(number("unjudged"), 0.0),
        *(sa.case((promise.is_not(None), figure)) for figure in by_age.values()),
        data["probe", "kind"].as_string(),
        data["probe", "found"].as_boolean(),
    )
    op.execute(table.insert().from_select(table.columns.keys(), rows.where(notices.c.type == TRACKED)))
