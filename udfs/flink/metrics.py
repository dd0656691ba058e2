"""Metrics of the scoring operator, for the Flink UI and Prometheus."""

from __future__ import annotations

import os
import time
from typing import Any

from streamgauge.udfs.incidents.promise import AGES

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
    "unjudged",
    "unread",
    "skipped",
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
    "empty",
    "too_large",
    "not_json",
    "not_finite",
    "too_deep",
    "not_object",
    "wrong_format",
    "bad_compression",
    "bad_value",
    "no_row",
    "name_taken",
    "unknown_schema",
    "bad_avro",
    "bad_protobuf",
    "no_entity",
    "no_time",
    "bad_time",
    "time_out_of_range",
    "wrong_type",
    "internal",
)
CHANGES = ("opened", "updated", "resolved", "retracted")
KINDS = ("point", "conditional", "contextual", "collective", "relative", "drift")
TRIAL = ("trial_a", "trial_b")
LEVELS = (
    "entities",
    "rich_entities",
    "warm_entities",
    "batch_events",
    "lag_ms",
    "memory_mb",
    "promise_promised_per_day",
    "promise_achieved_per_day",
)
LOOK_EVERY = 0.2  # seconds between updates of distributions, because each update is a call into the JVM


class Metrics:
    """The metrics of one task.

    Values that go up and down are distributions, because Python updates these itself. Flink would read a gauge on one of its own
    threads.

    Parameters
    ----------
    group : MetricGroup
    models, detectors : list of str
        Names of the trained models and of the detectors that are used.
    """

    def __init__(self, group: Any, models: list[str], detectors: list[str]) -> None:
        self.control, self.feedback = group.counter("control_messages"), group.counter("feedback_messages")
        self.verdicts = {
            verdict: group.counter(f"feedback_{verdict}") for verdict in ("true", "false", "ignore", "undo")
        }
        self.model_failures = group.counter("model_failures")
        self._counters = {name: group.counter(name) for name in COUNTERS}
        alerts, dead, steps, muted = (group.add_group(name) for name in ("alerts", "dead_letters", "step_us", "muted"))
        self._add("muted", muted, ("maintenance", "small", "feedback"))
        self._add("alerts", alerts, (*CHANGES, *KINDS, *TRIAL))
        self._add("dead_letters", dead, REASONS)
        self.bad_control, self.feedback_refused = dead.counter("bad_control"), dead.counter("feedback_refused")
        self._add(
            "by_age", group.add_group("by_age"), tuple(f"{what}_{age}" for age in AGES for what in ("events", "opened"))
        )
        rarer, probes = group.add_group("rarer"), group.add_group("probes")
        for power in (10, 100, 1000, 10000):
            self._counters[f"rarer.{power}"] = rarer.counter(f"than_{power}")
        of = ("point", "contextual", "collective", "relative", "drift", "rich", "light", *detectors, *models)
        self._add("probes", probes, tuple(f"{what}_{name}" for name in of for what in ("planted", "found")))
        self._values = {name: group.distribution(name) for name in LEVELS}
        self._steps = {step: steps.distribution(step) for step in (*STEPS, "total")}
        self._models: dict[str, Any] = {}
        for name in models:
            own = group.add_group("model").add_group(name)
            for member, prefix in ((name, ""), (f"{name} shadow", "shadow_")):
                self._models[member] = (own.distribution(f"{prefix}us"), own.distribution(f"{prefix}version"))
            self._add(f"models.{name}", own, ("both", "only_live", "only_shadow"))
        self._next_look = 0.0

    def _add(self, prefix: str, group: Any, names: tuple[str, ...]) -> None:
        for name in names:
            self._counters[f"{prefix}.{name}"] = group.counter(name)

    def count(self, counts: dict[str, int]) -> None:
        """Add to the counters, by name; names without a counter are ignored."""
        for name, n in counts.items():
            if name in self._counters:
                self._counters[name].inc(n)

    def update(self, result: Any, levels: dict[str, float], versions: dict[str, str], seconds: float) -> None:
        """Update the metrics after a batch.

        Parameters
        ----------
        result : BatchResult
        levels : dict of str to float
            Values of `LEVELS`, except memory_mb.
        versions : dict of str to str
            Version of each trained model in use.
        seconds : float
            Time that the batch took.
        """
        self.count(result.counts)
        self._counters["batches"].inc()
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_EVERY
        for name, value in levels.items():
            self._values[name].update(int(value))
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
