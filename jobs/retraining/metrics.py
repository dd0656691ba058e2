"""Metrics of the trainer, and the endpoint from which Prometheus reads them."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from streamgauge.models.errors import InputError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE = 30.0  # seconds in which a client must ask, and take the answer: each has a thread
GATES = ("separation", "cost", "other", "alerts", "probes", "feedback")  # that a candidate may fail to pass


class TrainerMetrics:
    """Counters of the trainer, and the wait of each model.

    Parameters
    ----------
    models : sequence of str
        Models that the job uses; their metrics exist from the start.
    seconds_left : callable
        Returns how long a model has to wait, in seconds.
    """

    def __init__(self, models: list[str], seconds_left: Callable[[str], float]) -> None:
        self._models, self._seconds_left = set(models), seconds_left
        self._trained: Counter[str] = Counter()
        self._rejected: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def note(self, step: str, model: str, data: dict[str, Any]) -> None:
        """Count a step of the trainer."""
        with self._lock:
            self._models.add(model)
            if step == "trained":
                self._trained[model] += 1
            elif step == "rejected":
                self._rejected[model, data["gate"]] += 1

    def text(self) -> str:
        """All metrics, in the text format of Prometheus.

        Counters are there from the start, with 0: Prometheus counts what comes after the first value that it sees.
        """
        with self._lock:
            models, trained, rejected = sorted(self._models), dict(self._trained), dict(self._rejected)
        lines = _described("trained_total", "counter", "Versions that were trained.")
        lines += [_sample("trained_total", trained.get(model, 0), model=model) for model in models]
        lines += _described(
            "rejected_total", "counter", "Candidates that were rejected, by the gate they did not pass."
        )
        for model, gate in itertools.product(models, GATES):
            lines.append(_sample("rejected_total", rejected.get((model, gate), 0), model=model, reason=gate))
        lines += _described("backoff_seconds", "gauge", "Seconds until the next request for the model is answered.")
        lines += [_sample("backoff_seconds", round(self._seconds_left(model), 3), model=model) for model in models]
        return "\n".join([*lines, ""])


@contextmanager
def serve(metrics: TrainerMetrics, port: int) -> Iterator[int]:
    """Answer GET /metrics on a port of this machine while the block runs.

    Parameters
    ----------
    metrics : TrainerMetrics
    port : int
        0 chooses a free port.

    Yields
    ------
    int
        The port.

    Raises
    ------
    InputError
        The port is in use.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            if self.path.split("?")[0] != "/metrics":
                self.send_error(404, "ask for /metrics")
                return
            body = metrics.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing: requests of Prometheus do not belong in the trainer's output."""

    try:
        server = ThreadingHTTPServer(("", port), Handler)
    except OSError as error:
        raise InputError(f"--metrics-port {port} cannot be opened: {error.strerror}") from error
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _described(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP streamgauge_retrain_{name} {meaning}", f"# TYPE streamgauge_retrain_{name} {kind}"]


def _sample(name: str, value: float, **labels: str) -> str:
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"streamgauge_retrain_{name}{{{shown}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
