"""The report as a page: figures, plots and tables of a period."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import matplotlib as mpl
from jinja2 import Environment
from streamgauge.jobs.pages.html import PLAIN, STYLE
from streamgauge.jobs.pages.report_plots import plots
from streamgauge.jobs.studies.report import PeriodRecords

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


def page(found: PeriodRecords, figures: dict[str, Any], job: str, since: int, until: int) -> str:
    """The HTML page.

    Parameters
    ----------
    found : PeriodRecords
    figures : dict
        What `figures_of` returns for these records.
    job : str
    since, until : int
        Milliseconds.
    """
    with mpl.rc_context(PLAIN):
        shown = plots(found, since, until)
    newest = found.tracked[-1][1]["threshold"] if found.tracked else "unknown"
    template = Environment(autoescape=True).from_string(PAGE)
    return template.render(
        style=STYLE,
        job=job,
        since=_moment(since),
        until=_moment(until),
        events=figures["events"],
        opened=figures["alerts"],
        threshold=newest,
        figures=_rows(figures),
        plots=shown,
        tables=_tables(found, figures),
    )


def _rows(figures: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = []

    def add(name: str, share: list[float] | None, source: str) -> None:
        if share is not None:
            rows.append((name, f"{share[0]:.3f}", f"{share[1]:.3f} to {share[2]:.3f}", source))

    add("precision", figures["precision"], f"{figures['judged']} alerts that people judged")
    for of, share in figures["recall"].items():
        add(f"recall, {of}", share, "probes: known anomalies, scored on the side")
    if figures["false_alarms_per_event"] is not None:
        rows.append(("false alarms", f"{figures['false_alarms_per_event']:.2g} per event", "", "alerts and precision"))
    promise = figures["promise"]
    if promise is not None:
        text = f"{promise['achieved']:.3g} / {promise['promised']:.3g} a day"
        rows.append(("incidents by evidence, achieved / promised", text, "", "tracked events, as reported last"))
    for power, ratio in figures["calibration"].items():
        rows.append((f"events rarer than {power}, observed / promised", f"{ratio:.2f}", "", "tracked events"))
    for name, seconds in (figures["latency_seconds"] or {}).items():
        rows.append((f"event to alert, {name}", f"{seconds:.3f} s", "", "alerts"))
    rows.append(("unjudged events", f"{figures['unjudged']}", "", "tracked events of which too little was known"))
    covered = figures["entities"]
    rows.append(
        ("entities known, warm, rich", f"{covered['known']}, {covered['warm']}, {covered['rich']}", "", "tracked")
    )
    return rows


def _tables(found: PeriodRecords, figures: dict[str, Any]) -> list[dict[str, Any]]:
    opened = [event["data"] for _, event in found.alerts if event["data"]["state"] == "opened"]
    blamed = Counter(
        max(data["contributions"], key=data["contributions"].get) for data in opened if data["contributions"]
    )
    tables: list[dict[str, Any]] = [
        {"title": "Incidents", "head": ("kind", "opened"), "rows": list(figures["kinds"].items())},
        {
            "title": "Promise by age of the entity",
            "head": ("age", "events", "promised incidents", "opened incidents"),
            "rows": [
                (age.replace("_", " "), of["events"], f"{of['promised']:.3g}", of["opened"])
                for age, of in (figures["promise"] or {"by_age": {}})["by_age"].items()
            ],
            "note": "Incidents that rules opened are not counted. Opened incidents may be true; the promised ones are false.",
        },
        {"title": "Severities", "head": ("severity", "opened"), "rows": list(figures["severities"].items())},
        {
            "title": "Entities with the most incidents",
            "head": ("entity", "opened"),
            "rows": Counter(data["entity"] for data in opened).most_common(MOST_ROWS),
        },
        {
            "title": "Fields with the largest contribution",
            "head": ("field", "incidents"),
            "rows": blamed.most_common(MOST_ROWS),
        },
        {
            "title": "Recall by member",
            "head": ("member", "recall", "from", "to"),
            "rows": [(name, *(f"{x:.3f}" for x in share)) for name, share in figures["recall_by_member"].items()],
            "note": "Shares of all probes. Each member looks for its own kinds of anomalies only.",
        },
        {
            "title": "Rejected candidates",
            "head": ("model", "reason", "times"),
            "rows": [
                (model, why, times)
                for model, counts in figures["retraining"].items()
                for why, times in counts["rejected"].items()
            ],
        },
        {
            "title": "Models",
            "head": ("time", "model", "step", "version", "why"),
            "rows": [_step(*step) for step in found.steps if not step[1]["type"].endswith("compared")],
        },
    ]
    if found.effect is not None:
        effect = found.effect
        tables.append(
            {
                "title": "What feedback changed",
                "head": ("", "incidents"),
                "rows": [
                    ("without feedback", effect.alerts_without),
                    ("with all of it", effect.alerts_with),
                    ("avoided, found false by people", effect.avoided["false"]),
                    ("avoided, judged by nobody", effect.avoided["unjudged"]),
                    ("lost, found true by people", effect.avoided["true"]),
                    ("added", effect.added),
                ],
                "note": f"{effect.events} events scored twice: with all feedback from the first event on, and without any.",
            }
        )
    return tables


def _step(at: int, event: dict[str, Any]) -> tuple[str, ...]:
    data = event["data"]
    return (
        _moment(at),
        data["model"],
        event["type"].rpartition(".")[2].replace("_", " "),
        str(data.get("version", "")),
        str(data.get("why") or data.get("reason") or ""),
    )


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
