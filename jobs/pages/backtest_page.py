"""The page of a backtest or a preview: the promise and what came, the incidents on their series, and what was set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment
from streamgauge.jobs.pages.html import COLOURS, STYLE
from streamgauge.jobs.pages.series_plot import draw
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import Backtest, achieved_by_age, days_of, summary
from streamgauge.jobs.studies.incident_series import Source, incident_series, severest
from streamgauge.jobs.studies.judging import Opening, openings
from streamgauge.udfs.incidents.kinds import SEVERITIES

MOST_ROWS = 300  # of the table of incidents
MOST_NAMES = 8  # of files in the heading
LONGEST = 60  # characters of a value
BY_ROWS = {"precision": "precision", "recall": "recall", "roc_auc": "ROC AUC", "pr_auc": "PR AUC"}
SHAPES = dict(zip(SEVERITIES, "●■▲◆", strict=True))

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Streamgauge {{ kind|lower }}</title>
{{ style|safe }}
<style>h3{font-size:1rem;margin:1.2rem 0 0;overflow-wrap:anywhere}td{overflow-wrap:anywhere}.text td,.text th{text-align:left}
body{max-width:1200px}</style>
<h1>{{ kind }}: {{ names }}</h1>
<p class="sub">{{ events }} events{{ period }}. Settings: {{ promise }}.</p>
{% for note in notes %}<p>{{ note }}</p>
{% endfor %}{% macro table(head, rows, kind="") %}<table class="{{ kind }}"><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>{% endmacro %}
<h2>Summary</h2>{{ table(("", ""), figures) }}
{% if ages %}<h2>Promise by age of the entity</h2>
{{ table(("age", "events", "days", "promised incidents", "opened incidents", "promised a day", "opened a day"), ages) }}
<p class="sub">Age is the time since the entity's first event. Days are those with entities of this age. Promised incidents are false ones
that the thresholds in force allow; a stream of few events is allowed fewer than the settings promise. Opened incidents may be true.
Incidents that rules opened, and silent entities, are not counted.</p>{% endif %}
{% if levers %}<h2>Settings that change this</h2>{{ table(("key", "now", "what it changes"), levers, "text") }}{% endif %}
<h2>Incidents on their series</h2>
{% if series %}<p class="sub">Colour is the kind:
{% for kind, colour in colours.items() %}<span style="color:{{ colour }}">●</span> {{ kind }}{{ ', ' * (not loop.last) }}{% endfor %}.
Shape is the severity: {% for severity, shape in shapes.items() %}{{ shape }} {{ severity }}{{ ', ' * (not loop.last) }}{% endfor %}.
A bar at the bottom shows how long an incident was open.{% if labelled %} Yellow: labelled.{% endif %}
Each series shows the incidents in which its field has the largest part.</p>
{% for one in series %}<h3>{{ one.title }}</h3><div class="wide"><img alt="{{ one.title }}" src="data:image/png;base64,{{ one.png }}"></div>
{% endfor %}{% if more_series %}<p class="sub">{{ more_series }} more series have incidents.</p>{% endif %}
{% else %}<p>No incident opened.</p>{% endif %}
{% if incidents %}<h2>Incidents</h2>{{ table(head, incidents, "text") }}
{% if left_out %}<p class="sub">The {{ left_out }} least severe incidents are left out. The option --alerts writes all of them.</p>
{% endif %}{% endif %}
<h2>Not judged, or set aside</h2>
{% if aside %}{{ table(("what", "events"), aside) }}{% else %}<p>Every event was judged.</p>{% endif %}
</html>
"""


