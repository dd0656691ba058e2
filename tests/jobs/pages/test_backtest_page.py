"""The page of a backtest: its numbers are those of the alerts, and every stream and every name gives a proper page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.pages import backtest_page
from streamgauge.jobs.pages.backtest_page import duration, page
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.backtest import backtest
from streamgauge.jobs.studies.incident_series import FileSource
from streamgauge.jobs.studies.judging import openings
from streamgauge.udfs.incidents.promise import MOST

COLUMNS = Columns("pump", "ts", "broken")
ODD = '<img src=x onerror="alert(1)">&amp;$\\frac'


class Page(HTMLParser):
    """Headings, images and tables of a page; fails if an element is not closed."""

    def __init__(self, html):
        super().__init__()
        self.tables, self.headings, self.images, self.open, self.text = [], [], [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes))
        elif tag not in ("meta", "html"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        if tag != "html":
            assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside in ("td", "th"):
            self.tables[-1][-1][-1] += data
        elif inside in ("h1", "h2", "h3"):
            self.headings.append(data)
        elif inside != "style":
            self.text += data

    def table(self, first):
        """Rows of the table whose head begins with a word, as dictionaries."""
        [found] = [rows for rows in self.tables if rows[0][0] == first]
        return [dict(zip(found[0], row, strict=True)) for row in found[1:]]

    @property
    def figures(self):
        return dict(self.tables[0][1:])


def made(file, n=12_000, pumps=2):
    """A stream of pumps, with faults in both fields, an event in the past, and a field that never changes."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "ts": pd.date_range("2026-01-05", periods=n, freq="2min", tz="UTC").astype(str),
            "pump": [ODD if i % pumps else f"p{i % 7 % 2}" for i in range(n)],
            "pressure": random.normal(4, 0.5, n).round(4),
            "<rpm>": random.normal(1500, 50, n).round(2),
            "constant": 5,
            "site": "north",
            "broken": 0,
        }
    )
    frame.loc[5000:5020, ["pressure", "broken"]] = [12.0, 1]
    frame.loc[9000:9001, ["<rpm>", "broken"]] = [-9999.0, 1]
    frame.loc[10_000:10_010, "pressure"] = np.nan
    frame.loc[11_000, "ts"] = "2026-01-06 00:00:00+00:00"
    frame.to_csv(file, index=False)
    return file


def paged(files, columns=COLUMNS, settings=None, **options):
    settings = settings or Settings()
    results = backtest(files, settings, columns, **options)
    html = page(FileSource([[file] for file in files], columns, settings.event), results, settings)
    return results, Page(html), html


@pytest.fixture(scope="module")
def pumps(tmp_path_factory):
    return paged([made(tmp_path_factory.mktemp("pumps") / "pumps.csv")])


def test_the_numbers_are_those_of_the_alerts(pumps):
    [result], shown, _ = pumps
    opened = [data for alert in result.alerts if (data := json.loads(alert)["data"])["state"] == "opened"]
    assert opened
    rows = shown.table("time")
    assert shown.figures["incidents"] == str(len(opened)) == str(len(rows))
    assert shown.figures["events judged"] == str(result.counts["scored"])
    assert result.counts["scored"] + result.counts["unjudged"] == 11_999
    assert shown.figures["entities"] == str(len(set(result.entities)))
    for row, data in zip(rows, sorted(opened, key=lambda data: data["source"]["opened_offset"]), strict=True):
        field = max(data["contributions"], key=data["contributions"].get)
        assert row["row"] == str(data["source"]["opened_offset"])
        assert row["time"] == data["window"]["from"][:19].replace("T", " ")
        assert (row["entity"], row["field"], row["kind"]) == (data["entity"], field, data["kind"])
        assert float(row["actual"]) == pytest.approx(data["actual"][field], rel=1e-5)
        assert float(row["expected"]) == pytest.approx(data["expected"][field], rel=1e-5)
    assert any(row["row"] == "5000" and row["labelled"] == "yes" and row["actual"] == "12" for row in rows)
    labelled = sum(result.labels[int(row["row"])] > 0 for row in rows)
    assert shown.figures["incidents that opened on a labelled row"] == str(labelled)


def test_promised_and_opened_incidents_are_by_age_of_the_entity(pumps):
    [result], shown, _ = pumps
    ages = {row["age"]: row for row in shown.table("age")}
    assert list(ages) == ["day 1", "days 2 to 7", "later"]
    for age, row in ages.items():
        name = age.replace(" ", "_")
        assert int(row["events"]) == result.counts[f"by_age.events_{name}"]
        assert int(row["opened incidents"]) == result.counts.get(f"by_age.opened_{name}", 0)
        assert float(row["promised a day"]) == pytest.approx(
            float(row["promised incidents"]) / float(row["days"]), rel=0.02
        )
    assert [float(row["days"]) for row in ages.values()] == pytest.approx([1, 6, 12_000 / 720 - 7], rel=0.02)
    assert float(ages["later"]["promised a day"]) == pytest.approx(720 * MOST, rel=0.02)  # the stream has few events
    assert shown.figures["false incidents promised a day"] == "1"
    assert "Settings: promise 1 per day" in shown.text


