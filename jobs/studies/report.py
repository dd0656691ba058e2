"""One page about a period of a running job: what it told, how good that was, what changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from jinja2 import Environment
from streamgauge.jobs.kafka.feedback import newest_feedback, votes
from streamgauge.jobs.kafka.topics import records_since
from streamgauge.jobs.pages.html import PLAIN, STYLE
from streamgauge.jobs.pages.report_plots import plots
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.effect import Effect, effect_of_feedback
from streamgauge.models.calibration.thresholds import wilson
from streamgauge.udfs.control.feedback import Feedback
from streamgauge.udfs.monitoring.quality import TRACKED

HISTORIC = 3600.0  # seconds by which events that are told of may be old, for their age to be latency
MOST_ROWS = 20  # of a table

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Streamgauge report</title>
{{ style|safe }}
<h1>{{ job }}, {{ since }} to {{ until }}</h1>
<p class="sub">{{ events }} events tracked, {{ opened }} incidents opened, threshold {{ threshold }}</p>
<h2>Figures</h2>
<table><tr><th>figure</th><th>value</th><th>95 % interval</th><th>from</th></tr>
{% for row in figures %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
<div class="plots">{% for plot in plots %}<img alt="{{ plot.name }}" src="data:image/png;base64,{{ plot.png }}">{% endfor %}</div>
{% for table in tables %}{% if table.rows %}<h2>{{ table.title }}</h2>
<table><tr>{% for name in table.head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table.rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% if table.note %}<p class="sub">{{ table.note }}</p>{% endif %}{% endif %}{% endfor %}
</html>
"""


@dataclass(slots=True)
class Found:
    """What lies on the topics about a period: records with the time at which they came, milliseconds.

    Attributes
    ----------
    alerts, tracked, steps : list of (int, dict)
        CloudEvents of alerts, of tracking, and of what was done with models, requests to retrain included.
    words : list of Feedback
    effect : Effect or None
        Of the feedback.
    """

    alerts: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    tracked: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    steps: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    words: list[Feedback] = field(default_factory=list)
    effect: Effect | None = None

    def judged(self) -> list[tuple[int, bool]]:
        """When each alert came that people judged, and whether more of them found it true than false; a draw is no judgement."""
        opened = {event["data"]["alert_id"]: at for at, event in self.alerts if event["data"]["state"] == "opened"}
        said = votes(self.words).items()
        return sorted((opened[alert], vote > 0) for alert, vote in said if vote and alert in opened)

    def ages(self) -> list[tuple[int, float]]:
        """When each record of an alert came, and how many seconds after its event; nothing where events are historic."""
        found = [(at, at / 1000 - datetime.fromisoformat(event["time"]).timestamp()) for at, event in self.alerts]
        return found if found and np.median([age for _, age in found]) < HISTORIC else []


def find(
    settings: Settings, since: int, replayed: int, say: Callable[[int, int], None] = lambda *_: None
) -> Found:  # fmt: skip
    """Read the topics.

    Parameters
    ----------
    settings : Settings
    since : int
        Milliseconds.
    replayed : int
        Newest events that are scored again with and without feedback, if there is any; 0 is none.
    say : callable
        Told of events scored again, and of how many there are.

    Raises
    ------
    ClusterError
        The broker does not answer.
    """
    kafka, found = settings.kafka, Found()
    topics = kafka.topics
    found.alerts = [(r.timestamp, json.loads(r.value)) for r in records_since(kafka, topics.alerts, since)]
    for topic in (topics.notices, topics.retrain_requests):
        for record in records_since(kafka, topic, since):
            event = json.loads(record.value)
            if event["type"] == TRACKED:
                found.tracked.append((record.timestamp, event["data"]))
            elif event["type"].startswith(("io.streamgauge.model.", "io.streamgauge.retrain.")):
                found.steps.append((record.timestamp, event))
    found.steps.sort(key=lambda step: step[0])
    found.words = newest_feedback(kafka)
    if found.words and replayed:
        found.effect = effect_of_feedback(settings, since, replayed, say)
    return found


def figures_of(found: Found) -> dict[str, Any]:
    """All figures, as JSON tells them.

    Precision is that of the judged alerts, by votes. Recall is that of the known anomalies that the job plants on the side. The rate of
    false alarms is what is left of the alerts, for each event. Calibration is how many events were so rare, over how many were promised.
    """
    events = sum(data["of"] for _, data in found.tracked)
    opened = {
        event["data"]["alert_id"]: (at, event["data"])
        for at, event in found.alerts
        if event["data"]["state"] == "opened"
    }
    words = found.judged()
    right, judged = sum(good for _, good in words), len(words)
    probes = [data["probe"] for _, data in found.tracked if data["probe"]]
    recall = {of: _share([p["found"] for p in probes if of in (p["kind"], p["tier"], "all")]) for of in
              ("all", *dict.fromkeys(p["kind"] for p in probes), *dict.fromkeys(p["tier"] for p in probes))}  # fmt: skip
    members: dict[str, list[bool]] = {}
    for one in probes:
        for name, told in one["members"].items():
            members.setdefault(name, []).append(told)
    ages = [age for _, age in found.ages()]
    latency = {f"p{q}": round(float(np.percentile(ages, q)), 4) for q in (50, 95, 99)} if ages else None
    rarer: Counter[str] = Counter()
    for _, data in found.tracked:
        rarer.update(data["rarer"])
    precision = _interval(right, judged)
    return {
        "events": events, "alerts": len(opened),
        "kinds": dict(Counter(data["kind"] for _, data in opened.values()).most_common()),
        "severities": dict(Counter(data["severity"] for _, data in opened.values()).most_common()),
        "judged": judged, "precision": precision,
        "false_alarms_per_event": len(opened) * (1 - right / judged) / events if judged and events else None,
        "recall": recall, "recall_by_member": {name: _share(told) for name, told in sorted(members.items())},
        "calibration": {p: n / (float(p) * events) for p, n in sorted(rarer.items(), reverse=True)} if events else {},
        "latency_seconds": latency,
        "entities": _coverage(found), "feedback": dict(Counter(word.verdict for word in found.words)),
        "effect_of_feedback": None if found.effect is None else asdict(found.effect),
    }  # fmt: skip


