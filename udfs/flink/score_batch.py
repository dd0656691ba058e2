"""The Flink operator: reads state, hands a batch to the scoring thread, writes state, emits what comes back.

The only file under udfs that imports pyflink. All numerical work runs on one Python thread of the operator's own
(docs/adr/002); state, metrics and output stay on Flink's thread.
"""

from __future__ import annotations

import base64
import builtins
import gc
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from pyflink.common import Row, Types
from pyflink.datastream import OutputTag
from pyflink.datastream.functions import KeyedBroadcastProcessFunction, RuntimeContext
from pyflink.datastream.state import MapStateDescriptor
from streamgauge.models.errors import ModelError, SettingsError, StateError

MESSAGE = Types.ROW_NAMED(["key", "value"], [Types.STRING(), Types.STRING()])
DEAD_LETTERS = OutputTag("dead letters", MESSAGE)
LATE = OutputTag("late", MESSAGE)
SCORES = OutputTag("scores", MESSAGE)
NOTICES = OutputTag("notices", MESSAGE)
REQUESTS = OutputTag("retrain requests", MESSAGE)
OPENED = OutputTag("opened", MESSAGE)
CONTROL_STATE = MapStateDescriptor("control", Types.STRING(), Types.STRING())
LOG_STATE = MapStateDescriptor("logs", Types.STRING(), Types.PICKLED_BYTE_ARRAY())
SHARDS_KEY = "shards"
SCHEMA = b'"io.streamgauge.schema.'  # in what is told of a change of the schema
NEW = b'"io.streamgauge.alert.opened"'  # in an alert of an incident that opens
HEARTBEAT = -1  # place that says only that time goes on
PLACES = 65_536  # a record's place is offset * PLACES + partition: one array less to cross with
STEPS = (
    "decode",
    "align",
    "context",
    "featurize",
    "detect",
    "serve",
    "calibrate",
    "decide",
    "alert",
    "track",
    "watch",
    "windows",
    "save",
)
COUNTERS = (
    "events",
    "scored",
    "late",
    "batches",
    "schema_changes",
    "entities_forgotten",
    "entities_evicted",
    "rules_failed",
    "held_back",
    "retrain_requests",
    "windows",
    "windows_amended",
)
REASONS = (
    "empty", "too_large", "not_json", "not_finite", "too_deep", "not_object", "no_entity", "bad_time",
    "time_out_of_range", "wrong_type",
)  # fmt: skip

log = logging.getLogger(__name__)


