"""Which settings the Spark job can fulfil. What it cannot do is refused before anything starts."""

from __future__ import annotations

from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import SettingsError

NO_MESSAGES = "the Spark job reads neither control messages nor feedback"
NO_HEARTBEATS = "must be left out: nothing tells the Spark job that time passes on a partition without records"


def refuse_unsupported(settings: Settings) -> None:
    """Check that the settings ask for nothing that only the Flink job does.

    Raises
    ------
    SettingsError
        The message names each key, its value, and what is allowed.
    """
    wrong = [f"{key} is {value}, but {allowed}" for key, value, allowed in _refused(settings)]
    if wrong:
        raise SettingsError(
            f"the Spark job cannot do what these settings ask for (docs/engines.md): {'; '.join(wrong)}"
        )


def _refused(settings: Settings) -> list[tuple[str, object, str]]:
    """Of each key whose value is refused: the key, the value, what is allowed."""
    topics, feedback = settings.kafka.topics, settings.feedback
    within, models, windows = settings.decide.group_within, list(settings.models.use), list(settings.windows)
    start, delivery, sharding = settings.kafka.start, settings.job.delivery, settings.batch.sharding
    names = list(topics.event_topics.names)
    found: list[tuple[bool, str, object, str]] = [
        (len(names) > 1, "kafka.topics.events", names, "must be the name of one topic"),
        (not names, "kafka.topics.events_pattern", topics.events_pattern, "must be null"),
        (start == "committed", "kafka.start", start, "must be earliest or latest: Spark keeps the offsets"),
        (sharding != "partition", "batch.sharding", sharding, "must be partition"),
        (
            delivery != "at_least_once",
            "job.delivery",
            delivery,
            "must be at_least_once: Spark's Kafka sink has no transactions",
        ),
        (settings.silence is not None, "silence", "set", NO_HEARTBEATS),
        (bool(windows), "windows", windows, NO_HEARTBEATS),
        (bool(models), "models.use", models, f"must be empty: {NO_MESSAGES}, which exchange trained models"),
        (bool(feedback.trusted_keys), "feedback.trusted_keys", "set", f"must be empty: {NO_MESSAGES}"),
        (feedback.people is not None, "feedback.people", "set", f"must be null: {NO_MESSAGES}"),
        (
            within > 0,
            "decide.group_within",
            f"{within} ms",
            "must be 0: nothing brings the incidents of all partitions together",
        ),
    ]
    return [(key, value, allowed) for is_wrong, key, value, allowed in found if is_wrong]
