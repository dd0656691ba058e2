"""Saved state belongs to the topics it was saved with."""

from __future__ import annotations

import pytest
from streamgauge.models.errors import StateError
from streamgauge.udfs.flink.first_topic import TOPIC_KEY, mark_of_topic
from streamgauge.udfs.settings.topics import EventTopics

ONE, SEVERAL, PATTERN = EventTopics(("a",)), EventTopics(("a", "b")), EventTopics((), "[a-z]")
OF_ONE = {"0/h": b"", "shards": b"2"}


def test_a_job_with_one_topic_marks_nothing():
    assert mark_of_topic({}, ONE) is None
    assert mark_of_topic(dict(OF_ONE), EventTopics(("renamed",))) is None


@pytest.mark.parametrize(("topics", "mark"), [(SEVERAL, b"a"), (PATTERN, b"")])
def test_a_job_with_several_topics_marks_its_state_once(topics, mark):
    assert mark_of_topic({}, topics) == mark
    saved = {TOPIC_KEY: mark, "0@b/h": b""}
    assert mark_of_topic(saved, topics) is None
    assert saved == {"0@b/h": b""}


def test_topics_can_be_added_after_the_first_and_taken_away_again():
    assert mark_of_topic(dict(OF_ONE), SEVERAL) == b"a"
    assert mark_of_topic({TOPIC_KEY: b"a"}, ONE) is None


@pytest.mark.parametrize(
    ("mark", "topics"),
    [
        (b"a", EventTopics(("b", "a"))),
        (b"a", EventTopics(("b",))),
        (b"a", PATTERN),
        (b"", SEVERAL),
    ],
)
def test_another_first_topic_is_refused(mark, topics):
    with pytest.raises(StateError, match="write it as it was, or start without this state"):
        mark_of_topic({TOPIC_KEY: mark}, topics)


def test_a_pattern_does_not_take_the_state_of_a_job_with_one_topic():
    with pytest.raises(StateError, match=r"name that topic first in kafka\.topics\.events"):
        mark_of_topic(dict(OF_ONE), PATTERN)