class ScoreBatch(KeyedBroadcastProcessFunction):  # type: ignore[misc]
    """Scores batches of events, keyed by shard, under the control stream's rules.

    Parameters
    ----------
    settings_json : str
        `PipelineSettings` as JSON.
    shards : int
        Number of shards, fixed for the life of the state.
    topic, feedback_topic, job : str
        Named in alerts and dead letters; and where feedback comes from, all else that is said being control messages.
    per_partition : bool
        See `ScoringPipeline`.
    read_said : callable
        Returns the records so far of control messages and feedback: topic, offset and text; called before the first batch.
    """

    def __init__(
        self,
        settings_json: str,
        shards: int,
        topic: str,
        feedback_topic: str,
        job: str,
        per_partition: bool,
        read_said: Callable[[], list[tuple[str, int, str]]],
    ) -> None:
        self._settings_json = settings_json
        self._shards = str(shards)
        self._topic, self._feedback_topic, self._job = topic, feedback_topic, job
        self._per_partition = per_partition
        self._read_said = read_said

    def open(self, context: RuntimeContext) -> None:
        """Load the libraries on the scoring thread, and take up what the control topic says now."""
        self._thread = ThreadPoolExecutor(1, "scoring")
        self._state = context.get_map_state(LOG_STATE)
        settings = json.loads(self._settings_json)
        self._grouped = settings["decide"]["group_within"] > 0
        detectors = [name for name, section in settings["detectors"].items() if section is not None]
        self._metrics = _Metrics(context.get_metrics_group(), list(settings["models"]["use"]), detectors)
        self._pipelines: dict[Any, Any] = {}
        self._heard: dict[Any, dict[int, float]] = {}
        self._control: dict[str, Any] = {}
        self._actions: list[tuple[int, Any]] = []
        self._feedback: list[tuple[int, Any]] = []
        self._taken: dict[str, int] = {}
        self._thread.submit(self._load).result()

    def _load(self) -> None:
        """On the scoring thread: numerical libraries must be imported where they run."""
        _import_numba()
        from streamgauge.udfs.control.feedback import parse_feedback  # noqa: PLC0415
        from streamgauge.udfs.control.messages import check, key_of, parse  # noqa: PLC0415
        from streamgauge.udfs.events.records import RawBatch  # noqa: PLC0415
        from streamgauge.udfs.pipeline.shard import ScoringPipeline, warm_up  # noqa: PLC0415
        from streamgauge.udfs.scoring.trained_models import Models  # noqa: PLC0415
        from streamgauge.udfs.settings.pipeline import PipelineSettings  # noqa: PLC0415

        self._check, self._key_of, self._parse, self._pipeline_class, self._raw_class = (
            check,
            key_of,
            parse,
            ScoringPipeline,
            RawBatch,
        )
        self._parse_feedback = parse_feedback
        self._settings = PipelineSettings.model_validate_json(self._settings_json)
        self._models = Models(self._settings.models)
        warm_up(self._settings, self._models)
        for topic, offset, text in self._read_said():
            try:
                self._take_up(topic, offset, text)
            except (SettingsError, ModelError) as error:
                log.error("%s; what was there before stays in force", error)
        # the libraries' hundred thousands of objects never die: looking through them takes 50 ms each time
        gc.collect()
        gc.freeze()

    def _take_up(self, topic: str, offset: int, text: str) -> Any:
        """Remember what was said; None if it is no news.

        Raises
        ------
        SettingsError, ModelError
            It cannot be read, or the model that it names cannot be used.
        """
        if offset <= self._taken.get(topic, -1):
            return None
        self._taken[topic] = offset
        if topic == self._feedback_topic:
            said = self._parse_feedback(text)
            self._feedback.append((offset, said))
            return said
        message = self._parse(text)
        self._check(message, self._settings)
        if message.type == "model":
            self._models.take(message)
        if message.type == "entity":
            self._actions.append((offset, message))
        else:
            self._control[self._key_of(message)] = message
        return message

    def process_broadcast_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        """Take up what is said (text, offset, topic), at the boundary of two batches."""
        text, offset, topic = value[0], value[1], value[2]
        try:
            message = self._thread.submit(self._take_up, topic, offset, text).result()
        except (SettingsError, ModelError) as error:
            log.error("%s; what was there before stays in force", error)
            self._metrics.bad_control.inc()
            self._metrics.model_failures.inc(int(isinstance(error, ModelError)))
            # every task says so; the letters have the same key and offset
            yield DEAD_LETTERS, Row(topic, _unheard(topic, offset, text, str(error)))
            return
        if message is None:
            return
        results = self._thread.submit(self._apply, topic, offset, message).result()
        if topic == self._feedback_topic:
            self._metrics.feedback.inc()
            self._metrics.verdicts[message.verdict].inc()
        else:
            self._metrics.control.inc()
        log.info("taken up from %s: %s", topic, text)
        for result in results:
            self._metrics.count(result.counts)
            yield from self._records(result)

    def _apply(self, topic: str, offset: int, message: Any) -> list[Any]:
        """Tell all pipelines; what comes of it."""
        results = []
        for pipeline in self._pipelines.values():
            if topic == self._feedback_topic:
                results.append(pipeline.hear(message, offset))
            elif message.type == "entity":
                results.append(pipeline.act(message, offset))
            else:
                pipeline.apply(message)
        return results

    def process_element(self, value: Any, ctx: Any) -> Iterator[Any]:
        """Score one batch: a row of parallel arrays (payload, place in the log, timestamp), or a heartbeat."""
        shard = ctx.get_current_key()
        shard = shard[0] if isinstance(shard, Row) else shard
        saved = None if shard in self._pipelines else self._saved()
        started = time.perf_counter()
        beat = value[1][0] == HEARTBEAT
        result, levels = self._thread.submit(self._tick if beat else self._score, shard, saved, value).result()
        took = time.perf_counter() - started
        for key in result.deletes:
            self._state.remove(key)
        for key, state in result.writes.items():  # put_all fails in process mode (PyFlink 2.3)
            self._state.put(key, state)
        if beat:
            self._metrics.count(result.counts)
        else:
            self._metrics.update(result, levels, self._models.versions, took, len(value[0]), int(max(value[2])))
        yield from self._records(result)

    def _records(self, result: Any) -> Iterator[Any]:
        """All that is to be written."""
        for subject, notice in result.notices:
            if SCHEMA in notice:
                log.warning("schema: %s: %s", subject, notice.decode())
        for tag, records in (
            (DEAD_LETTERS, result.dead_letters), (LATE, result.late), (SCORES, result.scores), (NOTICES, result.notices),
            (REQUESTS, result.requests),
        ):  # fmt: skip
            for key, text in records:
                yield tag, Row(key, text.decode())
        for key, text in result.alerts:
            alert = Row(key, text.decode())
            if self._grouped and NEW in text:
                yield OPENED, alert
            yield alert

    def _saved(self) -> dict[str, bytes]:
        """State of the current shard, read once after a start."""
        saved = dict(self._state.items())
        before = saved.pop(SHARDS_KEY, None)
        if before is None:
            self._state.put(SHARDS_KEY, self._shards.encode())
        elif before.decode() != self._shards:
            raise StateError(
                f"this state was saved with batch.shards {before.decode()}, the settings say {self._shards}: "
                "restore that number, or start without this state"
            )
        return saved

    def _pipeline(self, shard: Any, saved: dict[str, bytes] | None) -> tuple[Any, list[Any]]:
        """The shard's pipeline, restored if need be, and what comes of what was said to it while it was not there."""
        if saved is None:
            return self._pipelines[shard], []
        pipeline = self._pipeline_class(
            self._settings, self._topic, self._job, self._per_partition, models=self._models
        )  # fmt: skip
        for message in self._control.values():  # before what it decides about is restored
            pipeline.apply(message)
        for _, feedback in self._feedback:
            pipeline.control.heard.take(feedback)
        pipeline.restore(saved.items())
        # what came after the state was saved has not been done yet
        answers = [pipeline.hear(feedback, offset) for offset, feedback in self._feedback]
        answers += [pipeline.act(message, offset) for offset, message in self._actions]
        self._pipelines[shard] = pipeline
        self._heard[shard] = dict.fromkeys(pipeline.logs, time.monotonic())
        return pipeline, answers

    def _tick(self, shard: Any, saved: dict[str, bytes] | None, _: Any) -> tuple[Any, dict[str, int]]:
        """On the scoring thread: tell logs without events that time goes on."""
        pipeline, answers = self._pipeline(shard, saved)
        now = time.monotonic()
        quiet = {log: int((now - last) * 1000) for log, last in self._heard[shard].items() if now - last >= 1.0}
        result = pipeline.tick(quiet)
        _add(result, answers)
        return result, {}

    def _score(self, shard: Any, saved: dict[str, bytes] | None, value: Any) -> tuple[Any, dict[str, int]]:
        """On the scoring thread."""
        pipeline, answers = self._pipeline(shard, saved)
        places, stamps = (np.asarray(column, dtype=np.int64) for column in value[1:3])
        raw = self._raw_class(value[0], places % PLACES, places // PLACES, stamps)
        result = pipeline.process(raw)
        _add(result, answers)
        logs = np.unique(raw.partitions).tolist() if self._per_partition else [-1]
        self._heard[shard].update(dict.fromkeys(logs, time.monotonic()))
        levels = [pipeline.entities for pipeline in self._pipelines.values()]
        budgets = [budget for pipeline in self._pipelines.values() if (budget := pipeline.budgets)]
        wanted, achieved = (math.ceil(sum(column)) for column in zip(*budgets, strict=True)) if budgets else (0, 0)
        return result, {
            **{name: sum(level[name] for level in levels) for name in levels[0]}, "budget_target": wanted, "budget_achieved": achieved,
        }  # fmt: skip

    def close(self) -> None:
        """End the scoring thread."""
        if hasattr(self, "_thread"):
            self._thread.shutdown()


def _add(result: Any, answers: list[Any]) -> None:
    """Tell with a batch what came of what was said before it."""
    for answer in answers:
        result.notices += answer.notices
        result.requests += answer.requests


def _unheard(topic: str, offset: int, text: str, message: str) -> str:
    """The dead letter of a message to the job that cannot be read."""
    record = {"topic": topic, "partition": 0, "offset": offset, "reason": "bad_control"}
    payload = base64.b64encode((text or "").encode()).decode()
    return json.dumps(record | {"message": message, "payload": payload})


def _import_numba() -> None:
    """Import numba with the real `print`, which it looks for: PyFlink's process mode has put a method in its place."""
    replaced = builtins.print
    builtins.print = getattr(getattr(replaced, "__self__", None), "_print", replaced)
    try:
        import numba  # noqa: F401, PLC0415
    finally:
        builtins.print = replaced


class _Metrics:
    """What the Flink UI and Prometheus show of the operator.

    Values that go up and down are distributions, which are pushed: a gauge would be asked for on a thread of Java's own.
    """

    def __init__(self, group: Any, models: list[str], detectors: list[str]) -> None:
        self.control, self.feedback = group.counter("control_messages"), group.counter("feedback_messages")
        self.verdicts = {verdict: group.counter(f"feedback_{verdict}") for verdict in ("true", "false", "ignore")}
        self.model_failures = group.counter("model_failures")
        self._counters = {name: group.counter(name) for name in COUNTERS}
        alerts, dead, steps, muted = (group.add_group(name) for name in ("alerts", "dead_letters", "step_us", "muted"))
        for why in ("maintenance", "small", "feedback"):
            self._counters[f"muted.{why}"] = muted.counter(why)
        for what in (
            "opened",
            "updated",
            "resolved",
            "retracted",
            "point",
            "conditional",
            "contextual",
            "collective",
            "relative",
            "drift",
            "trial_a",
            "trial_b",
        ):
            self._counters[f"alerts.{what}"] = alerts.counter(what)
        rarer, probes = group.add_group("rarer"), group.add_group("probes")
        for power in (10, 100, 1000, 10000):
            self._counters[f"rarer.{power}"] = rarer.counter(f"than_{power}")
        for of in ("point", "contextual", "collective", "relative", "drift", "rich", "light", *detectors, *models):
            for what in (f"planted_{of}", f"found_{of}"):
                self._counters[f"probes.{what}"] = probes.counter(what)
        for reason in REASONS:
            self._counters[f"dead_letters.{reason}"] = dead.counter(reason)
        self.bad_control = dead.counter("bad_control")
        self._values = {
            name: group.distribution(name)
            for name in (
                "entities",
                "rich_entities",
                "warm_entities",
                "batch_size",
                "lag_ms",
                "memory_mb",
                "budget_target",
                "budget_achieved",
            )
        }
        self._steps = {step: steps.distribution(step) for step in (*STEPS, "total")}
        self._models: dict[str, Any] = {}
        for name in models:
            own = group.add_group("model").add_group(name)
            for member, prefix in ((name, ""), (f"{name} shadow", "shadow_")):
                self._models[member] = (own.distribution(f"{prefix}us"), own.distribution(f"{prefix}version"))
            for what in ("both", "only_live", "only_shadow"):
                self._counters[f"models.{name}.{what}"] = own.counter(what)
        self._next_look = 0.0

    def count(self, counts: dict[str, int]) -> None:
        """Add what happened."""
        for name, n in counts.items():
            if name in self._counters:
                self._counters[name].inc(n)

    def update(
        self, result: Any, levels: dict[str, int], versions: dict[str, str], seconds: float, size: int, newest: int
    ) -> None:
        """After each batch."""
        self.count(result.counts)
        self._counters["batches"].inc()
        now = time.time()
        if now < self._next_look:
            return  # a crossing each: five times a second is enough
        self._next_look = now + 0.2
        for name, value in (
            *levels.items(),
            ("batch_size", size),
            ("lag_ms", int(now * 1000) - newest),
        ):
            self._values[name].update(value)
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[1])
        self._values["memory_mb"].update(pages * os.sysconf("SC_PAGESIZE") >> 20)
        self._steps["total"].update(int(seconds * 1e6))
        for step, took in result.seconds.items():
            self._steps[step].update(int(took * 1e6))
        for member, (cost, version) in self._models.items():
            version.update(int(versions.get(member, 0)))
            if member in result.model_seconds:
                cost.update(int(result.model_seconds[member] * 1e6))
