"""What the page says of the topic of events; `tests/integration/test_service.py` looks at a real one."""

from __future__ import annotations

import contextlib

from streamgauge.jobs.kafka import clients, event_topics
from streamgauge.jobs.service import sight as module
from streamgauge.jobs.service.sight import Sight
from streamgauge.jobs.settings.kafka import KafkaSettings

from tests.jobs.service.telling import until


def test_no_error_ends_the_looking_and_what_is_not_known_any_more_is_not_shown(monkeypatch):
    def fail(*_):
        tries.append((sight.rate, sight.lag))
        raise AssertionError("an error within the client of Kafka")

    tries, sight = [], Sight(KafkaSettings())
    monkeypatch.setattr(module, "AGAIN", 0.01)
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(event_topics, "places", fail)
    sight.rate, sight.lag = 5.0, 7
    sight.start()
    try:
        until(lambda: len(tries) > 1)
    finally:
        sight.stop()
    assert tries[:2] == [(5.0, 7), (None, None)]
