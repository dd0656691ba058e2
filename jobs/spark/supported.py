"""Which settings the Spark job can fulfil. What it cannot do is refused before anything starts."""

from __future__ import annotations

from streamgauge.jobs.settings.kafka import SecuritySettings
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import SettingsError


def refuse_unsupported(settings: Settings) -> None:
    """Check that the settings ask for nothing that only the Flink job does.

    Raises
    ------
    SettingsError
        The message names each key, its value, and what is allowed.
    """
    found = [f"{key} is {value}, but {allowed}" for key, value, allowed in _unsupported(settings)]
    if found:
        raise SettingsError(
            f"the Spark job cannot do what these settings ask for (docs/engines.md): {'; '.join(found)}"
        )


def _unsupported(settings: Settings) -> list[tuple[str, str, str]]:
    """Of each key that is refused: the key, its value, and what is allowed and why."""
    kafka, topics, decide, feedback = settings.kafka, settings.kafka.topics, settings.decide, settings.feedback
    no_messages = "the Spark job reads neither control messages nor feedback"
    no_heartbeats = "must be left out: nothing tells the Spark job that time passes on a partition without records"
    wrong = [
        (topics.events_pattern is not None, "kafka.topics.events_pattern", repr(topics.events_pattern), "must be null"),
        (
            len(topics.event_topics.names) > 1,
            "kafka.topics.events",
            f"{topics.events}",
            "must be the name of one topic",
        ),
        (kafka.start == "committed", "kafka.start", kafka.start, "must be earliest or latest: Spark keeps the offsets"),
        (
            kafka.security != SecuritySettings(),
            "kafka.security.protocol",
            kafka.security.protocol,
            "must be PLAINTEXT: the Spark job takes no password and no certificate",
        ),
        (settings.batch.sharding != "partition", "batch.sharding", settings.batch.sharding, "must be partition"),
        (
            settings.job.delivery != "at_least_once",
            "job.delivery",
            settings.job.delivery,
            "must be at_least_once: Spark's Kafka sink has no transactions",
        ),
        (settings.silence is not None, "silence", "on", no_heartbeats),
        (bool(settings.windows), "windows", ", ".join(settings.windows), no_heartbeats),
        (
            bool(settings.models.use),
            "models.use",
            ", ".join(settings.models.use),
            f"must be empty: {no_messages}, which exchange trained models",
        ),
        (bool(feedback.trusted_keys), "feedback.trusted_keys", "set", f"must be empty: {no_messages}"),
        (feedback.people is not None, "feedback.people", "set", f"must be null: {no_messages}"),
        (
            decide.group_within > 0,
            "decide.group_within",
            f"{decide.group_within} ms",
            "must be 0: nothing brings the incidents of all partitions together",
        ),
    ]
    return [(key, value, allowed) for is_wrong, key, value, allowed in wrong if is_wrong]
