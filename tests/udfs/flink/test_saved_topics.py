"""Saved state belongs to the topics it was saved with."""

from __future__ import annotations

import pytest
from streamgauge.models.errors import StateError
from streamgauge.udfs.flink.saved_topics import TOPICS_KEY, mark_of_topics
from streamgauge.udfs.settings.topics import EventTopics

ONE, SEVERAL, PATTERN = EventTopics(("a",)), EventTopics(("a", "b")), EventTopics((), "[a-z]")
OF_ONE = {"0/h": b"", "shards": b"2"}


def test_a_job_with_one_topic_marks_nothing():
    assert mark_of_topics({}, ONE) is None
    assert mark_of_topics(dict(OF_ONE), EventTopics(("renamed",))) is None


@pytest.mark.parametrize(("topics", "mark"), [(SEVERAL, b"a,b"), (PATTERN, b"")])
def test_a_job_with_several_topics_marks_its_state_once(topics, mark):
    assert mark_of_topics({}, topics) == mark
    saved = {TOPICS_KEY: mark, "0@b/h": b""}
    assert mark_of_topics(saved, topics) is None
    assert saved == {"0@b/h": b""}


def test_topics_can_be_added_at_the_end():
    assert mark_of_topics(dict(OF_ONE), SEVERAL) == b"a,b"
    assert mark_of_topics({TOPICS_KEY: b"a,b"}, EventTopics(("a", "b", "c"))) == b"a,b,c"


def test_a_pattern_may_be_changed():
    assert mark_of_topics({TOPICS_KEY: b""}, EventTopics((), "[a-z]+")) is None


@pytest.mark.parametrize(
    ("mark", "topics"),
    [
        (b"a,b", EventTopics(("b", "a"))),
        (b"a,b", EventTopics(("a", "c", "b"))),
        (b"a,b", ONE),
        (b"a,b", PATTERN),
        (b"", SEVERAL),
        (b"", ONE),
    ],
)
def test_other_topics_are_refused(mark, topics):
    with pytest.raises(
        StateError, match="keep these names in this order and write new ones after them, or start without"
    ):
        mark_of_topics({TOPICS_KEY: mark}, topics)


def test_a_pattern_does_not_take_the_state_of_a_job_with_one_topic():
    with pytest.raises(StateError, match=r"name that topic first in kafka\.topics\.events"):
        mark_of_topics(dict(OF_ONE), PATTERN)
