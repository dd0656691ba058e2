"""No alert is lost or repeated: killed processes, savepoints, changed parallelism."""

from __future__ import annotations

import time
from functools import partial

import pytest
from streamgauge.jobs.cluster import local_cluster
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.settings.loading import as_file, load
from streamgauge.models.errors import ClusterError

from tests.integration.kills import at_least, kill_busy_taskmanager, restart_broker
from tests.integration.live import PATIENCE, Live, events, together, under_load, values

pytestmark = pytest.mark.slow
# Enough events to be under way at each kill. What piles up on a slow machine has to be scored, too.
EVENTS, RATE = 4_000, 400.0


def has_distinct(records, n):
    return len({record.value for record in records}) >= n


def test_taskmanagers_killed_under_load_lose_no_alert_and_repeat_none_where_delivery_is_exactly_once(cluster, tmp_path):
    least_once, exactly = lives = [
        Live(cluster, tmp_path, job={"delivery": delivery}, output={"scores": "none"})
        for delivery in ("at_least_once", "exactly_once")
    ]
    with together(*lives) as jobs:
        with under_load(least_once, RATE, EVENTS), under_load(exactly, RATE, EVENTS):
            for _ in range(2):
                for live, job in zip(lives, jobs, strict=True):
                    live.more(live.topics.alerts, 20)  # the job scores events that came after the last kill
                    live.rest.wait_running(job, PATIENCE)
                for live, job in zip(lives, jobs, strict=True):  # both jobs restart at the same time
                    kill_busy_taskmanager(live, job)
                for _ in lives:
                    local_cluster.add_taskmanager(cluster, wait=False)
            for live in lives:
                live.more(live.topics.alerts, 20)
        expected = [live.expected() for live in lives]
        alerts = [
            live.until(live.topics.alerts, partial(has_distinct, n=len(one.alerts)))
            for live, one in zip(lives, expected, strict=True)
        ]
        for live, job in zip(lives, jobs, strict=True):
            live.rest.wait_running(job, PATIENCE)
    assert all(one.events >= EVENTS and len(one.alerts) > 100 for one in expected)
    assert (
        sorted({r.value for r in alerts[0]}) == expected[0].alerts
    )  # a repeat is the same to the last bit: the same id
    assert values(alerts[1]) == expected[1].alerts


def test_the_broker_restarted_under_load_loses_nothing(cluster, tmp_path):
    live = Live(cluster, tmp_path, output={"scores": "none"})
    with live.job():
        with under_load(live, RATE, 4_000):
            live.more(live.topics.alerts, 20)
            restart_broker(cluster)
            live.more(live.topics.alerts, 20)
        expected = live.expected()
        alerts = live.until(live.topics.alerts, partial(has_distinct, n=len(expected.alerts)))
    assert expected.events >= 4_000
    assert sorted({r.value for r in alerts}) == expected.alerts


def test_a_job_restored_with_other_parallelism_equals_an_uninterrupted_job_silence_can_be_added_and_other_shards_are_refused(
    cluster, tmp_path
):
    live = Live(cluster, tmp_path, job={"delivery": "exactly_once"}, batch={"shards": 4})
    savepoint = None
    with at_least(cluster, 4), under_load(live, RATE):
        for parallelism in (1, 2, 4):
            file = tmp_path / f"{parallelism}.yaml"
            file.write_text(as_file(live.settings, {"job": {"parallelism": parallelism}}))
            with live.job(load(file, {}), file, from_savepoint=savepoint) as job:
                live.more(live.topics.alerts, 20)
                savepoint = live.rest.stop(job, seconds=PATIENCE)
    with live.job(from_savepoint=savepoint) as job:
        expected = live.expected()
        scores = live.at_least(live.topics.scores, len(expected.scores))
        alerts = live.at_least(live.topics.alerts, len(expected.alerts))
        savepoint = live.rest.stop(job, seconds=PATIENCE)
    assert values(scores) == expected.scores
    assert values(alerts) == expected.alerts
    assert len(expected.alerts) > 50
    file = tmp_path / "silence.yaml"
    file.write_text(as_file(live.settings, {"silence": {"after": 3.0}}))
    with live.job(load(file, {}), file, from_savepoint=savepoint):
        live.send(events(200))
        assert len(live.at_least(live.topics.scores, len(scores) + 200)) == len(scores) + 200
    file = tmp_path / "shards.yaml"
    file.write_text(as_file(live.settings, {"batch": {"shards": 1}}))
    with live.job(load(file, {}), file, from_savepoint=savepoint, wait=False) as job:
        live.send(events(200))
        deadline = time.monotonic() + PATIENCE
        while "batch.shards" not in (reason := live.rest.failure(job)) and time.monotonic() < deadline:
            time.sleep(0.5)
    assert "saved with batch.shards 4, the settings say 1" in reason


def test_too_few_slots_are_an_error_that_says_so(cluster, tmp_path):
    live = Live(cluster, tmp_path, job={"parallelism": 4}, batch={"shards": 4})
    job = submit(live.settings, live.file, jobmanager=cluster.jobmanager, wait=False)
    try:
        while live.rest.job_state(job) == "INITIALIZING":
            time.sleep(0.2)
        with pytest.raises(ClusterError, match="no free slot"):
            live.rest.wait_running(job, 1)
    finally:
        live.rest.cancel(job)
