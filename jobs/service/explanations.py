"""Counterfactuals of incidents: alerts are scored again in a thread, one after the other, while others wait."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog
from streamgauge.jobs.service.answers import Counterfactual
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import StreamgaugeError

if TYPE_CHECKING:
    from streamgauge.jobs.studies.explain import Explanation

KEPT = 100  # answers
MOST_WAITING = 8  # incidents
MOST_RECORDS = 500_000  # of a partition, which are held in memory while they are scored
AGAIN = 5.0  # seconds after which what failed is tried again
PATIENCE = 5.0  # seconds that the end of the service waits for the thread
Explain = Callable[[Settings, str, Callable[[int, int], None]], "Explanation"]
_log = structlog.get_logger()


class _StoppedError(Exception):
    """The service ends."""


class Explanations:
    """Finds out which values of a field would not have opened an incident.

    Parameters
    ----------
    settings : Settings
        Those of the job.
    explain : callable, optional
        Takes what `studies.explain.explain` takes; that one by default.
    """

    def __init__(self, settings: Settings, explain: Explain | None = None) -> None:
        self._settings, self._explain = settings, explain or scored_again
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, Counterfactual]] = {}  # with the time of the last change
        self._waiting: queue.Queue[str] = queue.Queue(MOST_WAITING)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="explanations", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and wait a moment for the thread. It is lost with the process if it takes longer."""
        self._stopped.set()
        with suppress(queue.Full):
            self._waiting.put_nowait("")
        self._thread.join(PATIENCE)

    def known(self, alert_id: str) -> Counterfactual | None:
        """What is known of an incident so far; None if nobody asked, or the answer is no longer kept."""
        return self._found.get(alert_id, (0.0, None))[1]

    def ask(self, alert_id: str) -> Counterfactual | None:
        """What is known of an incident so far. The first who asks begins the work; None if too many wait."""
        with self._lock:
            changed, found = self._found.get(alert_id, (0.0, None))
            if found is not None and (found.state != "failed" or time.monotonic() - changed < AGAIN):
                return found
            try:
                self._waiting.put_nowait(alert_id)
            except queue.Full:
                return None
            self._found.pop(alert_id, None)  # what is asked now is the newest
            found = Counterfactual(alert_id=alert_id, state="waiting")
            self._found[alert_id] = time.monotonic(), found
            ended = [one for one, (_, known) in self._found.items() if known.state in ("done", "failed")]
            for oldest in ended[: max(0, len(self._found) - KEPT)]:
                del self._found[oldest]
            return found

    def _note(self, alert_id: str, **more: Any) -> None:
        with self._lock:
            found = self._found[alert_id][1]
            self._found[alert_id] = time.monotonic(), found.model_copy(update=more)

    def _run(self) -> None:
        while alert_id := self._waiting.get():
            if self._stopped.is_set():
                return
            try:
                self._note(alert_id, state="running")
                found = self._explain(self._settings, alert_id, lambda *far, one=alert_id: self._say(one, *far))
                self._note(alert_id, state="done", conditions=found.counterfactuals, notes=found.notes)
            except _StoppedError:
                return
            except StreamgaugeError as error:
                _log.warning("an incident could not be explained", alert_id=alert_id, why=str(error))
                self._note(alert_id, state="failed", message=str(error))
            except Exception as error:  # the thread must go on, or nobody who asks is ever answered
                _log.exception("an incident could not be explained", alert_id=alert_id)
                self._note(alert_id, state="failed", message=f"{type(error).__name__}; the log of the service says why")

    def _say(self, alert_id: str, scored: int, events: int) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        self._note(alert_id, scored=scored, events=events)


def scored_again(settings: Settings, alert_id: str, say: Callable[[int, int], None]) -> Explanation:
    """Explain an alert; see `studies.explain.explain`. A partition that is too long for the memory of a service is refused."""
    from streamgauge.jobs.studies.explain import explain  # noqa: PLC0415 - numerical libraries, only where needed

    return explain(settings, alert_id, say, MOST_RECORDS)
