"""A real Alertmanager fires for open incidents, keeps them, and resolves them when they end."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest
from streamgauge.jobs.service.outbox import states
from streamgauge.jobs.settings.loading import validated

from tests.jobs.service.made import change
from tests.jobs.service.receiver import Receiver
from tests.jobs.service.telling import telling, until
from tests.jobs.service.test_deliveries import Topic

CONFIG = """
route: {{receiver: all, group_by: [incident, severity], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers: [{{name: all, webhook_configs: [{{url: "{url}", send_resolved: true}}]}}]
"""


class Alertmanager:
    """A running Alertmanager. Each start has an empty storage, as after a loss."""

    def __init__(self, folder, notified):
        self.folder = folder
        (folder / "config.yml").write_text(CONFIG.format(url=notified.url()))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self._starts = 0

    @contextmanager
    def running(self):
        self._starts += 1
        program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
        if program is None:
            raise RuntimeError("Alertmanager is needed: ./install.sh dev installs it")
        storage = f"--storage.path={self.folder}/data-{self._starts}"
        address = f"--web.listen-address={self.url.removeprefix('http://')}"
        options = [f"--config.file={self.folder}/config.yml", storage, address, "--cluster.listen-address="]
        with open(self.folder / "log", "ab") as log:
            process = subprocess.Popen([program, *options], stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is not None or self._answers())
            assert process.poll() is None, (self.folder / "log").read_text()
            yield self
        finally:
            process.terminate()
            process.wait()

    def _answers(self):
        try:
            return self.active() is not None
        except OSError:
            return False

    def active(self):
        """Labels of what fires, by incident."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=30) as answer:
            found = [alert for alert in json.loads(answer.read()) if alert["status"]["state"] == "active"]
        by = {alert["labels"]["incident"]: alert for alert in found}
        assert len(by) == len(found)
        return by


@pytest.fixture
def notified():
    """Who Alertmanager notifies."""
    receiver = Receiver()
    yield receiver
    receiver.stop()


@pytest.fixture
def alertmanager(tmp_path, notified):
    return Alertmanager(tmp_path, notified)


@pytest.fixture
def topic(history):
    return Topic(history)


def service(alertmanager, **more):
    return validated({"service": {"alertmanagers": {"main": {"url": alertmanager.url} | more}}}, "test").service


def notices(notified):
    """State, severity and summary of each notification."""
    return [
        (alert["status"], alert["labels"]["incident"], alert["labels"]["severity"])
        for heard in notified.heard
        for alert in heard.json["alerts"]
    ]


def test_an_incident_fires_and_is_resolved_when_it_ends(database, topic, alertmanager, notified):
    with alertmanager.running(), telling(database, service(alertmanager)):
        topic.add(change("a1"), change("a2", entity="<pump> \u4e2d\n"))
        alert = until(lambda: len(alertmanager.active()) == 2 and alertmanager.active()["a1"])
        assert alert["annotations"] == {"summary": "pump-1: flow was 11, expected was 55"}
        assert alert["labels"]["entity"] == "pump-1"
        assert alert["startsAt"] == change()["data"]["window"]["from"]
        until(lambda: ("firing", "a1", "high") in notices(notified))
        topic.add(change("a1", "resolved", 5))
        until(lambda: set(alertmanager.active()) == {"a2"})
        until(lambda: ("resolved", "a1", "high") in notices(notified))


def test_an_incident_that_becomes_more_severe_fires_once_with_its_new_severity(database, topic, alertmanager, notified):
    with alertmanager.running(), telling(database, service(alertmanager)):
        topic.add(change("a1"))
        until(lambda: ("firing", "a1", "high") in notices(notified))
        topic.add(change("a1", "updated", 2, severity="critical"))
        until(lambda: ("firing", "a1", "critical") in notices(notified))
        until(lambda: ("resolved", "a1", "high") in notices(notified))
        assert (
            alertmanager.active()["a1"]["labels"]["severity"] == "critical"
        )  # `active` finds one alert for each incident
        topic.add(change("a1", "resolved", 5, severity="critical"))
        until(lambda: ("resolved", "a1", "critical") in notices(notified))
        assert alertmanager.active() == {}


def test_what_is_open_is_told_again_so_that_a_new_alertmanager_knows_it(database, topic, alertmanager):
    def problem():
        return states(database, ["alertmanagers.main"])[0]["problem"]

    topic.add(change("past"))
    with telling(database, service(alertmanager)):
        with alertmanager.running():
            topic.add(*(change(f"a{n:03d}") for n in range(230)), change("a007", "resolved", 5))
            until(lambda: len(alertmanager.active()) == 229)
            ends = alertmanager.active()["a001"]["endsAt"]
            until(lambda: alertmanager.active()["a001"]["endsAt"] > ends)
        until(problem)
        topic.add(change("a001", "resolved", 5))
        with alertmanager.running():
            until(lambda: len(alertmanager.active()) == 228)
            assert not {"past", "a007", "a001"} & set(alertmanager.active())
        until(problem)
        with alertmanager.running():
            until(lambda: not problem())  # although there is no change to be told


def test_only_severe_incidents_are_told_if_the_settings_say_so(database, topic, alertmanager):
    with alertmanager.running(), telling(database, service(alertmanager, severity="high")):
        topic.add(change("a1", severity="medium"), change("a2", severity="critical"))
        until(lambda: "a2" in alertmanager.active())
        assert set(alertmanager.active()) == {"a2"}
