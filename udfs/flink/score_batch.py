"""The scoring operator: it reads state, passes a batch to the scoring thread, writes the changed state, and emits the results.

All numerical work runs on one Python thread that belongs to the operator (docs/adr/002). State, metrics and output stay on Flink's thread.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import OutputTag
from pyflink.datastream.functions import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor
from streamgauge.models.errors import StateError, StreamgaugeError
from streamgauge.udfs.flink.metrics import Metrics
from streamgauge.udfs.flink.saved_topics import TOPICS_KEY, mark_of_topics
from streamgauge.udfs.flink.scoring import Scoring

MESSAGE = Types.ROW_NAMED(["key", "value"], [Types.STRING(), Types.STRING()])
DEAD_LETTERS = OutputTag("dead letters", MESSAGE)
LATE = OutputTag("late", MESSAGE)
SCORES = OutputTag("scores", MESSAGE)
NOTICES = OutputTag("notices", MESSAGE)
REQUESTS = OutputTag("retrain requests", MESSAGE)
OPENED = OutputTag("opened", MESSAGE)
CONTROL_STATE = MapStateDescriptor("control", Types.STRING(), Types.STRING())
SHARD_STATE = MapStateDescriptor("logs", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
SHARDS_KEY = "shards"
SCHEMA = b'"io.streamgauge.schema.'  # this text is in each notice of a schema change
NEW = b'"io.streamgauge.alert.opened"'  # this text is in each alert of an incident that opens

log = logging.getLogger(__name__)


class ScoreBatch(KeyedBroadcastProcessFunction):  # type: ignore[misc]
    """Scores batches of events, keyed by shard, and takes control messages and feedback.

    Parameters
    ----------
    scoring : Scoring
    read_messages : callable
        Returns topic, offset and text of all control messages and feedback so far. It is called once, before the first batch.
    read_alerts : callable
        Returns the newest alerts, oldest first. It is called once, too.
    """

    def __init__(
        self,
        scoring: Scoring,
        read_messages: Callable[[], list[tuple[str, int, str]]],
        read_alerts: Callable[[], list[bytes]],
    ) -> None:
        self._scoring = scoring
        self._read_messages, self._read_alerts = read_messages, read_alerts

    def open(self, context: RuntimeContext) -> None:
        """Load the libraries on the scoring thread, and read the messages so far."""
        self._thread = ThreadPoolExecutor(1, "scoring")
        self._state = context.get_map_state(SHARD_STATE)
        settings = json.loads(self._scoring.settings_json)
        self._grouped = settings["decide"]["group_within"] > 0
        detectors = [name for name, section in settings["detectors"].items() if section is not None]
        self._metrics = Metrics(context.get_metrics_group(), list(settings["models"]["use"]), detectors)
        self._on_thread(self._load)

    def _on_thread(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Run on the scoring thread, and wait for the result."""
        return self._thread.submit(work, *arguments).result()

    def _load(self) -> None:
        """Make the worker. This runs on the scoring thread, because numerical libraries must be imported on the thread that uses them."""
        _import_numba()
        self._worker = importlib.import_module("streamgauge.udfs.flink.worker").Worker(self._scoring)
        self._worker.hear_all(self._read_messages())
        self._worker.recall(self._alerts_so_far())
        # The libraries' hundreds of thousands of objects are never freed. Without this, each garbage collection takes 50 ms longer.
        gc.collect()
        gc.freeze()

    def _alerts_so_far(self) -> list[bytes]:
        """The newest alerts; none if the job may not read them, because it can do its work without them."""
        try:
            return self._read_alerts()
        except StreamgaugeError as error:
            log.warning("%s; incidents of an earlier run that do not open again stay open", error)
            return []

    def process_broadcast_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        """Put a message (text, offset, topic) in force, between two batches."""
        text, offset, topic = value[0], value[1], value[2]
        answer = self._on_thread(self._worker.hear, topic, offset, text)
        if answer.dead_letter is not None:
            (self._metrics.feedback_refused if answer.refused else self._metrics.bad_control).inc()
            self._metrics.model_failures.inc(int(answer.model_failed))
            # Every task writes this dead letter; all of them have the same key and offset.
            yield DEAD_LETTERS, Row(topic, answer.dead_letter)
            return
        if answer.received is None:
            return
        if topic == self._scoring.feedback_topic:
            self._metrics.feedback.inc()
            self._metrics.verdicts[answer.received.message.verdict].inc()
        else:
            self._metrics.control.inc()
        log.info("in force from %s: %s", topic, text)
        for result in answer.results:
            self._metrics.count(result.counts)
            yield from self._records(result)

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        """Score one batch, given as bytes, or let time pass if it has no records: then it is a heartbeat."""
        shard = ctx.get_current_key()
        shard = shard[0] if isinstance(shard, Row) else shard
        saved = None if self._worker.has(shard) else self._saved()
        started = time.perf_counter()
        done = self._on_thread(self._worker.score, shard, value, saved)
        if done is None:  # a record raised, so the state from before the batch is needed
            done = self._on_thread(self._worker.score, shard, value, self._saved())
        result, levels, arrived = done
        took = time.perf_counter() - started
        for key in result.deletes:
            self._state.remove(key)
        for key, state in result.writes.items():  # put_all fails in process mode (PyFlink 2.3)
            self._state.put(key, state)
        if arrived is None:
            self._metrics.count(result.counts)
        else:
            levels["lag_ms"] = int(time.time() * 1000) - arrived
            for name in ("promise_promised", "promise_achieved"):
                levels[f"{name}_per_day"] = math.ceil(levels.pop(name))
            self._metrics.update(result, levels, self._worker.versions, took)
        yield from self._records(result)

    def _records(self, result: Any) -> Iterator[Any]:
        """All records to write, the side outputs with their tags."""
        for subject, notice in result.notices:
            if SCHEMA in notice:
                log.warning("schema: %s: %s", subject, notice.decode())
        for tag, records in (
            (DEAD_LETTERS, result.dead_letters),
            (LATE, result.late),
            (SCORES, result.scores),
            (NOTICES, result.notices),
            (REQUESTS, result.requests),
        ):
            for key, text in records:
                yield tag, Row(key, text.decode())
        for key, text in result.alerts:
            alert = Row(key, text.decode())
            if self._grouped and NEW in text:
                yield OPENED, alert
            yield alert

    def _saved(self) -> dict[str, bytes]:
        """Saved state of the current shard.

        Raises
        ------
        StateError
            It was saved with another number of shards, or with other topics.
        """
        saved = dict(self._state.items())
        mark = mark_of_topics(saved, self._scoring.topics)
        if mark is not None:
            self._state.put(TOPICS_KEY, mark)
        before, shards = saved.pop(SHARDS_KEY, None), str(self._scoring.shards)
        if before is None:
            self._state.put(SHARDS_KEY, shards.encode())
        elif before.decode() != shards:
            raise StateError(
                f"this state was saved with batch.shards {before.decode()}, the settings say {shards}: "
                "restore that number, or start without this state"
            )
        return saved

    def close(self) -> None:
        """End the scoring thread."""
        if hasattr(self, "_thread"):
            self._thread.shutdown()


def _import_numba() -> None:
    """Import numba while `print` is Python's own function. Numba needs it, but PyFlink's process mode replaces it by a method."""
    replaced = builtins.print
    builtins.print = getattr(getattr(replaced, "__self__", None), "_print", replaced)
    try:
        importlib.import_module("numba")
    finally:
        builtins.print = replaced