def page(
    source: Source,
    results: list[Backtest],
    settings: Settings,
    kind: str = "Backtest",
    notes: Iterable[str] = (),
) -> str:
    """The HTML page.

    Parameters
    ----------
    source : Source
        Where the streams came from. The values in the plots are read from it once more.
    results : list of Backtest
        One for each stream.
    settings : Settings
        As they were in the backtest.
    kind : {"Backtest", "Preview"}
        The first word of the heading.
    notes : iterable of str
        Sentences below the heading.
    """
    timed, names = source.timed, source.names
    labelled = any(result.labels is not None for result in results)
    found = [openings(result) for result in results]
    shown = incident_series(source, results, found)
    # A stream is named where it is not the only one, and where its name is not that of its entity.
    several = len(results) > 1 and any(one.entity != names[stream] for stream, of in enumerate(found) for one in of)
    series = [
        {
            "title": _title(one.entity, one.field, names[one.stream] if several else None, len(one.incidents)),
            "png": draw(one, results[one.stream], timed),
        }
        for one in shown
    ]
    all_series = {(stream, one.entity, one.top_field) for stream, of in enumerate(found) for one in of}
    listed = sorted(
        ((severest(one), stream, one) for stream, of in enumerate(found) for one in of), key=lambda row: -row[0]
    )[:MOST_ROWS]
    listed.sort(key=lambda row: (row[1], row[2].row))
    head: tuple[str, ...] = (
        "time" if timed else "",
        "partition/offset" if source.by_offset else "row",
        "stream" if several else "",
        "entity",
        "field",
        "kind",
        "channel",
    )
    head += ("severity", "actual", "expected", "open for", "labelled" if labelled else "")
    kept = [place for place, name in enumerate(head) if name]
    rows = [_row(one, results[stream], names[stream], source.by_offset) for _, stream, one in listed]
    return (
        Environment(autoescape=True)
        .from_string(PAGE)
        .render(
            style=STYLE,
            kind=kind,
            notes=list(notes),
            levers=_levers(settings, found),
            names=", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" * (len(names) > MOST_NAMES)),
            events=sum(len(result.entities) for result in results),
            period=_period(results) if timed else "; rows count as one second apart",
            promise=_promise(settings),
            figures=_figures(results, found),
            ages=_ages(results),
            series=series,
            colours=COLOURS,
            shapes=SHAPES,
            labelled=labelled,
            more_series=len(all_series) - len(shown),
            head=[head[place] for place in kept],
            incidents=[[row[place] for place in kept] for row in rows],
            left_out=sum(map(len, found)) - len(listed),
            aside=_aside(results),
        )
    )


def _title(entity: str, field: str | None, stream: str | None, incidents: int) -> str:
    of = "" if field is None else f", {_short(field)}"
    where = "" if stream in (None, entity) else f" ({_short(stream)})"
    return f"{_short(entity)}{of}{where}: {incidents} incident{'s' * (incidents != 1)}"


def _promise(settings: Settings) -> str:
    decide = settings.decide
    return f"promise {decide.promise}" if decide.threshold is None else f"threshold {decide.threshold:g}"


def _period(results: list[Backtest]) -> str:
    times = [
        time for result in results for time in (result.times[result.in_time][:1], result.times[result.in_time][-1:])
    ]
    ends = [int(time[0]) for time in times if len(time)]
    return f", from {_moment(min(ends))} to {_moment(max(ends))}" if ends else ""


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


# ---- figures ------------------------------------------------------------------------------------------------------------


def _figures(results: list[Backtest], found: list[list[Opening]]) -> list[tuple[str, str]]:
    figures = summary(results)
    severities = Counter(SEVERITIES[severest(one)] for of in found for one in of)
    by_severity = ", ".join(f"{severities[name]} {name}" for name in reversed(SEVERITIES) if severities[name])
    kinds = Counter(one.kind for of in found for one in of).most_common()
    rows = [
        ("events judged", str(figures.get("scored", 0))),
        ("entities", str(figures["entities"])),
        ("incidents", str(sum(map(len, found)))),
        ("incidents by severity", by_severity),
        ("incidents by kind", ", ".join(f"{n} {kind}" for kind, n in kinds)),
    ]
    if len(results) > 1:
        rows.insert(0, ("streams", str(len(results))))
    if days := days_of(results):
        opened = sum(of["opened"] for of in achieved_by_age(results).values())
        promised = sum(of.promise["promised"] * days_of([of]) for of in results if of.promise) / days
        each = " and stream" * (len(results) > 1)
        rows.append((f"false incidents promised a day{each}", f"{promised:.3g}"))
        rows.append((f"incidents opened by evidence a day{each}", f"{opened / days:.3g}"))
    if "labelled_rows" in figures:
        inside = sum(
            bool(result.labels[one.row] > 0)
            for result, of in zip(results, found, strict=True)
            for one in of
            if result.labels is not None
        )
        rows.append(("labelled rows", str(figures["labelled_rows"])))
        rows.append(("incidents that opened on a labelled row", str(inside)))
        rows += [(f"{shown}, by rows", f"{figures[name]:.3f}") for name, shown in BY_ROWS.items() if name in figures]
    return [(name, value or "none") for name, value in rows]


