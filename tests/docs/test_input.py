"""Every example of docs/input.md is read as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from streamgauge.jobs.settings.loading import Settings
from streamgauge.udfs.events.reader import Reader
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.events.schema import Alignment

PAGE = (Path(__file__).parents[2] / "docs" / "input.md").read_text()
NOW = 1_795_946_400_000


def sections():
    """Heading, records and settings of each section with examples."""
    for part in re.split(r"^##+ ", PAGE, flags=re.MULTILINE)[1:]:
        records = re.findall(r"```json\n(.*?)\n```", part, re.DOTALL)
        settings = re.findall(r"```yaml\n(.*?)```", part, re.DOTALL)
        if records:
            assert len(settings) == 1, part[:60]
            yield part.split("\n")[0], [record.encode() for record in records], YAML(typ="safe").load(settings[0])


def batch(payloads):
    n = len(payloads)
    return RawBatch(payloads, np.zeros(n, np.int64), np.arange(n), np.full(n, NOW), [b"k1"] * n)


@pytest.mark.parametrize(("name", "records", "values"), [pytest.param(*one, id=one[0]) for one in sections()])
@pytest.mark.parametrize("given_format", [True, False], ids=["format named", "format recognised"])
def test_the_settings_of_a_sender_read_its_records(name, records, values, given_format):
    values = json.loads(json.dumps(values))
    if not given_format:
        values["event"].pop("format", None)
    settings = Settings.model_validate(values).event
    for record in records:
        events, dead = Reader(settings).read(batch([record]))
        assert dead == []
        assert len(events) >= 1
        assert not any(remark.change == "untimed" for remark in events.remarks)
        assert set(events.times.tolist()) <= {NOW}
        alignment = Alignment(settings)
        matrices = [X for _, _, X in alignment.matrices(events, [])]
        assert alignment.schema.numeric
        assert not any(np.isnan(X).all(axis=1).any() for X in matrices)


def test_each_format_has_a_section():
    named = {values["event"]["format"] for _, _, values in sections() if "format" in values["event"]}
    assert named == {"debezium", "connect", "cloudevents", "otlp", "telegraf", "prometheus"}


def test_the_table_of_entities_says_what_the_reader_finds():
    record = b'{"region": "eu", "host": "web1", "n": 42.0}'
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)`", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for entity, expected in rows:
        settings = Settings.model_validate({"event": {"entity": YAML(typ="safe").load(entity)}}).event
        assert Reader(settings).read(batch([record]))[0].entities == [expected]
