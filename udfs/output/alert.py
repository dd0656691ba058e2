"""The one place that writes alerts: CloudEvents with everything a person needs to judge, and a machine to replay."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats
from streamgauge.udfs.entities.columns import (
    AGE,
    CONFIG,
    HITS,
    OPENED_OFFSET,
    OPENED_PARTITION,
    OPENED_TIME,
    RELEASED,
    STATUS,
)
from streamgauge.udfs.entities.silence import Silence
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.groups import Groups
from streamgauge.udfs.incidents.judge import Judged
from streamgauge.udfs.incidents.kinds import CHANGES, COLLECTIVE, CONDITIONAL, KINDS, OPENED, RESOLVED, kind_of
from streamgauge.udfs.incidents.lifecycle import Decisions
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.calibrate import AGREES, SHADOW
from streamgauge.udfs.scoring.opinions import EVIDENCE
from streamgauge.udfs.scoring.scorer import Fields
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.rules import Rule

SEVERITIES = ("low", "medium", "high", "critical")
MOST_FIELDS = 10
SILENCE = "silence"  # name of the member that watches for silent entities
SECONDS = "seconds without an event"  # name of the field that it judges
Complete = Callable[[int, dict[str, Any]], None]


# ---- scores, severities, identities -----------------------------------------------------------------------------------


def score_of(evidence: float) -> float:
    """The score from 0 to 1 of an evidence: L / (1 + L), where 10^-L is the tail probability.

    0.75 is one in a thousand, 0.8 one in ten thousand, 0.9 one in a thousand million; two extremes never tie.
    """
    return float(scores_of(np.float64(evidence)))


def scores_of(evidence: Any) -> Any:
    """`score_of`, for float64[n]."""
    powers = evidence / math.log(10.0)
    return powers / (1.0 + powers)


def severity_of(evidence: float, threshold: float) -> str:
    """low, medium, high or critical: at the threshold, or 10, 100, 10,000 times rarer."""
    beyond = (evidence + math.log(threshold)) / math.log(10.0)
    return "critical" if beyond >= 4 else "high" if beyond >= 2 else "medium" if beyond >= 1 else "low"


def _severest(broken: list[Rule], evidence: float, threshold: float) -> str:
    """Of an incident that began with a broken rule: the rules' severity, or a higher one that the evidence gives by itself."""
    found: list[str] = [rule.severity for rule in broken] or ["high"]
    if evidence >= -math.log(threshold):
        found.append(severity_of(evidence, threshold))
    return max(found, key=SEVERITIES.index)


def important(severity: str, entity: str, importance: dict[str, int]) -> str:
    """A severity, so many steps up or down as the entity is important."""
    steps = next((steps for who, steps in importance.items() if fnmatchcase(entity, who)), 0)
    return SEVERITIES[min(max(SEVERITIES.index(severity) + steps, 0), len(SEVERITIES) - 1)]


def alert_id(entity: str, config: int, topic: str, partition: int, offset: int) -> str:
    """Identity of an incident: the same wherever and however often its first event is scored."""
    text = f"{entity}\0{config}\0{topic}\0{partition}\0{offset}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def config_mark(settings_json: str) -> int:
    """A 63 bit mark of a detector configuration."""
    return int.from_bytes(hashlib.blake2b(settings_json.encode(), digest_size=8).digest(), "little") >> 1


# ---- the writer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blamed:
    """A field's part in an event: its share, and the actual and expected value."""

    field: str
    share: float
    actual: float | str | None
    expected: float | None


