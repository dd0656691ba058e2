"""The trainer's metrics, and the endpoint from which Prometheus reads them."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request

import pytest
from streamgauge.jobs.retraining import candidates, shadow_judge
from streamgauge.jobs.retraining import metrics as module
from streamgauge.jobs.retraining.metrics import GATES, TrainerMetrics, serve
from streamgauge.models.errors import InputError


@pytest.fixture
def metrics():
    return TrainerMetrics(["pumps"], lambda model: 12.5 if model == "pumps" else 0.0)


def test_models_without_any_step_have_metrics_too(metrics):
    assert metrics.text().splitlines() == [
        "# HELP streamgauge_retrain_trained_total Versions that were trained.",
        "# TYPE streamgauge_retrain_trained_total counter",
        'streamgauge_retrain_trained_total{model="pumps"} 0',
        "# HELP streamgauge_retrain_rejected_total Candidates that were rejected, by the gate they did not pass.",
        "# TYPE streamgauge_retrain_rejected_total counter",
        'streamgauge_retrain_rejected_total{model="pumps",reason="separation"} 0',
        'streamgauge_retrain_rejected_total{model="pumps",reason="cost"} 0',
        'streamgauge_retrain_rejected_total{model="pumps",reason="other"} 0',
        'streamgauge_retrain_rejected_total{model="pumps",reason="alerts"} 0',
        'streamgauge_retrain_rejected_total{model="pumps",reason="probes"} 0',
        'streamgauge_retrain_rejected_total{model="pumps",reason="feedback"} 0',
        "# HELP streamgauge_retrain_backoff_seconds Seconds until the next request for the model is answered.",
        "# TYPE streamgauge_retrain_backoff_seconds gauge",
        'streamgauge_retrain_backoff_seconds{model="pumps"} 12.5',
    ]


def test_each_gate_that_the_trainer_names_is_counted():
    assert {*candidates.WHY, "other", *shadow_judge.WHY} == set(GATES)


def test_names_are_escaped(metrics):
    metrics.note("trained", 'a"b\\c', {})
    assert 'streamgauge_retrain_trained_total{model="a\\"b\\\\c"} 1' in metrics.text().splitlines()


def test_metrics_are_served_and_other_paths_are_not(metrics):
    metrics.note("rejected", "pumps", {"gate": "cost"})
    with serve(metrics, 0) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert answer.read().decode() == metrics.text()
        with pytest.raises(urllib.error.HTTPError, match="404") as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/other", timeout=30)
        refused.value.close()
        with pytest.raises(InputError, match=f"--metrics-port {port} cannot be opened"), serve(metrics, port):
            pass


def test_a_client_that_asks_nothing_is_left_after_a_while(metrics, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    with serve(metrics, 0) as port, socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
        assert silent.recv(1) == b""
