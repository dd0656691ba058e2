"""Which topics of events saved state was made with."""

from __future__ import annotations

from streamgauge.models.errors import StateError
from streamgauge.udfs.settings.topics import EventTopics

TOPICS_KEY = "topics"  # of the saved state; its value is the names with commas, and empty if there is a pattern


def mark_of_topics(saved: dict[str, bytes], topics: EventTopics) -> bytes | None:
    """Check that saved state belongs to these topics, and take the mark that says so out of it.

    Names may be added at the end. The first one has no name in the keys of the state, and records that wait in Flink have the place of
    their topic in the list. A job with one topic writes no mark: its saved state stays as it was, and its topic can get another name.

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
        The state was saved with other topics.
    """
    before = saved.pop(TOPICS_KEY, None)
    if before is None:
        if not topics.several:
            return None
        if topics.pattern and any(key.partition("/")[0].isdigit() for key in saved):
            raise StateError(
                "this state was saved by a job with one topic, and kafka.topics.events_pattern does not say which: name that topic "
                "first in kafka.topics.events, the others after it, or start without this state"
            )
    else:
        old = tuple(before.decode().split(",")) if before else ()
        if topics.names[: len(old)] != old or bool(old) != bool(topics.names):
            was = f"kafka.topics.events {list(old)}" if old else "kafka.topics.events_pattern"
            now = f"kafka.topics.events {list(topics.names)}" if topics.names else "kafka.topics.events_pattern"
            raise StateError(
                f"this state was saved with {was}, the settings have {now}: keep these names in this order and write new ones "
                "after them, or start without this state"
            )
    mark = ",".join(topics.names).encode()
    return None if mark == before else mark
