"""Which topic the saved state of a shard belongs to, where its keys name none."""

from __future__ import annotations

from streamgauge.models.errors import StateError
from streamgauge.udfs.settings.topics import EventTopics

TOPIC_KEY = "topic"  # of the saved state; its value is the first topic, and empty if there is a pattern


def mark_of_topic(saved: dict[str, bytes], topics: EventTopics) -> bytes | None:
    """Check that saved state belongs to these topics, and take the mark that says so out of it.

    A job with one topic writes no mark. So its saved state stays as it was, and its topic can get another name.

    Parameters
    ----------
    saved : dict of str to bytes
        Saved state of a shard; the mark is removed.
    topics : EventTopics

    Returns
    -------
    bytes or None
        The mark to save; None if none is needed, or if it was there.

    Raises
    ------
    StateError
        The state was saved with another first topic.
    """
    before = saved.pop(TOPIC_KEY, None)
    if before is None:
        if not topics.several:
            return None
        if not topics.first and any(key.partition("/")[0].isdigit() for key in saved):
            raise StateError(
                "this state was saved by a job with one topic, and kafka.topics.events_pattern does not say which: name that topic "
                "first in kafka.topics.events, the others after it, or start without this state"
            )
        return topics.first.encode()
    if before.decode() != topics.first:
        was = f"{before.decode()!r} as the first of kafka.topics.events" if before else "kafka.topics.events_pattern"
        now = f"{topics.first!r} first" if topics.first else "a pattern"
        raise StateError(
            f"this state was saved with {was}, the settings have {now}: write it as it was, or start without this state"
        )
    return None
