"""An error in the settings names the key, the value, and what is allowed."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from streamgauge.jobs.settings.limits import check
from streamgauge.jobs.settings.loading import Settings, as_file, load, parsed, validated
from streamgauge.models.errors import SettingsError
from streamgauge.udfs.settings.detectors import DetectorSettings

CONF = Path(__file__).parents[3] / "flink-conf"


def test_the_file_in_the_repository_holds_the_defaults():
    assert load(CONF / "detection.yaml", {}) == Settings()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"kafka": {"bootstrp": "x"}},
            r"kafka.bootstrp: there is no such key .did you mean bootstrap\?.; allowed here: bootstrap, group, start",
        ),
        ({"kafcka": {}}, r"kafcka: there is no such key .did you mean kafka\?.; allowed here: event, entity"),
        (
            {"decide": {"rules": [{"id": "a", "when": "x > 1", "field": "x"}]}},
            "decide.rules.0.field: there is no such key; allowed here: id, when, severity",
        ),
        (
            {"decide": {"fields": {"x": {"dir": "above"}}}},
            r"decide.fields.x.dir: there is no such key.*; allowed here: direction, absolute, relative",
        ),
        ({"decide": {"rules": [{"id": "a", "when": "x >"}]}}, "decide.rules.0.when: 'x >' is no expression: 1:4"),
        (
            {"batch": {"window": "10 parsecs"}},
            "batch.window: a duration is a number and a unit: 10 ms, 5 s.*'10 parsecs'",
        ),
        (
            {"retrain": {"candidates": ["isolation_forest", "oracle"]}},
            "retrain.candidates: 'oracle' is none that is trained; these are: isolation_forest, one_class_svm",
        ),
        ({"batch": {"sharding": "random"}}, "batch.sharding: Input should be 'partition' or 'entity' .is 'random'"),
        (
            {"decide": {"time_zone": "Europe/Belin"}},
            "decide.time_zone: 'Europe/Belin' is no time zone; .* UTC or Europe/Berlin; the nearest name is Europe/Berlin$",
        ),
        (
            {"decide": {"calendar": "2026-12-25"}},
            "decide.calendar: allowed is a list of dates such as .* path of an .ics file .is '2026-12-25'",
        ),
        ({"decide": {"calendar": ["25.12."]}}, r"decide.calendar: '25.12.' is no date; allowed is .* .is \['25.12.'\]"),
        ({"decide": {"calendar": "none.ics"}}, "decide.calendar: cannot read none.ics: No such file .*is 'none.ics'"),
        (
            {"decide": {"promise": "0 per day"}},
            "decide.promise: a promise is a number above 0 .* 1 per week per entity .is '0 per",
        ),
        ({"decide": {"promise": "1 per minute"}}, "decide.promise: .* per hour, day, week or month.*'1 per minute'"),
        ({"decide": {"promise": 3}}, "decide.promise: .*1 per day, 2 per hour.*is 3"),
        ({"decide": {"budget": 20}}, "decide.budget: there is no budget .* write `promise: 20 per day` instead"),
        ({"decide": {"budget": None}}, "decide.budget: .* leave the key out, or write `promise: 1 per day` instead"),
        ({"decide": {"threshold": 1.5}}, r"decide.threshold: Input should be less than 1 .is 1.5"),
        (
            {"detectors": {"half_space_trees": {"height": 99}}},
            "half_space_trees.height: .* less than or equal to 20 .is 99",
        ),
        (
            {"detectors": {"half_space_trees": {"hight": 9}}},
            r"hight: there is no such key .did you mean height\?.; allowed here: weight, streams, n_trees",
        ),
        ({"job": {"parallelism": 9}}, "job.parallelism is 9, but at most one task for each of the 2 shards"),
        ({"detectors": dict.fromkeys(DetectorSettings.model_fields)}, "at least one is needed"),
        (
            {"detectors": {"half_space_trees": {"n_trees": 1000, "height": 16}}},
            "detectors.half_space_trees would take 29.. MB for each partition .* 500 MB are allowed",
        ),
        (
            {"event": {"max_fields": 4096}, "detectors": {"half_space_trees": {"window_size": 100_000}}},
            "detectors.half_space_trees would take .* with event.max_fields 4096",
        ),
        (
            {"detectors": {"levels": {"half_life": 1e18}}},
            r"levels.half_life: .* less than or equal to 1000000000000 .is 1e",
        ),
        (
            {"detectors": {"rolling_z_score": {"half_life": 1e18}}},
            "rolling_z_score.half_life: .* less than or equal to",
        ),
        ({"detectors": {"loda": {"seed": -1}}}, r"loda.seed: .* greater than or equal to 0 .is -1"),
        ({"detectors": {"online_isolation_forest": {"seed": 2**63 - 1}}}, "seed: .* less than or equal to 4294967295"),
        (
            {"event": {"metric": "name", "value": "name"}},
            "event: event.metric and event.value are both 'name': they must name two fields",
        ),
        (
            {"event": {"format": "xml"}},
            "^here: event.format: Input should be 'auto', .* or 'json_schema' .is 'xml'.$",
        ),
        ({"event": {"entity": 5}}, "^here: event.entity: must be text; .*; event.entity: must be a list .is 5.$"),
        ({"kafka": {"topics": {"events": ["a", 5]}}}, "; kafka.topics.events.1: must be text; .* .is 5.$"),
        ({"event": {"fields": {"str": {"type": 5}}}}, "^here: event.fields.str.type: Input should be 'number'"),
        ({"windows": {"hourly": {}}}, "^here: windows.hourly.size: must be given$"),
        ({"windows": {"a b": {"size": "1 h"}}}, "^here: windows.a b: this name is not allowed: .* match pattern"),
        ({"models": {"use": {"pumps": {}}}}, "models.*registry: models are used, so it must be named"),
        (
            {"models": {"registry": "r", "use": {"pumps": {"variant": "int8"}}}},
            r"models.use.pumps.variant: the variants int8 and student were removed \(docs/adr/017\): leave the key out",
        ),
        (
            {"retrain": {"candidates": ["gan"]}},
            "'gan' is none that is trained, which was removed .*: train gaussian_mixture",
        ),
        ({"detectors": {"first_seen_category": {"bits": 1000000}}}, "bits: must be a power of two"),
        ({"kafka": {"topics": {"alerts": "events"}}}, "each topic needs a name of its own, events is used twice"),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(values, words):
    with pytest.raises(SettingsError, match=words):
        validated(values, "here")


def test_all_wrong_settings_are_named_at_once():
    with pytest.raises(SettingsError, match=r"threshold.*window"):
        validated({"batch": {"window": 0}, "decide": {"threshold": 2}}, "here")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("entity: {forget_after: 30}", "entity.forget_after: 30 has no unit: write 30 ms, 30 s, 30 m, 30 h or 30 d$"),
        ("entity: {forget_after: '30'}", "entity.forget_after: 30 has no unit"),
        ("batch: {window: 0.5}", "batch.window: 0.5 has no unit"),
        (
            "windows: {hour: {size: 60, every: 5}}",
            "windows.hour.size: 60 has no unit.*windows.hour.every: 5 has no unit",
        ),
        ("event: {late_after: 1:30}", "event.late_after: a duration is a number and a unit: .* .is '1:30'"),
        ("batch: {window: {a: 1}}", "batch.window: a duration is a number and a unit: 10 ms, 5 s, 2 m, 1 h or 30 d$"),
        (
            "decide: {maintenance: [{start: tomorrow, end: 2026-11-23}]}",
            "decide.maintenance.0.start: Input should be a valid datetime .is 'tomorrow'",
        ),
        (
            "decide: {maintenance: [{start: 2026-11-22, end: 2026-11-23}]}",
            "decide.maintenance.0: start and end need a zone",
        ),
        ("event: {max_past: -5}", "event.max_past: a duration is at least 0, and at most 36500 d .is -5"),
        ("entity: {forget_after: 10 ms}", "entity.forget_after: .* greater than or equal to 1 s .is '10 ms'"),
        ("batch: {window: 2 m}", "batch.window: .* less than or equal to 1 m .is '2 m'"),
        ("service: {score: yes}", "service.score: write true or false .is 'yes'"),
        (
            "service: {scores_thin_after: 7 d}",
            "service.scores_thin_after: must be shorter than service.scores_keep: after that, scores are removed",
        ),
        ("service: {score: 1}", "service.score: write true or false .is 1"),
        ("batch: {shards: true}", "batch.shards: must be a whole number without quotes .is true"),
        ("batch: {shards: '2'}", "batch.shards: must be a whole number without quotes .is '2'"),
        ("batch: {shards: 1_0}", "batch.shards: must be a whole number without quotes .is '1_0'"),
        ("detectors: {loda: {weight: '1'}}", "detectors.loda.weight: must be a number without quotes .is '1'"),
        ("kafka: {group: 010}", "kafka.group: must be text; put a number, .* in quotes .* .is 10"),
        ("event: {ignore: a}", "event.ignore: must be a list .is 'a'"),
        ("event: {fields: a}", "event.fields: must be a section: lines with a key, a colon and a value .is hidden"),
        ("kafka: 5", "kafka: must be a section: lines with a key, a colon and a value .is hidden"),
        (
            "models: {use: {pumps: {shadw: next}}}",
            r"models.use.pumps.shadw: there is no such key .did you mean shadow\?",
        ),
        ("service: {oidc: {audience: a}}", "service.oidc.issuer: must be given; service.oidc.roles: must be given"),
    ],
)
def test_a_file_is_taken_as_it_is_written(tmp_path, text, words):
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        load(file, {})


def test_the_environment_is_read_as_strictly_as_a_file():
    for name, text, words in (
        ("ENTITY__FORGET_AFTER", "30", "entity.forget_after: 30 has no unit"),
        ("SERVICE__SCORE", "on", "service.score: write true or false"),
        ("KAFKA__PROPERTIES", "{a: x, a: y}", "STREAMGAUGE__KAFKA__PROPERTIES is no valid YAML: .* a is there twice"),
        ("SERVICE__TOKEN", "%x", "STREAMGAUGE__SERVICE__TOKEN is no valid YAML: line 1, column .* single quotes"),
    ):
        with pytest.raises(SettingsError, match=words):
            load(None, {f"STREAMGAUGE__{name}": text})


def test_a_file_may_hold_numbers_in_any_notation_and_a_duration_of_0_without_unit(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("entity: {most: 2e+06}\nbatch: {shards: 010}\nevent: {late_after: 0}\nsilence: {after: 3}\n")
    settings = load(file, {})
    assert (settings.entity.most, settings.batch.shards, settings.event.late_after) == (2_000_000, 10, 0)


def test_a_window_is_repeated_after_its_size_unless_told_otherwise():
    settings = parsed("windows: {hour: {size: 1 h, aggregates: {x: [sum]}}, slide: {size: 1 h, every: 10 m}}", "here")
    assert [(w.size, w.every) for w in settings.windows.values()] == [(3_600_000, 3_600_000), (3_600_000, 600_000)]


def test_settings_that_are_written_as_a_file_are_read_back_as_they_were():
    settings = parsed(
        "kafka: {group: yes, properties: {a: '010'}}\nentity: {forget_after: 90 s}\nservice: {port: 9000}\n"
        "decide: {calendar: [2026-12-25], maintenance: [{start: 2026-11-22T22:00:00Z, end: 2026-11-23T02:00:00Z}]}",
        "here",
    )
    text = as_file(settings, {"batch": {"shards": 4}, "silence": {"after": 5}})
    found = parsed(text, "there")
    assert (found.batch.shards, found.silence.after, found.service) == (4, 5.0, Settings().service)
    assert (
        found.model_copy(update={name: getattr(settings, name) for name in ("batch", "silence", "service")}) == settings
    )
    assert "forget_after: 90 s" in text


def test_the_environment_overrides_the_file(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("kafka: {bootstrap: 'a:1', group: g}\n")
    environment = {
        "STREAMGAUGE__KAFKA__BOOTSTRAP": "b:2",
        "STREAMGAUGE__DETECTORS__HALF_SPACE_TREES__N_TREES": "3",
        "STREAMGAUGE__DETECTORS__ROLLING_Z_SCORE": "null",
        "OTHER": "x",
    }
    settings = load(file, environment)
    assert (settings.kafka.bootstrap, settings.kafka.group) == ("b:2", "g")
    assert settings.detectors.half_space_trees.n_trees == 3
    assert settings.detectors.rolling_z_score is None


def test_a_variable_finds_a_name_with_capital_letters_that_the_file_has(tmp_path):
    file = tmp_path / "s.yaml"
    file.write_text("event: {fields: {Flow: {type: number}, Heat: {type: number}, HEAT: {type: number}}}\n")
    for part, name in (("Flow", "Flow"), ("FLOW", "Flow"), ("Heat", "Heat"), ("HEAT", "HEAT"), ("Speed", "speed")):
        variable = f"STREAMGAUGE__EVENT__FIELDS__{part}"
        fields = load(file, {variable: "text"}).event.fields
        assert {key for key, field in fields.items() if field.type == "text"} == {name}, part
        assert load(file, {f"{variable}__TYPE": "text"}).event.fields == fields
    with pytest.raises(SettingsError, match="FIELDS__heat: 'heat' may be 'Heat' or 'HEAT': write it as one of these"):
        load(file, {"STREAMGAUGE__EVENT__FIELDS__heat": "text"})
    assert load(file, {"STREAMGAUGE__EVENT__FIELDS": "{Flow: text}"}).event.fields["Flow"].type == "text"


def test_holidays_are_dates_of_the_yaml_file_or_a_calendar_file(tmp_path):
    file, holidays = tmp_path / "s.yaml", tmp_path / "h.ics"
    event = "BEGIN:VEVENT\nUID:1\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\n"
    holidays.write_text(f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{event}END:VCALENDAR\n")
    file.write_text("decide: {time_zone: Europe/Berlin, calendar: [2027-01-01, '2026-12-25']}\n")
    decide = load(file, {}).pipeline(2).decide
    assert (decide.time_zone, decide.calendar) == ("Europe/Berlin", (date(2026, 12, 25), date(2027, 1, 1)))
    settings = load(file, {"STREAMGAUGE__DECIDE__CALENDAR": str(holidays)})
    assert settings.decide.calendar == settings.pipeline(2).decide.calendar == (date(2026, 12, 25),)


def test_default_detectors_are_within_all_limits_so_numerical_libraries_are_not_loaded_to_check_them():
    check(Settings())
    program = "import sys; from streamgauge.jobs.settings.loading import load; load(environment={}); print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_wrong_value_from_the_environment_is_named_by_its_key():
    with pytest.raises(SettingsError, match=r"decide\.threshold"):
        load(CONF / "detection.yaml", {"STREAMGAUGE__DECIDE__THRESHOLD": "high"})


def test_a_file_that_cannot_be_read_as_settings_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="cannot read the settings file"):
        load(tmp_path / "none.yaml", {})
    for text, words in (("a: [", "no valid YAML"), ("- 1", "must hold sections")):
        file = tmp_path / "x.yaml"
        file.write_text(text)
        with pytest.raises(SettingsError, match=words):
            load(file, {})


@pytest.mark.parametrize(
    ("text", "milliseconds"), [("10 ms", 10), ("1.5s", 1500), ("2 m", 120_000), ("1h", 3_600_000), (250, 250)]
)
def test_a_duration_is_a_number_with_a_unit_or_milliseconds(text, milliseconds):
    assert validated({"event": {"late_after": text}}, "here").event.late_after == milliseconds


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Settings().kafka.bootstrap = "x"


@pytest.mark.parametrize(("delivery", "milliseconds"), [("exactly_once", 1000), ("at_least_once", 10_000)])
def test_the_default_checkpoint_interval_follows_from_the_delivery(delivery, milliseconds):
    assert validated({"job": {"delivery": delivery}}, "here").job.checkpoint_milliseconds == milliseconds


@pytest.mark.parametrize(
    ("promise", "partitions", "share"),
    [
        ("20 per day", 1, "20 per day"),
        ("20 per day", 4, "5 per day"),
        ("1 per month", 4, "0.25 per month"),
        ("1 per week per entity", 4, "1 per week per entity"),
    ],
)
def test_the_promise_for_the_stream_is_shared_evenly_by_the_partitions(promise, partitions, share):
    assert validated({"decide": {"promise": promise}}, "the test").pipeline(partitions).decide.promise == share


def test_a_share_of_a_promise_is_a_promise_whatever_its_size():
    settings = validated({"decide": {"promise": "1e-3 per month"}}, "the test")
    assert settings.pipeline(128).decide.false_incidents.a_day == pytest.approx(1e-3 / 30 / 128)
    assert validated({}, "the test").decide.threshold is None
