"""The settings of a demo: of the local broker, with topics of its own."""

from __future__ import annotations

import pytest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.studies.demo import on_own_topics

CLUSTER = {"kafka": 12345, "flink": 12346}
TOPICS = [{}, {"events": ["pumps", "valves"]}, {"events_pattern": "plant-.*"}]


@pytest.mark.parametrize("topics", TOPICS, ids=["one", "several", "a pattern"])
def test_a_demo_has_topics_of_its_own_whatever_the_settings_name(tmp_path, topics):
    chosen = Settings.model_validate({"kafka": {"topics": topics}, "decide": {"promise": "2 per day"}})
    settings, file = on_own_topics(chosen, Cluster(tmp_path, CLUSTER), "demo-7")
    assert settings.kafka.bootstrap == "127.0.0.1:12345"
    assert settings.kafka.topics.events == "demo-7-events"
    assert settings.kafka.topics.events_pattern is None
    assert all(name.startswith("demo-7-") for name in settings.kafka.topics.own.values())
    assert settings.decide == chosen.decide
    assert load(file, {}) == settings
