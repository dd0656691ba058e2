"""The tables of the history. All times are milliseconds since 1970."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()
_Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER
_Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

# One row for each incident, as its last change left it.
incidents = Table(
    "incidents",
    metadata,
    Column("alert_id", Text, primary_key=True),
    Column("entity", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("rank", Integer, nullable=False),  # of the severity: 0 is low
    Column("state", Text, nullable=False),  # of its last change: opened, updated, resolved or retracted
    Column("opened", BigInteger, nullable=False),
    Column("changed", BigInteger, nullable=False),
    Column("arrived", BigInteger, nullable=False),  # Kafka's timestamp of its last change; events may be of any age
    Column("field", Text),
    Column("score", Float, nullable=False),
    Column("first", _Json, nullable=False),  # data of the first and of the last change
    Column("last", _Json, nullable=False),
    Index("incidents_by_time", "opened", "alert_id", "kind"),  # the kind, so that counts need no row
    Index("incidents_by_entity", "entity", postgresql_using="hash"),  # names may be longer than other indexes allow
    Index("incidents_by_state", "state", "rank", "opened"),
)

# Every message about an incident, each once. Rows are only added, and removed with their incident.
changes = Table(
    "incident_changes",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, unique=True),  # id of the CloudEvents envelope
    Column("alert_id", Text, nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("data", _Json, nullable=False),
    sqlite_autoincrement=True,  # else SQLite gives the numbers of removed rows again, and readers that are beyond them miss the new rows
)

# The newest feedback of each person on each incident.
feedback = Table(
    "feedback",
    metadata,
    Column("alert_id", Text, primary_key=True),
    Column("by", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("data", _Json, nullable=False),
    Index("feedback_by_alert", "alert_id", "verdict"),
)

# Messages of the job about itself: quality, schema, groups, models.
notices = Table(
    "notices",
    metadata,
    Column("event_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("arrived", BigInteger, nullable=False),  # Kafka's timestamp
    Column("data", _Json, nullable=False),
    Index("notices_by_type", "type", "time"),
)

# The figures of the notices about quality that are added up: to take them out of the data of many notices takes seconds.
reports = Table(
    "reports",
    metadata,
    Column("event_id", Text, primary_key=True),  # of the notice
    Column("place", Text, nullable=False),  # topic, if it is not the first one, and partition
    Column("time", BigInteger, nullable=False),
    Column("arrived", BigInteger, nullable=False),
    Column("events", Float, nullable=False),  # floats, so that sums of any reports fit
    Column("unjudged", Float, nullable=False),
    Column("promised", Float),  # incidents of entities of all ages; none if it tells of no promise
    Column("opened", Float),
    Column("probe", Text),  # its kind
    Column("found", Boolean),
    Index("reports_by_place", "place", "time"),
)

# The figures of the notices that compare a live version of a model with its shadow: all since a step of the trainer are added up.
comparisons = Table(
    "comparisons",
    metadata,
    Column("event_id", Text, primary_key=True),  # of the notice
    Column("model", Text, nullable=False),
    Column("live", Text, nullable=False),  # versions; texts, because a number may be of any size
    Column("shadow", Text, nullable=False),
    Column("arrived", BigInteger, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("events", Float, nullable=False),  # floats, as in reports
    Column("both", Float, nullable=False),
    Column("only_live", Float, nullable=False),
    Column("only_shadow", Float, nullable=False),
    Column("probes", Float, nullable=False),
    Column("live_right", Float, nullable=False),
    Column("shadow_right", Float, nullable=False),
    Index("comparisons_by_model", "model", "arrived"),
)

# Groups of single partitions, and the group of several partitions that each belongs to, as the largest notice about that says.
group_members = Table(
    "group_members",
    metadata,
    Column("group_id", Text, primary_key=True),
    Column("whole", Text, nullable=False),  # id of the group of several partitions
    Column("incidents", BigInteger, nullable=False),
    Column("root", _Json, nullable=False),
    Column("arrived", BigInteger, nullable=False),
)

# Scores of events, if the job writes them. A day of arrival is a partition: see `streamgauge.jobs.service.scores`.
scores = Table(
    "scores",
    metadata,
    Column("topic", Text, primary_key=True),  # place of the event
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("place", Integer, primary_key=True),  # in its record; -1 if that holds one event only
    Column("arrived", BigInteger, primary_key=True),  # Kafka's timestamp; every key of a partitioned table must have it
    Column("entity", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("score", Float),  # none if it could not be judged
    Column("tail_probability", Float),
    Column("events", Integer),  # that it stands for, if its day was thinned; none before
    Index("scores_by_entity", "entity", "time"),
)

# Records that could not be read, and why. Nothing is left out silently.
unreadable = Table(
    "unreadable",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("beginning", Text, nullable=False),
    Column("arrived", BigInteger, nullable=False, server_default="0"),  # Kafka's timestamp
)

# What the job set aside, dead letters and late events: how many for each day and reason, with one example. There may be too many to keep
# a row for each.
not_scored = Table(
    "not_scored",
    metadata,
    Column("day", BigInteger, primary_key=True, autoincrement=False),  # of arrival, from 1970
    Column("reason", Text, primary_key=True),
    Column("records", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),  # Kafka's timestamp of the newest one
    Column("example", _Json, nullable=False),
)

# The next offset of each partition. It is written together with the rows that came from the offsets before it.
offsets = Table(
    "consumer_offsets",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next", BigInteger, nullable=False),
)

# How far each target, an Alertmanager or a webhook, was told of changes, and which service tells it now.
deliveries = Table(
    "deliveries",
    metadata,
    Column("target", Text, primary_key=True),  # its place below `service` in the settings
    Column("start", BigInteger, nullable=False),  # number of the last change before the target was known
    Column("done", BigInteger, nullable=False),  # number of the last change that it was told, or that was passed over
    Column("holder", Text),  # the service that tells it
    Column("beat", BigInteger, nullable=False),  # signs of life of that service
    Column("told", BigInteger),  # when it last accepted a change
    Column("problem", Text),  # why it cannot be told now, and since when
    Column("since", BigInteger),
)

# Changes that a target refused for their contents, and that were passed over.
refusals = Table(
    "refused_deliveries",
    metadata,
    Column("target", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)

# Who may use the service. Only hashes of tokens and sessions are kept.
tokens = Table(
    "tokens",
    metadata,
    Column("name", Text, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("expires", BigInteger),
)
sessions = Table(
    "sessions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("token", Text, nullable=False, index=True),
    Column("expires", BigInteger, nullable=False),
)
# People who are signed in by OpenID Connect. What they may do is as it was when they signed in.
person_sessions = Table(
    "person_sessions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

# Who changed what through the service.
audit = Table(
    "audit",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("time", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("data", _Json, nullable=False),
    Column("unsent", Text),  # feedback, until Kafka has it
)
