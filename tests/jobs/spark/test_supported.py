"""What the Spark job cannot do is refused with the key, its value, and what is allowed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from streamgauge.jobs.settings.loading import Settings
from streamgauge.jobs.spark.__main__ import main
from streamgauge.jobs.spark.supported import refuse_unsupported
from streamgauge.models.errors import SettingsError

KEY = "HHgnlu2gT4QtZBqkC3MhUnpu5OMl0qV2mvlyDxkxTA0="


def settings(**sections: Any) -> Settings:
    return Settings.model_validate({**sections, "decide": {"group_within": 0} | sections.get("decide", {})})


def test_settings_without_groups_are_fine():
    refuse_unsupported(settings())


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"decide": {"group_within": 60_000}}, "decide.group_within is 60000 ms, but must be 0"),
        ({"silence": {}}, "silence is set, but must be left out"),
        ({"windows": {"minute": {"size": 60_000}}}, "windows is ['minute'], but must be left out"),
        ({"models": {"registry": "/models", "use": {"forest": {}}}}, "models.use is ['forest'], but must be empty"),
        ({"batch": {"sharding": "entity"}}, "batch.sharding is entity, but must be partition"),
        ({"job": {"delivery": "exactly_once"}}, "job.delivery is exactly_once, but must be at_least_once"),
        ({"kafka": {"start": "committed"}}, "kafka.start is committed, but must be earliest or latest"),
        (
            {"kafka": {"topics": {"events": ("a", "b")}}},
            "kafka.topics.events is ['a', 'b'], but must be the name of one",
        ),
        (
            {"kafka": {"topics": {"events_pattern": "a.*b"}}},
            "kafka.topics.events_pattern is a.*b, but must be null",
        ),
        (
            {"feedback": {"trusted_keys": (KEY,), "sign_key_env": "KEY"}},
            "feedback.trusted_keys is set, but must be empty",
        ),
        ({"feedback": {"people": {"ann": ("judge",)}}}, "feedback.people is set, but must be null"),
    ],
)
def test_what_only_the_flink_job_does_is_refused(sections, message):
    with pytest.raises(SettingsError, match=re.escape(message)):
        refuse_unsupported(settings(**sections))


def test_all_refused_keys_are_named_at_once():
    with pytest.raises(SettingsError, match=r"job\.delivery.*silence"):
        refuse_unsupported(settings(silence={}, job={"delivery": "exactly_once"}))


def test_nothing_starts_with_refused_settings(tmp_path, capsys):
    file = tmp_path / "settings.yaml"
    file.write_text("silence: {at_least: 5 m}\n")
    assert main(["--settings", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the Spark job cannot do what these settings ask for")
    assert "silence is set" in said
    assert "decide.group_within is 300000 ms" in said