class AlertWriter:
    """Writes the alerts of one source of events.

    Parameters
    ----------
    settings : PipelineSettings
    origin : Origin
    config : int
        Mark of the configuration.

    Attributes
    ----------
    groups : Groups
        Incidents that opened together.
    """

    def __init__(self, settings: PipelineSettings, origin: Origin, config: int) -> None:
        self.origin, self.config = origin, config
        self.groups = Groups(settings.decide.group_within)
        self._decide, self._context, self._silence = settings.decide, settings.event.context, settings.silence

    def of_incidents(
        self,
        decisions: Decisions,
        stretch: Stretch,
        names: Fields,
        judged: Judged,
        versions: Callable[[int], dict[str, str]],
        complete: Complete | None = None,
    ) -> list[tuple[str, bytes]]:
        """One alert for each change of an incident: entity and JSON.

        Parameters
        ----------
        decisions : Decisions
        stretch : Stretch
        names : Fields
        judged : Judged
        versions : callable
            Versions of the members that judged an event, by its place.
        complete : callable, optional
            May add to the alert's data, given the row of its event.
        """
        alerts = []
        for m, i in enumerate(decisions.place.tolist()):
            data = self._data(decisions, m, stretch, names, judged, versions(i))
            if complete is not None:
                complete(int(stretch.events.rows[i]), data)
            change, entity = data["state"], data["entity"]
            identity = f"{data['alert_id']}-{change}-{int(stretch.offsets[i])}"
            text = self.origin.event(identity, f"alert.{change}", entity, int(stretch.events.times[i]), data)
            alerts.append((entity, text))
        return alerts

    def _data(
        self,
        decisions: Decisions,
        m: int,
        stretch: Stretch,
        names: Fields,
        judged: Judged,
        version: dict[str, str],
    ) -> dict[str, Any]:
        """What an alert says of the m-th change."""
        i, change = int(decisions.place[m]), int(decisions.change[m])
        events, incident = stretch.events, decisions.incident[m]
        opinions, verdicts = judged.scored.opinions, judged.scored.verdicts
        entity, now = events.entities[i], int(events.times[i])
        evidence, peak = float(verdicts.by_kind[i].max()), float(decisions.peak[m])
        kind, threshold = kind_of(int(incident[STATUS])), float(judged.thresholds[i])
        partition, offset = int(incident[OPENED_PARTITION]), int(incident[OPENED_OFFSET])
        identity = alert_id(entity, int(incident[CONFIG]), self.origin.topic, partition, offset)
        blamed = self._blamed(i, stretch, names, judged)
        broken = judged.violations.broken_by(i)
        members = {
            name: e
            for name, e in zip(opinions.names, verdicts.members[i].tolist(), strict=True)
            if not (math.isnan(e) or name.endswith(SHADOW))
        }
        severity = _severest(broken, peak, threshold) if kind == CONDITIONAL else severity_of(peak, threshold)
        disagreement = float(verdicts.disagreement[i])
        data: dict[str, Any] = {
            "alert_id": identity,
            "state": CHANGES[change],
            "entity": entity,
            "kind": KINDS[kind],
            "severity": important(severity, entity, self._decide.importance),
            "score": score_of(evidence),
            "tail_probability": math.exp(-evidence),
            "peak_score": score_of(peak),
            "confidence": self._confidence(
                stretch.X[i], int(stretch.seen[i]), disagreement, float(opinions.missing[i])
            ),
            "disagreement": round(disagreement, 4),
            "interval": [score_of(float(edge)) for edge in verdicts.interval[i]],
            "threshold": threshold,
            "window": {
                "from": rfc3339(int(incident[OPENED_TIME])),
                "to": rfc3339(now),
                "anomalous_events": int(incident[HITS]),
            },
            "actual": {one.field: one.actual for one in blamed},
            "expected": {one.field: one.expected for one in blamed},
            "contributions": {one.field: one.share for one in blamed},
            "detectors": {n: {"tail_probability": math.exp(-e), "version": version[n]} for n, e in members.items()},
            "agreed": [name for name, e in members.items() if e >= AGREES],
            "disagreed": [name for name, e in members.items() if e < AGREES],
            "evidence": {
                of: math.exp(-e) for of, e in zip(EVIDENCE, verdicts.by_kind[i].tolist(), strict=True) if e > 0.0
            },
            "rules": [rule.id for rule in broken],
            "source": {
                "topic": self.origin.topic,
                "partition": int(stretch.partitions[i]),
                "offset": int(stretch.offsets[i]),
                "opened_partition": partition,
                "opened_offset": offset,
            },
        }
        if change == OPENED:
            group = self.groups.join(identity, entity, blamed[0].field if blamed else None, now)
            data["group"] = group and group | {"root": group["root"] | {"time": rfc3339(group["root"]["time"])}}
        if change == RESOLVED:
            data["held_back"] = 0 if incident[RELEASED] else int(incident[AGE])
        if judged.arms:
            data["trial"] = judged.arms[i]
        if self._context:
            data["context"] = {name: events.values[i].get(name) for name in self._context}
        return data

    def _blamed(self, i: int, stretch: Stretch, names: Fields, judged: Judged) -> list[Blamed]:
        """The fields that matter most in one event."""
        x, values, scored = stretch.X[i], stretch.events.values[i], judged.scored
        d = len(x)
        share = shares(i, d, len(names.text), scored.opinions, scored.verdicts)
        usual = expected(i, d, scored.opinions)
        blamed = []
        for f in np.argsort(-share, kind="stable")[:MOST_FIELDS].tolist():
            part = round(float(share[f]), 4)
            if f >= d:
                if part > 0:
                    name = names.text[f - d]
                    blamed.append(Blamed(name, part, values.get(name), None))
            elif not math.isnan(x[f]):
                blamed.append(Blamed(names.numeric[f], part, _number(x[f]), _number(usual[f])))
        return blamed

    def _confidence(self, x: Floats, seen: int, disagreement: float, missing: float) -> float:
        """0 to 1: full for an entity seen ten times longer than its warm-up, with all fields and all members of one mind.

        `missing` is the share of a trained model's fields that the event lacks.
        """
        present = 1.0 - max(float(np.isnan(x).mean()), missing) if len(x) else 0.0
        return round(min(1.0, seen / (10.0 * self._decide.warmup)) * present * (1.0 - 0.5 * disagreement), 4)

    def of_silences(self, silences: list[Silence]) -> list[tuple[str, bytes]]:
        """Alerts of entities that have fallen silent, or are back: entity and JSON."""
        return [(one.entity, self._of_silence(one)) for one in silences]

    def _of_silence(self, one: Silence) -> bytes:
        assert self._silence is not None
        state, topic, partition = CHANGES[RESOLVED if one.ended else OPENED], self.origin.topic, self.origin.partition
        identity = alert_id(f"{one.entity}\0{SILENCE}", self.config, topic, partition, one.offset)
        # among n gaps, if they are exponential, one k times as long as the longest has a probability of about n^-k
        evidence = min(self._silence.after * math.log(max(one.events, 2)), 700.0)
        data = {
            "alert_id": identity,
            "state": state,
            "entity": one.entity,
            "kind": KINDS[COLLECTIVE],
            "severity": "high",
            "score": score_of(evidence),
            "tail_probability": math.exp(-evidence),
            "peak_score": score_of(evidence),
            "confidence": 1.0,
            "window": {"from": rfc3339(one.since), "to": rfc3339(one.now), "anomalous_events": 0},
            "actual": {SECONDS: (one.now - one.since) / 1000.0},
            "expected": {SECONDS: one.gap / 1000.0},
            "contributions": {SECONDS: 1.0},
            "detectors": {SILENCE: {"tail_probability": math.exp(-evidence), "version": "settings"}},
            "agreed": [SILENCE],
            "disagreed": [],
            "rules": [],
            "source": {
                "topic": topic,
                "partition": partition,
                "offset": one.offset,
                "opened_partition": partition,
                "opened_offset": one.offset,
            },
        }
        return self.origin.event(f"{identity}-{state}", f"alert.{state}", one.entity, one.now, data)


def _number(value: Any) -> float | None:
    return None if math.isnan(value) else float(value)
