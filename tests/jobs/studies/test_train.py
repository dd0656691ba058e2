"""The data that a model is trained on: columns of files, and ranges of offsets."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

import numpy as np
import pytest
from kafka import TopicPartition
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.studies.train import newest, parsed_offsets, parsed_settings, past_of_files, past_of_topic
from streamgauge.models.errors import InputError
from streamgauge.models.training.candidate import VALIDATION_SHARE
from streamgauge.udfs.settings.event import EventSettings


def test_text_columns_and_named_columns_are_not_features(pumps):
    past = past_of_files([pumps], Columns(entity="pump", time="ts", label="broken", drop=("rpm",)))
    assert past.features == ["pressure"]
    assert past.groups[:4].tolist() == [0, 1, 2, 0]
    assert past.labels.sum() == 21


def test_lines_of_a_dump_are_read_as_the_job_reads_them(tmp_path):
    lines = [
        f'{{"pump":"p{i % 2}","ts":{1_704_067_200 + i},"load":{{"cpu":{i}}},"site":"n","on":true}}' for i in range(10)
    ]
    (tmp_path / "dump.jsonl").write_text("\n".join([*lines, "{broken"]))
    report = NotRead()
    past = past_of_files([tmp_path / "dump.jsonl"], event=EventSettings(entity="pump"), report=report)
    assert past.features == ["on", "load.cpu"]
    assert past.groups.tolist() == [0, 1] * 5
    assert past.X[:, 1].tolist() == list(range(10))
    assert (past.first, past.last) == (1_704_067_200_000, 1_704_067_209_000)
    assert [one["lines"] for one in report.as_list()] == [[11]]


@pytest.mark.parametrize("time", ["ts", None])
def test_rows_of_several_files_come_in_the_order_of_their_times(tmp_path, time):
    """The last rows judge and calibrate the model: they must not be those of the last file, which may be one machine."""
    rows = {"a": ["0,a,1,0", "2,a,3,1"], "b": ["1,b,2,0", "3,b,4,0"]}
    for name, lines in rows.items():
        (tmp_path / f"{name}.csv").write_text("\n".join(["ts,pump,x,broken", *lines]))
    columns = Columns(entity="pump", time=time, label="broken", drop=() if time else ("ts",))
    past = past_of_files([tmp_path / "a.csv", tmp_path / "b.csv"], columns)
    in_order = [[1, 2, 3, 4], [0, 1, 0, 1], [0, 0, 1, 0]] if time else [[1, 3, 2, 4], [0, 0, 1, 1], [0, 1, 0, 0]]
    assert [past.X[:, 0].tolist(), past.groups.tolist(), past.labels.tolist()] == in_order


def test_offsets_and_settings_are_read_as_written():
    assert parsed_offsets(["0:5-9", "3:0-1"]) == {0: (5, 9), 3: (0, 1)}
    for wrong in ("0:9-5", "x", "0:1"):
        with pytest.raises(InputError, match="PARTITION:FROM-TO"):
            parsed_offsets([wrong])
    assert parsed_settings(["hidden=8", "trim=0.1", "nu=null"]) == {"hidden": 8, "trim": 0.1, "nu": None}


def test_the_newest_events_come_from_all_partitions_as_evenly_as_possible():
    assert newest({0: (0, 10), 1: (0, 1000), 2: (500, 1500)}, 410) == {0: (0, 10), 1: (800, 1000), 2: (1300, 1500)}
    assert newest({0: (3, 3), 1: (0, 5)}, 100) == {0: (3, 3), 1: (0, 5)}


class Partitions:
    """A consumer of a topic; `sizes` are the events of each partition. An event holds its partition and its offset."""

    def __init__(self, sizes):
        self.sizes, self.place, self.at = sizes, None, 0

    def partitions_for_topic(self, _):
        return set(range(len(self.sizes)))

    def beginning_offsets(self, places):
        return dict.fromkeys(places, 0)

    def end_offsets(self, places):
        return {place: self.sizes[place.partition] for place in places}

    def assign(self, places):
        [self.place] = places

    def seek(self, _, offset):
        self.at = offset

    def position(self, _):
        return self.at

    def poll(self, _):
        number, begin = self.place.partition, self.at
        self.at = self.sizes[number]
        return {TopicPartition("events", number): [self.record(number, offset) for offset in range(begin, self.at)]}

    def record(self, partition, offset):
        values = {"entity": f"e{partition}", "partition": partition, "offset": offset}
        stamp = 1_760_000_000_000 + 1000 * offset
        value = json.dumps(values).encode()
        return SimpleNamespace(
            topic="events", partition=partition, offset=offset, timestamp=stamp, key=None, value=value
        )


@pytest.mark.parametrize("sizes", [(80, 80, 80), (80, 0, 40), (8, 400)])
def test_the_last_part_of_the_events_of_a_topic_is_the_last_part_of_each_partition(sizes, monkeypatch):
    """It judges and calibrates the model. The entities of one partition say nothing of the others."""
    monkeypatch.setattr(clients, "consumer", lambda *_, **__: contextlib.nullcontext(Partitions(sizes)))
    past = past_of_topic(Settings(), "events")
    partitions, offsets = (past.X[:, past.features.index(name)] for name in ("partition", "offset"))
    cut = len(past.X) - int(VALIDATION_SHARE * len(past.X))
    for partition, size in enumerate(sizes):
        mine = np.flatnonzero(partitions == partition)
        assert offsets[mine].tolist() == list(range(size))
        assert (mine >= cut).sum() == pytest.approx(VALIDATION_SHARE * size, abs=1)
        assert len(set(past.groups[mine])) == min(size, 1)
    assert past.source == f"events {', '.join(f'{p}:0-{size}' for p, size in enumerate(sizes))}"
