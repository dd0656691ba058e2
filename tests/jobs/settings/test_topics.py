"""Which topics hold the events."""

from __future__ import annotations

import pytest
from streamgauge.jobs.kafka.event_topics import one_topic
from streamgauge.jobs.kafka.topics import wanted
from streamgauge.jobs.settings.kafka import KafkaSettings
from streamgauge.jobs.settings.loading import Settings, as_file, parsed
from streamgauge.jobs.settings.strict_yaml import write
from streamgauge.models.errors import InputError, SettingsError
from streamgauge.udfs.settings.topics import EventTopics


def settings(**topics: object) -> Settings:
    return parsed(write({"kafka": {"topics": topics}}), "here")


@pytest.mark.parametrize(
    ("topics", "meant", "several"),
    [
        ({}, EventTopics(("events",)), False),
        ({"events": "pumps"}, EventTopics(("pumps",)), False),
        ({"events": ["pumps"]}, EventTopics(("pumps",)), False),
        ({"events": ["pumps", "valves"]}, EventTopics(("pumps", "valves")), True),
        ({"events_pattern": "plant-[0-9]+"}, EventTopics((), "plant-[0-9]+"), True),
        ({"events": "events", "events_pattern": "plant-[0-9]+"}, EventTopics((), "plant-[0-9]+"), True),
    ],
)
def test_the_events_are_on_a_topic_on_several_or_on_those_that_match_a_pattern(topics, meant, several):
    found = settings(**topics).kafka.topics.event_topics
    assert found == meant
    assert found.several is several


def test_a_pattern_matches_whole_names():
    topics = EventTopics((), "plant-[0-9]+|pumps")
    names = ("plant-1", "plant-12", "pumps", "plant-", "my-plant-1", "pumps.raw", "")
    assert [name for name in names if topics.matches(name)] == ["plant-1", "plant-12", "pumps"]


@pytest.mark.parametrize(
    "pattern",
    ["plant-.*", "(?!alerts|scores)[a-z]+\\.raw", "(a|b){1,3}c?", "[^a-c.]+", "x\\d{2,}\\w", "(?:one|two)-three"],
)
def test_a_pattern_may_be_written_with_what_java_and_python_read_alike(pattern):
    assert settings(events_pattern=pattern).kafka.topics.event_topics.pattern == pattern


@pytest.mark.parametrize(
    ("topics", "words"),
    [
        ({"events": []}, r"kafka.topics.events: must be the name of a topic, or a list of names.*\(is \[\]\)"),
        ({"events": "a;b"}, r"kafka.topics.events: must be the name of a topic.*'a;b'"),
        ({"events": ["a", "b c"]}, r"must be the name of a topic.*'b c'"),
        ({"events": [f"t{k}" for k in range(17)]}, "17 names, but at most 16 are allowed; events_pattern takes more"),
        ({"events": ["a", "a"]}, "each topic needs a name of its own, a is used twice"),
        ({"events": ["a", "alerts"]}, "each topic needs a name of its own, alerts is used twice"),
        ({"events": "a", "events_pattern": "b.*"}, "events and events_pattern exclude each other"),
        ({"events_pattern": "a.*"}, r"events_pattern 'a\.\*' matches alerts \(alerts\), which the job itself writes"),
        ({"events_pattern": "x**"}, r"events_pattern: this is no regular expression .*\(is 'x\*\*'\)"),
        *(
            ({"events_pattern": odd}, "events_pattern: Java and Python may read this expression differently: allowed")
            for odd in ("", "(?i)x", "[[x]y]", "[a&&b]", "x{,3}", "x{", "[]x]", "\\bx", "(?P<n>x)", "x y", "\\Qx\\E")
        ),
    ],
)
def test_other_topics_of_events_are_refused(topics, words):
    with pytest.raises(SettingsError, match=words):
        settings(**topics)


def test_shards_of_entities_are_refused_with_several_topics():
    values = {"kafka": {"topics": {"events": ["a", "b"]}}, "batch": {"sharding": "entity"}}
    with pytest.raises(SettingsError, match=r"batch.sharding is entity, but kafka.topics names several topics"):
        parsed(write(values), "here")


@pytest.mark.parametrize("topics", [{"events": ["a", "b"]}, {"events_pattern": "a-.*"}])
def test_topics_that_are_written_as_a_file_are_read_back_as_they_were(topics):
    before = settings(**topics)
    assert parsed(as_file(before, {}), "here").kafka == before.kafka


def test_topics_of_events_are_made_if_they_are_named():
    of = {name: count for name, (count, _) in wanted(settings(events=["a", "b"]).kafka, 3).items()}
    assert of["a"] == of["b"] == 3
    assert wanted(settings(events_pattern="a-.*").kafka, 3).keys() == set(KafkaSettings().topics.own.values())


def test_a_tool_that_reads_one_topic_asks_which_one():
    several = settings(events=["pumps", "valves"]).kafka
    assert one_topic(several, "valves") == "valves"
    assert one_topic(settings(events="pumps").kafka) == "pumps"
    with pytest.raises(InputError, match=r"several topics of events \(pumps, valves\).* choose it with --topic"):
        one_topic(several)
    with pytest.raises(InputError, match=r"several topics of events \(a pattern, 'a-\.\*'\).* choose it with --topic"):
        one_topic(settings(events_pattern="a-.*").kafka)
