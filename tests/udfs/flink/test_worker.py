"""What the scoring thread tells the operator of a batch."""

from __future__ import annotations

import json

import pytest
from streamgauge.udfs.flink.scoring import POSITIONS, Scoring
from streamgauge.udfs.flink.worker import Worker
from streamgauge.udfs.settings.detectors import DetectorSettings
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import START
from tests.udfs.flink.test_batch_format import written

FEW = PipelineSettings.model_validate({"detectors": dict.fromkeys(DetectorSettings.model_fields) | {"levels": {}}})
HOUR = 3_600_000


@pytest.fixture(scope="module")
def worker():
    return Worker(Scoring(FEW.model_dump_json(), 1, EventTopics(), "feedback", "job", True))


def bytes_of(stamps):
    """A batch of events with these timestamps of Kafka."""
    value = json.dumps({"entity": "pump", "x": 1.0}).encode()
    return written([(offset * POSITIONS, stamp, (value,)) for offset, stamp in enumerate(stamps)], 1)


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_one_timestamp_far_ahead_does_not_hide_how_late_the_others_are(worker, ahead):
    stamps = [START, START + 10, START + 20]
    stamps[ahead] += 30 * 24 * HOUR
    _, levels, arrived = worker.score(0, bytes_of(stamps), {})
    assert levels["batch_events"] == 3
    assert START < arrived <= START + 20
    assert worker.score(0, bytes_of([START, START + HOUR]), {})[2] == START


def test_a_heartbeat_tells_no_levels_and_no_time(worker):
    _, levels, arrived = worker.score(0, bytes_of([]), {})
    assert (levels, arrived) == ({}, None)