def _ages(results: list[Backtest]) -> list[tuple[str, ...]]:
    def a_day(number: float, days: float) -> str:
        return f"{number / days:.3g}" if days else "-"

    return [
        (
            age.replace("_", " "),
            str(of["events"]),
            f"{of['days']:.2f}",
            f"{of['promised']:.3g}",
            str(of["opened"]),
            a_day(of["promised"], of["days"]),
            a_day(of["opened"], of["days"]),
        )
        for age, of in achieved_by_age(results).items()
        if of["events"]
    ]


def _levers(settings: Settings, found: list[list[Opening]]) -> list[tuple[str, str, str]]:
    """Settings that change how many incidents there are; none if there is no incident."""
    fields = Counter(one.top_field for of in found for one in of if one.top_field)
    if not any(found):
        return []
    decide = settings.decide
    key, now = ("promise", decide.promise) if decide.threshold is None else ("threshold", f"{decide.threshold:g}")
    rows = [(f"decide.{key}", now, "How many false incidents may open: a smaller number gives fewer incidents.")]
    if fields:
        name, n = fields.most_common(1)[0]
        field, incidents = _short(name), f"{n} of {sum(map(len, found))} incidents are about it most"
        effect = decide.fields.get(name)
        smallest = effect.model_dump_json(exclude_defaults=True) if effect else "every deviation counts"
        rows.append((f"decide.fields, {field}", smallest, f"Which deviations of {field} count: {incidents}."))
        rows.append(("event.ignore", ", ".join(settings.event.ignore) or "none", "Fields that are not looked at."))
    hits = f"{decide.hits} of {decide.within}"
    rows.append(
        ("decide.hits, within", hits, "Anomalous events that open an incident: more of them wait for a repetition.")
    )
    return rows


def _aside(results: list[Backtest]) -> list[tuple[str, int]]:
    counts = summary(results)
    rows = []
    for name, n in sorted(counts.items()):
        what, _, reason = name.partition(".")
        if what == "dead_letters":
            rows.append((f"dead letter: {reason.replace('_', ' ')}", n))
        elif what == "muted":
            rows.append((f"anomalous, but suppressed: {reason.replace('_', ' ')}", n))
    rows.append(("late: too old to be scored", counts.get("late", 0)))
    rows.append(("quarantined: scored, but not learned", counts.get("held_back", 0)))
    rows.append(("unjudged: too little was known", counts.get("unjudged", 0)))
    rows.append(("unread: no field of the event is looked at", counts.get("unread", 0)))
    rows.append(("skipped: the record holds no event", counts.get("skipped", 0)))
    return [row for row in rows if row[1]]


# ---- the table of incidents ---------------------------------------------------------------------------------------------


def _row(one: Opening, result: Backtest, stream: str, by_offset: bool) -> tuple[str, ...]:
    first, last, name = one.first_alert, one.last_alert, one.top_field
    since, to = (datetime.fromisoformat(edge) for edge in (first["window"]["from"], last["window"]["to"]))
    if one.is_open:
        to = max(to, datetime.fromtimestamp(int(result.times[result.in_time].max()) / 1000, UTC))
    state = ", open at the end" if one.is_open else ", retracted" if last["state"] == "retracted" else ""
    return (
        f"{since:%Y-%m-%d %H:%M:%S}",
        f"{result.partitions[one.row]}/{result.offsets[one.row]}" if by_offset else str(one.row),
        stream,
        _short(one.entity),
        _short(name),
        one.kind,
        _short(first.get("channel")),
        last["severity"],
        _short(first["actual"].get(name)),
        _short(first["expected"].get(name)),
        duration((to - since).total_seconds()) + state,
        "yes" if result.labels is not None and result.labels[one.row] > 0 else "",
    )


def _short(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def duration(seconds: float) -> str:
    """A duration in its largest unit."""
    for unit, size in (("days", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
