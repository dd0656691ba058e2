"""The data that a model is trained on: columns of files, and ranges of offsets."""

from __future__ import annotations

import pytest
from streamgauge.jobs.files.not_read import NotRead
from streamgauge.jobs.files.read_files import Columns
from streamgauge.jobs.studies.train import newest, parsed_offsets, parsed_settings, past_of_files
from streamgauge.models.errors import InputError
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


def test_offsets_and_settings_are_read_as_written():
    assert parsed_offsets(["0:5-9", "3:0-1"]) == {0: (5, 9), 3: (0, 1)}
    for wrong in ("0:9-5", "x", "0:1"):
        with pytest.raises(InputError, match="PARTITION:FROM-TO"):
            parsed_offsets([wrong])
    assert parsed_settings(["hidden=8", "trim=0.1", "nu=null"]) == {"hidden": 8, "trim": 0.1, "nu": None}


def test_the_newest_events_come_from_all_partitions_as_evenly_as_possible():
    assert newest({0: (0, 10), 1: (0, 1000), 2: (500, 1500)}, 410) == {0: (0, 10), 1: (800, 1000), 2: (1300, 1500)}
    assert newest({0: (3, 3), 1: (0, 5)}, 100) == {0: (3, 3), 1: (0, 5)}