def page(found: Found, figures: dict[str, Any], job: str, since: int, until: int) -> str:
    """The HTML page.

    Parameters
    ----------
    found : Found
    figures : dict
        `figures_of` it.
    job : str
    since, until : int
        Milliseconds.
    """
    with mpl.rc_context(PLAIN):
        shown = plots(found, since, until)
    newest = found.tracked[-1][1]["threshold"] if found.tracked else "unknown"
    template = Environment(autoescape=True).from_string(PAGE)
    return template.render(
        style=STYLE, job=job, since=_moment(since), until=_moment(until), events=figures["events"], opened=figures["alerts"],
        threshold=newest, figures=_rows(figures), plots=shown, tables=_tables(found, figures),
    )  # fmt: skip


def _interval(hits: int, of: int) -> list[float] | None:
    """Share, and its interval; None of nothing."""
    return [round(number, 4) for number in wilson(hits, of)] if of else None


def _share(told: list[bool]) -> list[float] | None:
    return _interval(sum(told), len(told))


def _coverage(found: Found) -> dict[str, int]:
    """Entities known, warm and rich, as each partition told last."""
    newest = {data["partition"]: data["entities"] for _, data in found.tracked}
    return {what: sum(one[what] for one in newest.values()) for what in ("known", "warm", "rich")}


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = []

    def add(name: str, told: list[float] | None, source: str) -> None:
        if told is not None:
            rows.append((name, f"{told[0]:.3f}", f"{told[1]:.3f} to {told[2]:.3f}", source))

    add("precision", figures["precision"], f"{figures['judged']} alerts that people judged")
    for of, told in figures["recall"].items():
        add(f"recall, {of}", told, "known anomalies, planted on the side")
    if figures["false_alarms_per_event"] is not None:
        rows.append(("false alarms", f"{figures['false_alarms_per_event']:.2g} per event", "", "alerts and precision"))
    for power, ratio in figures["calibration"].items():
        rows.append((f"events rarer than {power}, over the promise", f"{ratio:.2f}", "", "tracked events"))
    for name, seconds in (figures["latency_seconds"] or {}).items():
        rows.append((f"event to alert, {name}", f"{seconds:.3f} s", "", "alerts"))
    covered = figures["entities"]
    rows.append(
        ("entities known, warm, rich", f"{covered['known']}, {covered['warm']}, {covered['rich']}", "", "tracked")
    )
    return rows


def _tables(found: Found, figures: dict[str, Any]) -> list[dict[str, Any]]:
    opened = [event["data"] for _, event in found.alerts if event["data"]["state"] == "opened"]
    blamed = Counter(
        max(data["contributions"], key=data["contributions"].get) for data in opened if data["contributions"]
    )
    tables: list[dict[str, Any]] = [
        {"title": "Incidents", "head": ("kind", "opened"), "rows": list(figures["kinds"].items())},
        {"title": "Severities", "head": ("severity", "opened"), "rows": list(figures["severities"].items())},
        {"title": "Entities with the most incidents", "head": ("entity", "opened"),
         "rows": Counter(data["entity"] for data in opened).most_common(MOST_ROWS)},
        {"title": "Fields to blame", "head": ("field", "incidents"), "rows": blamed.most_common(MOST_ROWS)},
        {"title": "Recall by member", "head": ("member", "recall", "from", "to"),
         "rows": [(name, *(f"{x:.3f}" for x in told)) for name, told in figures["recall_by_member"].items()],
         "note": "Each looks for anomalies of its own kind; of all that were planted."},
        {"title": "Models", "head": ("time", "model", "step", "version", "why"), "rows": [_step(*step) for step in found.steps
                                                                                     if not step[1]["type"].endswith("compared")]},
    ]  # fmt: skip
    if found.effect is not None:
        effect = found.effect
        tables.append({
            "title": "What feedback changed", "head": ("", "incidents"),
            "rows": [("without feedback", effect.alerts_without), ("with all of it", effect.alerts_with),
                     ("avoided, found false by people", effect.avoided["false"]),
                     ("avoided, judged by nobody", effect.avoided["unjudged"]),
                     ("lost, found true by people", effect.avoided["true"]), ("added", effect.added)],
            "note": f"{effect.events} events scored twice: as if all had been known from the beginning, and nothing.",
        })  # fmt: skip
    return tables


def _step(at: int, event: dict[str, Any]) -> tuple[str, ...]:
    data = event["data"]
    return (_moment(at), data["model"], event["type"].rpartition(".")[2].replace("_", " "), str(data.get("version", "")),
            str(data.get("why") or data.get("reason") or ""))  # fmt: skip


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
