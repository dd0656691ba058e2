"""A job starts from the savepoint of an earlier release, and writes what an uninterrupted job writes."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.integration.live import values
from tests.state.make_savepoint import AFTERWARDS, ASKED, SAVED, answered, events, live_job, send

SAVEPOINT = Path(__file__).resolve().parents[1] / "state" / "v1" / "savepoint" / "job.zip"
BACKENDS = ("rocksdb", "heap")


def later(records, saved):
    """Values of the alerts or scores about events after the savepoint."""
    kept = []
    for value in records:
        record = json.loads(value)
        source = record["data"]["source"] if "data" in record else record
        if source["offset"] >= saved[source["partition"]]:
            kept.append(value)
    return kept


@pytest.fixture(scope="module")
def savepoint(tmp_path_factory):
    """Folder of the savepoint. It was moved: its path is not the one where the savepoint was written."""
    folder = tmp_path_factory.mktemp("moved") / "savepoint"
    with zipfile.ZipFile(SAVEPOINT) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_savepoint_of_the_first_release_restores_and_gives_what_an_uninterrupted_job_gives(
    cluster, tmp_path, savepoint, backend
):
    live = live_job(cluster, tmp_path, f"-{backend}", state_backend=backend)
    there = len(live.read(live.topics.events))
    if there == 0:  # the topics of events and of control messages are those of both jobs
        send(live, 0, SAVED)
        live.control(ASKED)
        there = SAVED
    saved = Counter(partition for partition, _, _ in islice(events(), SAVED))
    with live.job(from_savepoint=savepoint.as_uri()):
        send(live, there, there + AFTERWARDS // len(BACKENDS))
        expected = live.expected()
        scores = live.at_least(live.topics.scores, len(later(expected.scores, saved)))
        alerts = live.at_least(live.topics.alerts, len(later(expected.alerts, saved)))
        asked = ASKED | {"id": f"after the savepoint, {backend}"}
        live.control(asked)
        notices = live.until(live.topics.notices, lambda records: answered(records, asked))
    assert values(scores) == later(expected.scores, saved)
    assert values(alerts) == later(expected.alerts, saved)
    assert len(scores) > 150
    assert len(alerts) > 10
    assert answered(notices, asked)
