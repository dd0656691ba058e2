"""A job starts from the savepoint of an earlier release: its detectors begin anew, and it goes on where that release stopped."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from tests.integration.live import values
from tests.state.make_savepoint import AFTERWARDS, ASKED, SAVED, answered, events, live_job, send

pytestmark = pytest.mark.slow
SAVEPOINT = Path(__file__).resolve().parents[1] / "state" / "v1" / "savepoint" / "job.zip"
BACKENDS = ("rocksdb", "heap")


def places(values, saved):
    """Partition, offset and entity of the scores of events after the savepoint."""
    records = ((r["partition"], r["offset"], r["entity"]) for r in map(json.loads, values))
    return sorted(place for place in records if place[1] >= saved[place[0]])


def ended(records, saved):
    """Ids of the incidents of the asked entity that opened before the savepoint and have ended."""
    data = [json.loads(record.value)["data"] for record in records]
    return [
        alert["alert_id"]
        for alert in data
        if (alert["entity"], alert["state"]) == (ASKED["entity"], "resolved")
        and alert["source"]["opened_offset"] < saved[alert["source"]["opened_partition"]]
    ]


@pytest.fixture(scope="module")
def savepoint(tmp_path_factory):
    """Folder of the savepoint. It was moved: its path is not the one where the savepoint was written."""
    folder = tmp_path_factory.mktemp("moved") / "savepoint"
    with zipfile.ZipFile(SAVEPOINT) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_job_goes_on_from_the_savepoint_of_the_first_release_and_no_event_is_taken_twice_or_lost(
    cluster, tmp_path, savepoint, backend
):
    live = live_job(cluster, tmp_path, f"-{backend}", state_backend=backend)
    there = len(live.read(live.topics.events))
    if there == 0:  # the topics of events and of control messages are those of both jobs
        send(live, 0, SAVED)
        live.control(ASKED)
        there = SAVED
    saved = Counter(partition for partition, _, _ in islice(events(), SAVED))
    with live.job(from_savepoint=savepoint.as_uri(), options=("--allowNonRestoredState",)):
        send(live, there, there + AFTERWARDS // len(BACKENDS))
        expected = live.expected()
        wanted = places(expected.scores, saved)
        scores = live.at_least(live.topics.scores, len(wanted))
        asked = ASKED | {"id": f"after the savepoint, {backend}"}
        live.control(asked)
        notices = live.until(live.topics.notices, lambda records: answered(records, asked))
        alerts = live.read(live.topics.alerts)
    assert places(values(scores), saved) == wanted
    assert len(scores) == len(wanted) > 150
    assert answered(notices, asked)
    answers = [json.loads(record.value)["data"] for record in notices]
    [known] = [answer for answer in answers if answer.get("request") == asked["id"]]
    assert known["events"] == sum(json.loads(value)["entity"] == ASKED["entity"] for value in expected.scores)
    # the incident from before the savepoint has ended under its id, or is still open
    opened = [a["alert_id"] for record in alerts if (a := json.loads(record.value)["data"])["state"] == "opened"]
    [incident] = ended(alerts, saved) or [known["incident"]]
    assert incident
    assert incident not in opened
    restarts = [answer["partition"] for answer in answers if "before" in answer]
    assert sorted(restarts) == [0, 1]
