"""The one place that writes alerts: CloudEvents with all that a person needs to judge them, and a program to replay their events."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from streamgauge.models.contract import Floats, Ints
from streamgauge.udfs.control.proof import proof_of
from streamgauge.udfs.entities.columns import (
    AGE,
    CHANNEL,
    CONFIG,
    HITS,
    NEWEST,
    OPENED_OFFSET,
    OPENED_PARTITION,
    OPENED_TIME,
    RELEASED,
    SEVEREST,
    STATUS,
)
from streamgauge.udfs.entities.ended import REASONS, Ended
from streamgauge.udfs.entities.silence import Silence
from streamgauge.udfs.entities.stretch import Stretch
from streamgauge.udfs.events.records import WHOLE, offset_of, place_of
from streamgauge.udfs.events.time import rfc3339
from streamgauge.udfs.incidents.groups import Groups
from streamgauge.udfs.incidents.judge import Judged
from streamgauge.udfs.incidents.kinds import CHANGES, COLLECTIVE, KINDS, OPENED, RESOLVED, SEVERITIES, kind_of
from streamgauge.udfs.incidents.lifecycle import Decisions
from streamgauge.udfs.incidents.severity import important
from streamgauge.udfs.output.cloud_event import Origin
from streamgauge.udfs.scoring.attribution import expected, shares
from streamgauge.udfs.scoring.calibrate import AGREES, SHADOW
from streamgauge.udfs.scoring.opinions import EVIDENCE
from streamgauge.udfs.scoring.scorer import Fields
from streamgauge.udfs.settings.pipeline import PipelineSettings

MOST_FIELDS = 10  # fields that an alert lists
SILENCE = "silence"  # name of the member that watches for silent entities, in alerts
SECONDS = "seconds without an event"  # name of the field that this member judges
Complete = Callable[[int, dict[str, Any]], None]


# ---- scores and identities ----------------------------------------------------------------------------------------------


def score_of(evidence: float) -> float:
    """The score of an evidence: L / (1 + L), where 10^-L is the tail probability.

    A tail probability of 1e-3 has the score 0.75, 1e-4 has 0.8 and 1e-9 has 0.9. The score never reaches 1, so that two extreme events
    with different evidence have different scores.

    Parameters
    ----------
    evidence : float
        At least 0.

    Returns
    -------
    float
        From 0 to 1.
    """
    return float(scores_of(np.float64(evidence)))


def scores_of(evidence: Any) -> Any:
    """The same as `score_of`, for float64[n]."""
    powers = evidence / math.log(10.0)
    return powers / (1.0 + powers)


def alert_id(entity: str, config: int, topic: str, partition: int, offset: int) -> str:
    """Identity of an incident. It stays the same, wherever and however often the event that opened the incident is scored.

    Parameters
    ----------
    entity : str
    config : int
        Mark of the configuration; see `config_mark`.
    topic : str
    partition, offset : int
        Place of the event that opened the incident; `with_place` if its record holds several.

    Returns
    -------
    str
        24 hexadecimal digits.
    """
    text = f"{entity}\0{config}\0{topic}\0{partition}\0{offset}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def config_mark(settings_json: str) -> int:
    """A mark of 63 bits by which a configuration of detectors is recognised."""
    return int.from_bytes(hashlib.blake2b(settings_json.encode(), digest_size=8).digest(), "little") >> 1


# ---- the writer -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blamed:
    """A field's part in an event.

    Attributes
    ----------
    field : str
        Its name.
    share : float
        Of the event's evidence, 0 to 1.
    actual : float, str or None
        Its value.
    expected : float or None
        What the detectors expected; None where this is unknown.
    """

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
        Mark of the configuration; see `config_mark`.

    Attributes
    ----------
    groups : Groups
        Follows which incidents opened together.
    silence_config : int
        Mark in the ids of silences. It is saved, so that a silence ends under its id even if the configuration has changed.
    """

    def __init__(self, settings: PipelineSettings, origin: Origin, config: int) -> None:
        self.origin, self.config = origin, config
        self.silence_config = config
        self.groups = Groups(settings.decide.group_within)
        self._decide, self._context, self._silence = settings.decide, settings.event.context, settings.silence

    def of_incidents(
        self,
        decisions: Decisions,
        stretch: Stretch,
        names: Fields,
        judged: Judged,
        versions: Callable[[int], dict[str, str]],
        promised: list[dict[str, Any]],
        complete: Complete | None = None,
    ) -> list[tuple[str, bytes]]:
        """Write an alert for each change of an incident.

        Parameters
        ----------
        decisions : Decisions
        stretch : Stretch
        names : Fields
        judged : Judged
        versions : callable
            Gives the versions of the members that judged an event, by the event's place in the stretch.
        promised : list of dict
            For each change: promised and achieved incidents a day, and how old the entity is.
        complete : callable, optional
            Gets the row of the alert's event and the alert's data, and may add to the data.

        Returns
        -------
        list of (str, bytes)
            Entity (the key) and JSON.
        """
        alerts = []
        for m, i in enumerate(decisions.place.tolist()):
            data = self._data(decisions, m, stretch, names, judged, versions(i)) | {"promise": promised[m]}
            if complete is not None:
                complete(int(stretch.events.rows[i]), data)
            change, entity = data["state"], data["entity"]
            source = data["source"]
            place = f"-{source['place']}" if "place" in source else ""
            identity = f"{data['alert_id']}-{change}-{source['offset']}{place}"
            self._prove(data)
            text = self.origin.event(identity, f"alert.{change}", entity, int(stretch.events.times[i]), data)
            alerts.append((entity, text))
        return alerts

    def _prove(self, data: dict[str, Any]) -> None:
        """Add the proof that this job sent an alert, if the job signs."""
        if self.origin.sign is not None:
            data["proof"] = proof_of(data, self.origin.sign)

    def _data(
        self,
        decisions: Decisions,
        m: int,
        stretch: Stretch,
        names: Fields,
        judged: Judged,
        version: dict[str, str],
    ) -> dict[str, Any]:
        """The data of the alert about the m-th change."""
        i, change = int(decisions.place[m]), int(decisions.change[m])
        events, incident = stretch.events, decisions.incident[m]
        opinions, verdicts = judged.scored.opinions, judged.scored.verdicts
        entity, now, clock = events.entities[i], int(events.times[i]), int(stretch.clocks[i])
        evidence, peak = float(verdicts.strongest[i]), float(decisions.peak[m])
        kind, threshold = kind_of(int(incident[STATUS])), float(judged.thresholds[i])
        identity = self.identity(entity, incident)
        blamed = self.blamed(i, stretch, names, judged)
        broken = judged.violations.broken_by(i)
        members = {
            name: e
            for name, e in zip(opinions.names, verdicts.members[i].tolist(), strict=True)
            if not (math.isnan(e) or name.endswith(SHADOW))
        }
        channel = int(incident[CHANNEL])
        disagreement = float(verdicts.disagreement[i])
        unjudged, missing = math.isnan(verdicts.joined[i]), float(opinions.missing[i])
        confidence = 0.0 if unjudged else self._confidence(stretch.X[i], int(stretch.seen[i]), disagreement, missing)
        data: dict[str, Any] = {
            "alert_id": identity,
            "state": CHANGES[change],
            "entity": entity,
            "kind": KINDS[kind],
            "channel": opinions.names[channel - 1] if channel else None,
            "severity": important(SEVERITIES[int(incident[SEVEREST])], entity, self._decide.importance),
            "score": score_of(evidence),
            "tail_probability": math.exp(-evidence),
            "peak_score": score_of(peak),
            "confidence": confidence,
            "disagreement": round(disagreement, 4),
            "interval": [score_of(float(edge)) for edge in verdicts.interval[i]],
            "threshold": threshold,
            "window": {
                "from": rfc3339(int(incident[OPENED_TIME])),
                "to": rfc3339(now),
                "anomalous_events": int(incident[HITS]),
            },
            "actual": {part.field: part.actual for part in blamed},
            "expected": {part.field: part.expected for part in blamed},
            "contributions": {part.field: part.share for part in blamed},
            "detectors": {n: {"tail_probability": math.exp(-e), "version": version[n]} for n, e in members.items()},
            "agreed": [name for name, e in members.items() if e >= AGREES],
            "disagreed": [name for name, e in members.items() if e < AGREES],
            "evidence": {
                name: math.exp(-e) for name, e in zip(EVIDENCE, verdicts.by_kind[i].tolist(), strict=True) if e > 0.0
            },
            "rules": [rule.id for rule in broken],
            "source": self._source(i, stretch, incident),
        }
        if change == OPENED:
            root = blamed[0].field if blamed and blamed[0].share > 0.0 else None  # a rule may be all that is broken
            group = self.groups.join(identity, entity, root, min(now, clock))
            data["group"] = group and group | {"root": group["root"] | {"time": rfc3339(group["root"]["time"])}}
        if change == RESOLVED:
            data["held_back"] = 0 if incident[RELEASED] else int(incident[AGE])
            data["followed_by"] = self._followed_by(decisions, m, entity)
        if unjudged:  # a rule was broken, or an incident goes on or ends
            data["unjudged"] = True
        if judged.arms:
            data["trial"] = judged.arms[i]
        if self._context:
            data["context"] = {name: events.values[i].get(name) for name in self._context}
        return data

    def _source(self, i: int, stretch: Stretch, incident: Ints) -> dict[str, Any]:
        """Where the event, and the one that opened the incident, are on the topic. Places count the events of a record that holds many."""
        opened, place = int(incident[OPENED_OFFSET]), int(stretch.events.places[i])
        source = {
            "topic": self.origin.topic,
            "partition": int(stretch.partitions[i]),
            "offset": int(stretch.offsets[i]),
            "opened_partition": int(incident[OPENED_PARTITION]),
            "opened_offset": offset_of(opened),
        }
        if place != WHOLE:
            source["place"] = place
        if place_of(opened) != WHOLE:
            source["opened_place"] = place_of(opened)
        return source

    def _followed_by(self, decisions: Decisions, m: int, entity: str) -> str | None:
        """Id of the incident that ended the m-th one, because it is another one; None if quiet events ended it."""
        if m + 1 == len(decisions.place) or decisions.place[m + 1] != decisions.place[m]:
            return None
        return self.identity(entity, decisions.incident[m + 1])

    def identity(self, entity: str, incident: Ints) -> str:
        """Id of an incident, given its row of `EntityStore.head`."""
        partition, offset = int(incident[OPENED_PARTITION]), int(incident[OPENED_OFFSET])
        return alert_id(entity, int(incident[CONFIG]), self.origin.topic, partition, offset)

    def blamed(self, i: int, stretch: Stretch, names: Fields, judged: Judged) -> list[Blamed]:
        """The fields with the largest shares in the event at place `i`, the largest first."""
        x, values, scored = stretch.X[i], stretch.events.values[i], judged.scored
        d = len(x)
        share = shares(i, d, len(names.text), scored.opinions, scored.verdicts)
        usual = expected(i, d, scored.opinions)
        blamed = []
        for f in np.argsort(-share, kind="stable")[:MOST_FIELDS].tolist():
            rounded = round(float(share[f]), 4)
            if f >= d:  # a text field
                if rounded > 0:
                    name = names.text[f - d]
                    blamed.append(Blamed(name, rounded, values.get(name), None))
            elif not math.isnan(x[f]):
                blamed.append(Blamed(names.numeric[f], rounded, _number(x[f]), _number(usual[f])))
        return blamed

    def _confidence(self, x: Floats, seen: int, disagreement: float, missing: float) -> float:
        """How far the verdict on a judged event can be relied on, 0 to 1.

        It is 1 if the entity has had ten times as many events as its warm-up takes, no field is missing and all members agree. `missing`
        is the largest share of a trained model's fields that the event lacks.
        """
        present = 1.0 - max(float(np.isnan(x).mean()), missing) if len(x) else 0.0
        return round(min(1.0, seen / (10.0 * self._decide.warmup)) * present * (1.0 - 0.5 * disagreement), 4)

    def of_ended(
        self, ended: Ended, entity: str, situation: dict[str, str], complete: Callable[[dict[str, Any]], None]
    ) -> tuple[str, bytes]:
        """Write the alert about an incident that ended without an event.

        Parameters
        ----------
        ended : Ended
        entity : str
        situation : dict of str to str
            Value of each context field.
        complete : callable
            Gets the alert's data, and may add to them.

        Returns
        -------
        (str, bytes)
            Entity (the key) and JSON.
        """
        incident = ended.incident
        identity, state, opened = self.identity(entity, incident), CHANGES[RESOLVED], int(incident[OPENED_OFFSET])
        partition = int(incident[OPENED_PARTITION])
        source = {
            "topic": self.origin.topic,
            "partition": partition,
            "offset": offset_of(opened),
            "opened_partition": partition,
            "opened_offset": offset_of(opened),
        }
        if place_of(opened) != WHOLE:
            source["opened_place"] = place_of(opened)
        data = {
            "alert_id": identity,
            "state": state,
            "reason": ended.reason,
            "why": REASONS[ended.reason],
            "entity": entity,
            "kind": KINDS[kind_of(int(incident[STATUS]))],
            "severity": important(SEVERITIES[int(incident[SEVEREST])], entity, self._decide.importance),
            "score": 0.0,
            "tail_probability": 1.0,
            "peak_score": score_of(ended.peak),
            "confidence": 0.0,
            "window": {
                "from": rfc3339(int(incident[OPENED_TIME])),
                "to": rfc3339(int(incident[NEWEST])),
                "anomalous_events": int(incident[HITS]),
            },
            "actual": {},
            "expected": {},
            "contributions": {},
            "detectors": {},
            "agreed": [],
            "disagreed": [],
            "rules": [],
            "unjudged": True,  # no event ended it
            "source": source,
        }
        if situation:
            data["context"] = situation
        complete(data)
        self._prove(data)
        event_id = f"{identity}-{state}-{ended.reason}"
        return entity, self.origin.event(event_id, f"alert.{state}", entity, ended.time, data)

    def of_silences(self, silences: list[Silence]) -> list[tuple[str, bytes]]:
        """Write alerts about entities that send no more events, or that send events again.

        The alert about a silent source names the topic and the partition, as ``events/3``, in place of an entity.

        Returns
        -------
        list of (str, bytes)
            Entity (the key) and JSON.
        """
        names = [self._name_of(silence) for silence in silences]
        return [(name, self._of_silence(name, silence)) for name, silence in zip(names, silences, strict=True)]

    def identity_of_silence(self, silence: Silence) -> str:
        """Id of a silence."""
        name, place = f"{self._name_of(silence)}\0{SILENCE}", (self.origin.topic, self.origin.partition)
        return alert_id(name, self.silence_config, *place, silence.offset)

    def _name_of(self, silence: Silence) -> str:
        source = f"{self.origin.topic}/{self.origin.partition}"
        return source if silence.entity is None else silence.entity

    def _of_silence(self, name: str, silence: Silence) -> bytes:
        """JSON of the alert about one silence."""
        assert self._silence is not None
        state, topic, partition = (
            CHANGES[RESOLVED if silence.ended else OPENED],
            self.origin.topic,
            self.origin.partition,
        )
        identity = self.identity_of_silence(silence)
        # If an entity's n gaps are exponential, the longest is about ln n mean gaps, and one k times as long has a probability of n^-k.
        evidence = min(self._silence.after * math.log(max(silence.events, 2)), 700.0)
        data = {
            "alert_id": identity,
            "state": state,
            "entity": name,
            "kind": KINDS[COLLECTIVE],
            "severity": "critical" if silence.entity is None else important("high", name, self._decide.importance),
            "score": score_of(evidence),
            "tail_probability": math.exp(-evidence),
            "peak_score": score_of(evidence),
            "confidence": 1.0,
            "window": {"from": rfc3339(silence.since), "to": rfc3339(silence.now), "anomalous_events": 0},
            "actual": {SECONDS: (silence.now - silence.since) / 1000.0},
            "expected": {SECONDS: silence.gap / 1000.0},
            "contributions": {SECONDS: 1.0},
            "detectors": {SILENCE: {"tail_probability": math.exp(-evidence), "version": "settings"}},
            "agreed": [SILENCE],
            "disagreed": [],
            "rules": [],
            "source": {
                "topic": topic,
                "partition": partition,
                "offset": silence.offset,
                "opened_partition": partition,
                "opened_offset": silence.offset,
            },
        }
        if silence.entity is None:
            data["entities"] = silence.entities
        self._prove(data)
        return self.origin.event(f"{identity}-{state}", f"alert.{state}", name, silence.now, data)


def _number(value: Any) -> float | None:
    """A number for JSON; None for NaN, which JSON does not have."""
    return None if math.isnan(value) else float(value)
