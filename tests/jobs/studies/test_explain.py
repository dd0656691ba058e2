"""An alert is explained by its record, also where offsets of the topic hold no record. The topic is in memory here."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.read_range import raw_batch
from streamgauge.jobs.settings.loading import validated
from streamgauge.jobs.studies import explain as explaining
from streamgauge.models.errors import InputError
from streamgauge.udfs.pipeline.shard import Shard

from tests.jobs.kafka.topic_in_memory import TopicInMemory
from tests.streams import SMALL, START

CHOICE = SMALL.model_dump(include={"detectors", "featurize", "calibration", "decide"})


def kept(every):
    """Records of a pump whose last but two is far off; after each `every` ones an offset is that of a transaction's end."""
    random = np.random.default_rng(0)
    found = []
    for n in range(200):
        flow = 1e4 if n == 197 else float(random.normal(50, 2))
        event = {"entity": "pump-1", "ts": START + 1000 * n, "flow": flow}
        place = {"topic": "events", "partition": 0, "offset": n + n // every, "timestamp": START + 1000 * n}
        found.append(SimpleNamespace(**place, key=None, value=json.dumps(event).encode()))
    return found


@pytest.mark.parametrize("every", [1_000, 10, 1])
def test_an_alert_is_explained_where_transactions_end_between_the_records(every, monkeypatch):
    settings, records = validated(CHOICE, "test"), kept(every)
    told = Shard(settings.pipeline(), "events", settings.job.name, saves=False).process(raw_batch(records)).alerts
    opened = [alert for _, text in told if (alert := json.loads(text))["data"]["actual"].get("flow") == 1e4][:1]
    assert [alert["data"]["state"] for alert in opened] == ["opened"]
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(TopicInMemory("events", records)))
    monkeypatch.setattr(explaining, "records_of", lambda *_: opened)
    monkeypatch.setattr(explaining, "read_messages", lambda _: [])
    found = explaining.explain(settings, opened[0]["data"]["alert_id"])
    assert (found.equal, found.notes, found.blamed) == (True, [], "flow")
    [(field, bound)] = found.bounds
    assert (field, 50 < bound < 1e4) == ("flow", True)
    before = records[197].offset
    assert explaining.explain(settings, opened[0]["data"]["alert_id"], most=before).equal
    with pytest.raises(
        InputError, match=f"{before} offsets come before it on events partition 0, and at most {before - 1}"
    ):
        explaining.explain(settings, opened[0]["data"]["alert_id"], most=before - 1)
