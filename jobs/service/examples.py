"""Examples of requests and answers for the OpenAPI document, by the name of their schema."""

from __future__ import annotations

from typing import Any

_EVENT = {"entity": "pump-1", "time": "2026-11-22T10:00:00Z", "flow": 11.0, "heat": 5.0}
_INCIDENT = {
    "alert_id": "8c1f0e2d4b6a79513f20c8de",
    "entity": "pump-1",
    "kind": "point",
    "severity": "high",
    "state": "resolved",
    "open": False,
    "opened": "2026-11-22T10:00:00Z",
    "changed": "2026-11-22T10:05:00Z",
    "field": "flow",
    "score": 0.9,
    "confidence": 0.8,
    "channel": "level",
    "actual": 11.0,
    "expected": 55.0,
    "group": None,
}
_BEFORE = _INCIDENT | {
    "alert_id": "51b7a90c3e8f4d62a0916be4",
    "opened": "2026-11-15T10:00:00Z",
    "changed": "2026-11-15T10:05:00Z",
}
_ALERT = {
    "alert_id": _INCIDENT["alert_id"],
    "state": "opened",
    "entity": "pump-1",
    "kind": "point",
    "severity": "high",
    "actual": {"flow": 11.0, "heat": 5.0},
    "expected": {"flow": 55.0, "heat": 5.1},
    "contributions": {"flow": 0.9, "heat": 0.1},
}
_FOUND = {
    "incidents": 7,
    "precision": {"hits": 3, "of": 4, "share": 0.75, "least": 0.3, "most": 0.95},
    "recall": {"hits": 45, "of": 50, "share": 0.9, "least": 0.79, "most": 0.96},
}
_VERSION = {"version": 2, "detector": "isolation_forest", "state": "shadowed", "trained": "2026-11-22T03:00:00Z"}

EXAMPLES: dict[str, Any] = {
    "Incidents": {"incidents": [_INCIDENT], "next": None},
    "WholeIncident": _INCIDENT
    | {
        "explanation": {
            "fields": [
                {"field": "flow", "share": 0.9, "actual": 11.0, "expected": 55.0},
                {"field": "heat", "share": 0.1, "actual": 5.0, "expected": 5.1},
            ],
            "tail_probability": 1e-9,
            "threshold": 0.0001,
            "anomalous_events": 4,
            "rules": [],
            "agreed": ["level"],
            "disagreed": ["shape"],
        },
        "series": {
            "field": "flow",
            "began": _INCIDENT["opened"],
            "ended": _INCIDENT["changed"],
            "expected": 55.0,
            "values": [
                {"time": "2026-11-22T09:59:00Z", "value": 54.7},
                {"time": _INCIDENT["opened"], "value": 11.0},
            ],
            "peers": [{"time": "2026-11-22T09:59:30Z", "low": 51.2, "high": 58.9}],
            "missing": None,
        },
        "changes": [{"number": 17, "state": "opened", "time": _INCIDENT["opened"], "data": _ALERT}],
        "feedback": [{"by": "ann", "verdict": "false", "time": "2026-11-22T10:20:00Z", "why": "a backup ran"}],
        "similar": [_BEFORE],
    },
    "Counterfactual": {
        "alert_id": _INCIDENT["alert_id"],
        "state": "done",
        "scored": 421,
        "events": 421,
        "conditions": ["flow >= 24.1"],
        "notes": [],
        "message": None,
    },
    "Verdict": {"verdict": "ignore", "until": "2026-11-23T06:00:00Z", "why": "maintenance"},
    "Entity": {
        "entity": "pump-1",
        "incidents": 2,
        "open": 0,
        "first": _BEFORE["opened"],
        "last": _INCIDENT["opened"],
        "kinds": {"point": 2},
    },
    "EntityScores": {
        "entity": "pump-1",
        "threshold": 0.0001,
        "whole": True,
        "scores": [
            {
                "time": _INCIDENT["opened"],
                "score": 0.9,
                "tail_probability": 1e-9,
                "topic": "events",
                "partition": 0,
                "offset": 421,
                "place": None,
                "events": 1,
            }
        ],
    },
    "Notice": {
        "id": "schema-0-421",
        "type": "io.streamgauge.schema.added",
        "time": "2026-11-22T10:00:00Z",
        "data": {"field": "pressure", "partition": 0},
    },
    "Quality": {
        "promised": 1.0,
        "achieved": 0.75,
        "entities": {"known": 40, "warm": 30, "rich": 20},
        "verdicts": {"true": 3, "false": 1, "ignore": 0},
        "events": 20_000,
        "unjudged": 100,
        "found": _FOUND,
        "kinds": {"point": _FOUND},
        "weeks": [
            {
                "begins": "2026-11-16T00:00:00Z",
                "promised": 7.0,
                "opened": 5,
                "found": _FOUND,
                "kinds": {"point": _FOUND},
            }
        ],
    },
    "Model": {
        "model": "pumps",
        "roles": {"live": 1, "shadow": 2, "canary": None},
        "versions": [_VERSION],
        "steps": [{"model": "pumps", "version": 2, "step": "shadowed", "time": "2026-11-22T03:01:00Z"}],
    },
    "AskedScores": {"events": [_EVENT]},
    "Scores": {
        "events": [
            {
                "record": 0,
                "entity": "pump-1",
                "known": 3000,
                "outcome": "scored",
                "score": 0.9,
                "tail_probability": 1e-9,
                "anomalous": True,
                "opens": True,
                "kind": "point",
                "severity": "high",
                "field": "flow",
                "actual": 11.0,
                "expected": 55.0,
            }
        ],
        "replayed": 100_000,
        "warm": True,
    },
    "Problem": {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "there is no incident 'a1' in the history",
    },
}
