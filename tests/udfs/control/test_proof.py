"""The job believes feedback about its own alerts only, from those who may give it, and no more than a day's share."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from streamgauge.jobs.kafka.feedback import about
from streamgauge.models.errors import SettingsError
from streamgauge.models.persistence.signature import public_text, signature
from streamgauge.udfs.control.feedback import Feedback, Source, Told, known_from, parse_feedback
from streamgauge.udfs.control.proof import FeedbackRefusedError, Gate, told_by
from streamgauge.udfs.entities.columns import AGE, QUARANTINED_AFTER, RELEASED, STATUS
from streamgauge.udfs.pipeline.task import Job, Task
from streamgauge.udfs.settings.feedback import FeedbackSettings
from streamgauge.udfs.settings.pipeline import PipelineSettings
from streamgauge.udfs.settings.topics import EventTopics

from tests.streams import SMALL, batch, stream

OURS, FOREIGN = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
START = datetime(2026, 11, 22, 10, tzinfo=UTC)
TRUST = FeedbackSettings(trusted_keys=(public_text(OURS),), sign_key_env="KEY")


def pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def told(alert="a1", key=OURS, **more):
    facts = {"state": "opened", "entity": "e", "kind": "point", "day": "2026-11-22", "tail_probability": 1e-5}
    facts |= {"effect": 5.0, "field": "x", "agreed": ("loda",), "source": Source(partition=0, first=3, last=4)}
    one = Told(alert_id=alert, **facts | more)
    return one if key is None else one.model_copy(update={"signature": signature(one.signed_part, key)})


def said(alert="a1", verdict="false", by="ann", at=0, *further, **more):
    known = known_from((told(alert, **more), *further))
    return Feedback(**known, verdict=verdict, by=by, at=START + timedelta(seconds=at))


def admitted(gate, *messages):
    """Which messages are let in; those that are in force already are, too."""
    found = []
    for message in messages:
        try:
            gate.admit(message)
            found.append(True)
        except FeedbackRefusedError:
            found.append(False)
    return found


# ---- proofs -----------------------------------------------------------------------------------------------------------


def test_feedback_about_an_alert_that_the_job_signed_is_believed():
    assert admitted(Gate(TRUST), said(), said("a2", "true"), said("a3", "undo")) == [True, True, True]


def test_what_an_alert_told_survives_its_way_over_the_topic():
    message = said()
    assert parse_feedback(message.model_dump_json()) == message


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (said(key=None), "has no signature"),
        (said().model_copy(update={"told": ()}), "has no signature"),
        (said(key=FOREIGN), "fits none of feedback.trusted_keys"),
        (said().model_copy(update={"told": (told(key=OURS).model_copy(update={"entity": "f"}),)}), "fits none"),
        (said().model_copy(update={"entity": "f"}), "entity is not what the alert told"),
        (said().model_copy(update={"alert_id": "a2"}), "alert_id is not what the alert told"),
        (said("a1", "false", "ann", 0, told("a2")), "hold no other alert"),
        (said(state="resolved"), "must begin with the message that opened it"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_is_refused_with_the_reason(message, why):
    with pytest.raises(FeedbackRefusedError, match=why):
        Gate(TRUST).admit(message)


FORGED = {
    "alert_id": st.text(min_size=1),
    "entity": st.text(min_size=1),
    "kind": st.sampled_from(["drift", "collective"]),
    "field": st.none() | st.text(),
    "tail_probability": st.floats(1e-300, 1, exclude_max=True).filter(lambda p: p != 1e-5),
    "effect": st.none() | st.floats(0, 1e300).filter(lambda effect: effect != 5.0),
    "agreed": st.lists(st.text(), max_size=3).map(tuple).filter(lambda names: names != ("loda",)),
    "source": st.builds(Source, partition=st.integers(1, 9), first=st.integers(0, 9), last=st.integers(0, 9)),
}


@given(st.data(), st.sampled_from(sorted(FORGED)), st.booleans())
def test_no_altered_field_passes(data, name, inside):
    value = data.draw(FORGED[name].filter(lambda value: value not in ("a1", "e", "x")))
    message = said()
    changed = {name: value}
    if inside:  # what the alert told is altered, too, and the message fits it
        one = message.told[0].model_copy(update=changed)
        changed = known_from((one,))
    assert admitted(Gate(TRUST), message.model_copy(update=changed)) == [False]


def test_without_trusted_keys_feedback_of_earlier_releases_is_taken():
    plain = Feedback(alert_id="a", entity="e", kind="point", tail_probability=1e-5, verdict="false", by="ann")
    assert admitted(Gate(FeedbackSettings()), plain, said(key=FOREIGN)) == [True, True]


def test_a_key_that_cannot_be_used_stops_the_job_and_is_not_shown(tmp_path, monkeypatch):
    for text, why in (
        ("", "holds no PEM with a private key"),
        ("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----", "holds no PEM"),
        (pem(FOREIGN), "is none of feedback.trusted_keys"),
    ):
        monkeypatch.setenv("KEY", text)
        with pytest.raises(SettingsError, match=f"the environment variable KEY.*{why}") as raised:
            task()
        assert "secret" not in str(raised.value)
    file = FeedbackSettings(trusted_keys=TRUST.trusted_keys, sign_key_file=str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"sign_key_file: .*none cannot be read: No such file"):
        task(file)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"trusted_keys": TRUST.trusted_keys}, "trusted_keys needs sign_key_file or sign_key_env"),
        ({"sign_key_env": "KEY"}, "each of these needs trusted_keys"),
        ({"trusted_keys": ("abc",), "sign_key_env": "KEY"}, "32 bytes in base64"),
        ({"trusted_keys": TRUST.trusted_keys, "sign_key_env": "K", "sign_key_file": "/k"}, "only one of"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values, why):
    with pytest.raises(ValueError, match=why):
        FeedbackSettings(**values)


# ---- who, when, and how much ------------------------------------------------------------------------------------------


def test_only_the_people_of_the_settings_may_say_what_they_may():
    gate = Gate(TRUST.model_copy(update={"people": {"ann": ("judge",), "ben": ("ignore",)}}))
    ignoring = said(verdict="false", by="ben").model_copy(update={"verdict": "ignore", "until": START})
    assert admitted(gate, said(), said(by="ben"), ignoring, said(by="cat")) == [True, False, True, False]
    with pytest.raises(FeedbackRefusedError, match=r"'cat' may give none; feedback.people names: ann, ben"):
        gate.admit(said(by="cat"))
    with pytest.raises(FeedbackRefusedError, match=r"'ben' may not say 'false'; feedback.people allows: ignore"):
        gate.admit(said(by="ben"))


def test_what_was_said_earlier_never_replaces_what_was_said_later():
    gate = Gate(TRUST)
    assert admitted(gate, said(at=1), said(verdict="true", at=2), said(at=1), said(at=2)) == [True, True, False, False]
    assert admitted(gate, said(verdict="true", at=2), said(verdict="undo", at=3)) == [True, True]
    assert admitted(gate, said(verdict="true", at=2)) == [False]


def test_a_person_and_all_together_have_a_limit_for_the_alerts_of_a_day():
    gate = Gate(TRUST.model_copy(update={"by_person": 2, "by_all": 3}))
    assert admitted(gate, said("a1"), said("a2"), said("a3")) == [True, True, False]
    assert admitted(gate, said("a1", "true", at=1), said("a2", "undo", at=1), said("a2", at=2)) == [False, True, False]
    assert admitted(gate, said("a3", day="2026-11-23")) == [True]
    assert admitted(gate, said("a1", by="ben"), said("a2", by="ben"), said("a2", by="cat")) == [True, False, False]
    with pytest.raises(FeedbackRefusedError, match=r"of 'ann': feedback.by_person is 2"):
        gate.admit(said("a4"))
    with pytest.raises(FeedbackRefusedError, match=r"of all persons together: feedback.by_all is 3"):
        gate.admit(said("a4", by="dan"))


# ---- the job ----------------------------------------------------------------------------------------------------------


def task(trust=TRUST):
    values = SMALL.model_dump() | {"feedback": trust.model_dump()}
    return Task(Job(PipelineSettings.model_validate(values), EventTopics(), "feedback", "job", True))


class Kept:
    """The job on a stream: it hears messages in between, and may be started anew from its state and the topic of feedback."""

    def __init__(self):
        self.topic, self.saved, self.alerts, self.letters = [], {}, [], []
        self.task = task()

    def feed(self, raw, cuts=()):
        for rows in np.split(np.arange(len(raw)), sorted(cuts)):
            if len(rows):
                result = self.task.process(0, raw.take(rows), None if self.task.has(0) else dict(self.saved))
                for key in result.deletes:
                    del self.saved[key]
                self.saved |= result.writes
                self.alerts += [text for _, text in result.alerts]
        return self

    def hear(self, *messages):
        for text in messages:
            self.topic.append(text)
            answer = self.task.hear("feedback", len(self.topic) - 1, text)
            if answer.dead_letter:
                self.letters.append(json.loads(answer.dead_letter))
        return self

    def start_anew(self):
        self.task = task()
        for offset, text in enumerate(self.topic):
            self.task.hear("feedback", offset, text)
        return self

    def opened(self):
        by_id = {}
        for data in (json.loads(text)["data"] for text in self.alerts):
            by_id.setdefault(data["alert_id"], []).append(data)
        return [records for records in by_id.values() if records[0]["state"] == "opened"]


RAW = stream(700, seed=3)
FIRST, REST = RAW.take(np.arange(350)), RAW.take(np.arange(350, 700))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("KEY", pem(OURS))


def forged(random, alerts, texts):
    """A message that a writer to the topic could send who has read the alerts and all feedback so far."""
    way = random.integers(6)
    message = json.loads(random.choice(texts))
    if way == 0:  # an alert that never existed
        message["alert_id"] = random.bytes(12).hex()
    elif way == 1:  # another pattern
        name, value = [("entity", "e5"), ("field", "f2"), ("kind", "drift"), ("tail_probability", 1e-250)][
            random.integers(4)
        ]
        message[name] = value if message[name] != value else f"{value}0"
    elif way == 2:  # the same, in what the alert told
        message["told"][0]["entity"] = message["entity"] = f"e{random.integers(90, 99)}"
    elif way == 3:  # signed by another
        one = Told.model_validate(message["told"][0])
        message["told"][0]["signature"] = signature(one.signed_part, FOREIGN)
    elif way == 4:  # without a signature, as in earlier releases
        message |= {"told": [], "at": None}
    else:  # what another alert told
        other = told_by(alerts[random.integers(len(alerts))][0])
        message["told"].append(other.model_dump(mode="json"))
        message["tail_probability"] = 1e-280
    return json.dumps(message | {"by": f"p{random.integers(9)}"})


@settings(max_examples=5, deadline=None, phases=[Phase.generate])  # each example takes seconds, so none is shrunk
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(1, 349), max_size=4), st.booleans())
def test_thousands_of_forged_messages_change_no_alert(seed, cuts, restarts):
    random = np.random.default_rng(seed)
    honest, attacked = Kept().feed(FIRST), Kept().feed(FIRST)
    alerts = honest.opened()
    assert len(alerts) >= 3
    sayings = [(k, "false" if k % 2 else "true") for k in range(len(alerts))]
    old = [about(alerts[k], verdict, "ann").model_dump_json() for k, verdict in sayings]
    new = [about(alerts[k], "false", "ann").model_dump_json() for k, _ in sayings]
    honest.hear(*old, *new)
    attacked.hear(*old, *new)
    flood = [forged(random, alerts, old + new) for _ in range(1000)] + [str(one) for one in random.choice(old, 200)]
    attacked.hear(*flood, *new)
    if restarts:
        attacked.start_anew()
    honest.feed(REST)
    attacked.feed(REST, cuts)
    assert attacked.alerts == honest.alerts
    assert len(attacked.letters) == len(flood)
    assert {letter["reason"] for letter in attacked.letters} == {"feedback_refused"}


def test_feedback_that_is_proved_does_change_alerts_and_an_undo_takes_it_back():
    plain, judged, undone = Kept().feed(FIRST), Kept().feed(FIRST), Kept().feed(FIRST)
    said = [about(one, "ignore", "ann", datetime(2100, 1, 1, tzinfo=UTC)) for one in plain.opened()]
    judged.hear(*(one.model_dump_json() for one in said))
    undone.hear(*(one.model_dump_json() for one in said))
    undone.hear(*(about(one, "undo", "ann").model_dump_json() for one in plain.opened()))
    for job in (plain, judged, undone):
        job.feed(REST)
    assert judged.letters == undone.letters == []
    assert judged.alerts != plain.alerts
    assert undone.alerts == plain.alerts


def test_feedback_that_is_sent_again_does_not_end_another_quarantine():
    random = np.random.default_rng(0)
    parts = [random.normal(100, spread, n) for spread, n in ((1, 300), (60, 30), (1, 100), (60, 30))]
    raw = batch([{"entity": "pump", "f0": float(x)} for x in np.concatenate(parts)])

    def released(copies):
        """Whether the quarantine of the second incident has ended."""
        job = Kept().feed(raw.take(np.arange(330)))
        message = about(job.opened()[0], "false", "ann").model_dump_json()
        job.hear(message).feed(raw.take(np.arange(330, 460))).hear(*[message] * copies)
        [partition] = job.task._shards[0].partitions.values()
        head = partition.stages.entities.store.head[0]
        assert head[STATUS] != 0
        assert head[AGE] > QUARANTINED_AFTER
        return bool(head[RELEASED])

    assert [released(copies) for copies in (0, 1)] == [False, False]


def test_the_job_signs_every_alert_and_the_same_one_the_same():
    first, again = Kept().feed(FIRST, (90, 200)), Kept().feed(FIRST)
    assert first.alerts == again.alerts
    for records in first.opened():
        message = about(records, "true", "ann")
        Gate(TRUST).admit(parse_feedback(message.model_dump_json()))
        assert message.told[0].signature is not None
        assert len(base64.b64decode(message.told[0].signature)) == 64


def test_feedback_about_an_alert_that_no_event_ended_is_believed():
    values = np.random.default_rng(0).normal(10.0, 1.0, 200).tolist()
    events = [{"entity": "pump", "f0": x} for x in [*values, 500.0]] + [{"entity": "fan", "f0": 1.0}] * 960
    seconds = np.array([*range(201), *(3600 * np.arange(1, 961))])  # forty days
    job = Kept().feed(batch(events, stamps=1_760_000_000_000 + 1000 * seconds))
    *_, records = [one for one in job.opened() if one[0]["entity"] == "pump"]
    assert records[-1]["reason"] == "absent"
    assert Gate(TRUST).admit(about(records, "false", "ann"))


def test_feedback_that_was_refused_at_the_start_is_a_dead_letter_when_flink_gives_it_again():
    job = Kept()
    refused = json.dumps(json.loads(said().model_dump_json()) | {"told": []})
    job.topic.append(refused)
    job.start_anew()  # as at the start of the job, where no dead letter can be written
    again = job.task.hear("feedback", 0, refused)
    assert json.loads(again.dead_letter)["reason"] == "feedback_refused"
    assert again.refused
