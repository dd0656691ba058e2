"""Moves versions from shadow to live, and back, by what the job reports about a model and its shadow."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from streamgauge.jobs.retraining.probes import CERTAINTY, CLEARLY_FEWER, ENOUGH_PROBES, finds_more, shadow_lead
from streamgauge.jobs.retraining.reports import Reports
from streamgauge.jobs.retraining.roles import CANARY, FROZEN, LIVE, SHADOW, Roles
from streamgauge.jobs.settings.loading import RetrainSettings
from streamgauge.models.calibration.thresholds import compare_thresholds
from streamgauge.models.persistence.registry import Registry
from streamgauge.udfs.control.shares import is_canary

SILENT = 86_400.0  # seconds without a report about a shadow, after which no request waits for the end of its comparison
COUNTED = ("events", "live_alerts", "shadow_alerts", "both", "promised", "probes", "live_right", "shadow_right")
WHY = {
    "alerts": "it raises more alerts than promised",
    "probes": "it finds fewer probes than the live version",
    "feedback": "people find more of its alerts false",
}


class ShadowJudge:
    """Adds up the reports of the jobs about a model and its shadow, and decides as soon as they suffice.

    Parameters
    ----------
    gates : RetrainSettings
    registry : Registry
    roles : Roles
    reports : Reports
    """

    def __init__(self, gates: RetrainSettings, registry: Registry, roles: Roles, reports: Reports) -> None:
        self.gates, self.registry, self.roles, self.reports = gates, registry, roles, reports
        self.counts: dict[tuple[str, int, int], dict[str, float]] = {}  # by model, live version and shadow
        self._heard: dict[str, float] = {}  # time of the newest report that counted, by model

    def compared_with(self, name: str, live: int) -> int | None:
        """The shadow that is compared with a live version: the answer to a request would take its place, and the comparison begin anew.

        None if there is no shadow, or nothing was heard of it for so long that its comparison may never end: the job may have stopped, or
        cannot load it.
        """
        aliases = self.registry.aliases(name)
        shadow = aliases.get(SHADOW, live)
        if aliases.get(LIVE) != live or shadow == live:
            return None
        heard = max(self._heard.get(name, 0.0), *(self._began(name, alias) for alias in (SHADOW, CANARY)))
        return shadow if self.reports.clock() - heard < SILENT else None

    def _began(self, name: str, alias: str) -> float:
        """When an alias was given to its version, in seconds since 1970; 0 if there is no such alias."""
        entries = self.registry.history(name, alias)
        return datetime.fromisoformat(entries[0]["at"]).timestamp() if entries else 0.0

    def judge(self, data: dict[str, Any]) -> None:
        """Add a report of the job, and decide if the reports suffice."""
        name, live, shadow = data["model"], int(data["live"]), int(data["shadow"])
        aliases = self.registry.aliases(name)
        if (aliases.get(LIVE), aliases.get(SHADOW)) != (live, shadow) or FROZEN in aliases:
            return
        counts = self.counts.setdefault((name, live, shadow), dict.fromkeys(COUNTED, 0))
        alerts = {"live_alerts": data["both"] + data["only_live"], "shadow_alerts": data["both"] + data["only_shadow"]}
        alerts |= {what: data[what] for what in ("events", "both", "probes", "live_right", "shadow_right")}
        alerts["promised"] = data["threshold"] * data["events"]
        if wrong := {what: number for what, number in alerts.items() if not 0 <= number < math.inf}:
            # a sum with NaN would never suffice
            raise ValueError(f"a report of the job says {wrong}; allowed is 0 and more")
        counts |= {what: counts[what] + number for what, number in alerts.items()}
        self._heard[name] = self.reports.clock()
        either = counts["live_alerts"] + counts["shadow_alerts"] - counts["both"]
        figures = {"live": live, "shadow": shadow, **counts, "agreement": counts["both"] / either if either else None}
        if shadow < live:
            self._judge_successor(name, live, shadow, counts, figures)
        else:
            self._judge_shadow(name, live, shadow, aliases.get(CANARY) == shadow, counts, figures)

    def _judge_successor(
        self, name: str, live: int, shadow: int, counts: dict[str, float], figures: dict[str, Any]
    ) -> None:
        """Judge a version that has become live, with the version before as its shadow."""
        floods = counts["live_alerts"] > 2 * self._most(counts) and counts["live_alerts"] > 2 * counts["shadow_alerts"]
        if floods or (counts["probes"] >= ENOUGH_PROBES and shadow_lead(counts) > CLEARLY_FEWER):
            why = "too many alerts" if floods else "it finds fewer probes than the version before"
            self.roles.make_live(name, shadow, why)
            self._forget_counts(name)
            self.reports.tell("rolled_back", name, figures | {"version": shadow})
        elif counts["events"] >= self.gates.compare:
            self._remove_shadow(name)
            self.reports.tell("settled", name, figures | {"version": live})

    def _judge_shadow(
        self, name: str, live: int, shadow: int, canary: bool, counts: dict[str, float], figures: dict[str, Any]
    ) -> None:
        """Judge a shadow that has not been live yet."""
        figures = figures | {"version": shadow}
        # a shadow that surely finds more need not wait: meanwhile the live version misses anomalies
        enough = counts["events"] >= self.gates.compare or finds_more(counts)
        more = counts["shadow_alerts"] > self._most(counts) * (1 if enough else 2)
        if more and 2 * counts["shadow_alerts"] > counts["live_alerts"] and (enough or canary):
            self._reject(name, figures, "alerts")
        elif shadow_lead(counts) < -CLEARLY_FEWER and (enough or (canary and counts["probes"] >= ENOUGH_PROBES)):
            self._reject(name, figures, "probes")
        elif canary and self._found_worse(name, figures):
            self._reject(name, figures, "feedback")
        elif enough and not canary and self.gates.canary:
            self.roles.assign(name, CANARY, shadow, "its shadow raised no more alerts than promised")
            self.counts.pop((name, live, shadow))
            self.reports.tell("canary", name, figures | {"share": self.gates.canary})
        elif enough:
            self.roles.make_live(name, shadow, "it raised no more alerts than promised")
            self.reports.tell("promoted", name, figures)

    def _most(self, counts: dict[str, float]) -> float:
        """Number of alerts that a version may raise in the events counted so far."""
        return max(self.gates.alerts * counts["promised"], self.gates.few)

    def _found_worse(self, name: str, figures: dict[str, Any]) -> bool:
        """Whether people find more of the canary's alerts false than of the live version's; the counts are added to the figures."""
        arms = {True: [0, 0], False: [0, 0]}
        for message in self.reports.topics.feedback_since(int(self._began(name, CANARY) * 1000)):
            if message.verdict != "ignore" and name in message.agreed:
                arm = arms[is_canary(message.entity, self.gates.canary)]
                arm[0] += message.verdict == "true"
                arm[1] += 1
        (right, judged), (canary_right, canary_judged) = arms[False], arms[True]
        # Each report is another look, and twenty of them find a difference with 95 % certainty in every seventh case where there is none.
        verdict = compare_thresholds((right, judged), (canary_right, canary_judged), CERTAINTY)
        figures |= {"judged": judged, "right": right, "canary_judged": canary_judged, "canary_right": canary_right}
        return verdict.better == "a"

    def _reject(self, name: str, figures: dict[str, Any], gate: str) -> None:
        request = self.registry.manifest(name, int(figures["version"])).request
        self._remove_shadow(name)
        self.reports.tell("rejected", name, figures | {"request": request, "gate": gate, "why": WHY[gate]})

    def _remove_shadow(self, name: str) -> None:
        self.roles.remove_shadow(name)
        self._forget_counts(name)

    def _forget_counts(self, name: str) -> None:
        self.counts = {key: counts for key, counts in self.counts.items() if key[0] != name}