def test_the_promise_is_the_same_however_often_it_is_reported(tmp_path):
    file = made(tmp_path / "pumps.csv")
    ages = [paged([file], settings=Settings(track=track))[1].table("age") for track in (None, 2000)]
    assert ages[0] == ages[1]


def test_series_with_incidents_are_drawn_and_text_from_the_data_is_escaped(pumps):
    [result], shown, html = pumps
    series = {(one.entity, one.top_field) for one in openings(result)}
    assert len(shown.images) == len(series)
    assert any(heading.startswith(f"{ODD}, <rpm>: ") for heading in shown.headings)
    assert all(image["src"].startswith("data:image/png;base64,iVBOR") for image in shown.images)
    assert "<img src=x" not in html
    assert "<rpm>" not in html
    assert not re.search(r"(src|href)=.?(http|/)", html)  # one file, and nothing else


def test_what_was_set_aside_is_counted(tmp_path):
    file = made(tmp_path / "pumps.csv", 3000)
    frame = pd.read_csv(file)
    frame.loc[2500, "ts"], frame.loc[2600:2603, "pump"] = "2026-01-05 00:00:00+00:00", ""
    lines = list(frame.to_dict("records"))
    for line in lines[2600:2603]:
        line["pressure"] = {"nested": {"deeper": 1.0}}
    (tmp_path / "pumps.jsonl").write_text("\n".join(map(json.dumps, lines)))
    [result], shown, _ = paged([tmp_path / "pumps.jsonl"])
    aside = {row["what"]: int(row["events"]) for row in shown.table("what")}
    assert aside["late: too old to be scored"] == result.counts["late"] == 1
    assert aside["dead letter: no entity"] == result.counts["dead_letters.no_entity"] == 4
    assert aside["unjudged: too little was known"] == result.counts["unjudged"]


@pytest.mark.parametrize("rows", [0, 1, 40])
def test_a_stream_without_an_incident_has_a_page(tmp_path, rows):
    frame = pd.DataFrame({"ts": pd.date_range("2026-01-05", periods=rows).astype(str), "x": 5.0, "y": np.nan})
    frame.to_csv(tmp_path / "quiet.csv", index=False)
    for columns in (Columns(time="ts"), Columns(drop=("ts",))):
        _, shown, _ = paged([tmp_path / "quiet.csv"], columns)
        assert int(shown.figures["events judged"]) >= rows - 3  # of the first ones, nothing is known
        assert shown.figures["incidents"] == "0"
        assert "No incident opened." in shown.text
        assert shown.images == []


def test_without_times_the_rows_are_numbered(tmp_path):
    made(tmp_path / "pumps.csv")
    _, shown, _ = paged([tmp_path / "pumps.csv"], Columns("pump", drop=("ts", "broken")))
    assert "time" not in shown.tables[-2][0]
    assert shown.table("row")
    assert "rows count as one second apart" in shown.text


def test_several_streams_are_told_apart_and_the_severest_series_are_shown(tmp_path, monkeypatch):
    files = [made(tmp_path / f"{name}.csv", 6000) for name in ("north", "south")]
    monkeypatch.setattr(backtest_page, "MOST_ROWS", 3)
    results, shown, _ = paged(files, processes=1)
    incidents = [openings(result) for result in results]
    assert shown.figures["streams"] == "2"
    assert shown.figures["incidents"] == str(sum(map(len, incidents)))
    rows = shown.table("time")
    assert [row["stream"] for row in rows] == sorted(row["stream"] for row in rows)
    assert len(rows) == 3
    assert {row["severity"] for row in rows} == {"critical"}
    assert f"The {sum(map(len, incidents)) - 3} least severe incidents are left out" in shown.text


def test_windows_silence_text_nested_fields_and_partitions_have_their_place(tmp_path):
    random = np.random.default_rng(3)
    n, lines = 8000, []
    for i in range(n):
        entity, far = f"e{i % 4}", i in range(6000, 6080)
        if entity == "e3" and i > 5000:
            continue  # it falls silent
        load = {"cpu": {"busy": round(random.normal(40, 2) + 50 * far, 3)}, "note": "seldom" if far else "often"}
        lines.append({"host": entity, "at": 1_767_571_200 + 60 * i, "load": load, "odd.name": random.normal()})
    (tmp_path / "hosts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    settings = Settings.model_validate(
        {
            "event": {"rename": {"odd.name": "even"}},
            "silence": {"after": 20},
            "windows": {"hour": {"size": "1h", "aggregates": {"load.cpu.busy": ["mean"]}}},
        }
    )
    [result], shown, _ = paged([tmp_path / "hosts.jsonl"], Columns("host", "at"), settings, partitions=3)
    rows = shown.table("time")
    assert len(rows) == len(openings(result))
    fields = {row["field"] for row in rows}
    assert "load.cpu.busy" in fields
    assert "seconds without an event" in fields
    for row, one in zip(rows, sorted(openings(result), key=lambda one: one.row), strict=True):
        assert row["entity"] == one.entity
        assert result.entities[int(row["row"])] == one.entity or one.first_alert.get("aggregate")


def test_a_duration_is_in_its_largest_unit():
    assert [duration(s) for s in (0, 59, 90, 5400, 129_600)] == ["0 s", "59 s", "1.5 min", "1.5 h", "1.5 days"]
