"""A broker that asks who one is: passwords and certificates for all clients, access rules, and no secret where it can be seen."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from streamgauge.jobs.cluster.local_cluster import Cluster
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.settings.kafka import TopicSettings
from streamgauge.jobs.settings.loading import as_file, load

from tests.integration.certificates import Authority
from tests.integration.live import PATIENCE, STREAMGAUGE, Live, close_all, events, streamgauge, together, values
from tests.integration.secured_broker import ADMIN, JOB, PASSWORD, VARIABLE, Rule, SecuredBroker
from tests.integration.test_service import call, service, wait_for
from tests.jobs.service.made import change, letter

pytestmark = pytest.mark.slow

PASSWORDS = {ADMIN: "albatross-1482", JOB: PASSWORD, "service": "cormorant-9067", "trainer": "dotterel-3315"}
PASSWORDS["person"] = "egret-5590"
DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
ROW = re.compile(r"\| (\w+) \| (topic|group|transactional_id) \| (.*) \| (.*) \|")


@pytest.fixture(scope="module")
def broker(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    running = SecuredBroker(tmp_path_factory.mktemp("secured"), cluster.home, PASSWORDS)
    yield running
    close_all()
    running.stop()


def made(cluster: Cluster, home: Path, broker: SecuredBroker, **sections: Any) -> Live:
    """Topics on the broker; the tests read and write them as the administrator."""
    return Live(cluster, home, kafka={"bootstrap": broker.passwords_at, "security": broker.security(ADMIN)}, **sections)


def file_of(live: Live, security: dict[str, str], name: str) -> Path:
    """A file with the same settings for somebody else."""
    file = live.file.with_name(f"{name}.yaml")
    file.write_text(as_file(live.settings, {"kafka": {"security": security}}))
    return file


def rules_of(who: str, live: Live) -> list[Rule]:
    """The rules of the table in docs/security.md, with the names of these topics and this group."""
    defaults = TopicSettings().model_dump()
    named = {defaults[key]: getattr(live.topics, key) for key in defaults}
    found = []
    for user, kind, names, operations in ROW.findall(DOCUMENT.read_text()):
        for name in re.findall(r"`(.+?)`", names) if user == who else ():
            real = named[name] if kind == "topic" else live.settings.kafka.group + name.removeprefix("streamgauge")
            found += [(kind, real, operation) for operation in operations.split(", ")]
    return found


def said_by(*arguments: Any) -> str:
    """All that a command that fails says."""
    done = subprocess.run(
        [STREAMGAUGE, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "400"},
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout + done.stderr


def secrets_in(text: str) -> list[str]:
    """The passwords that are in a text."""
    return [password for password in PASSWORDS.values() if password in text]


def shown(live: Live, job: str) -> Iterator[tuple[str, str]]:
    """All that Flink shows of a running job: the answers of its REST endpoint."""
    workers = [one["id"] for one in live.rest.call("/taskmanagers")["taskmanagers"]]
    vertices = [one["id"] for one in live.rest.call(f"/jobs/{job}")["vertices"]]
    paths = ["/config", "/jobmanager/config", "/jobmanager/environment", f"/jobs/{job}"]
    paths += [f"/jobs/{job}/{what}" for what in ("plan", "config", "exceptions", "checkpoints/config", "accumulators")]
    paths += [f"/jobs/{job}/vertices/{vertex}" for vertex in vertices]
    paths += [f"/taskmanagers/{worker}" for worker in workers]
    for path in paths:
        yield path, json.dumps(live.rest.call(path))


def stored(live: Live) -> Iterator[tuple[str, str]]:
    """All that Flink has written: the files of the cluster."""
    home = live.cluster.home
    for file in (
        one for folder in ("logs", "run", "tmp", "checkpoints", "flink") for one in (home / folder).rglob("*")
    ):
        if file.is_file() and file.suffix != ".jar":
            yield str(file), file.read_bytes().decode("latin-1")


def test_with_the_rules_of_the_document_all_works_and_no_secret_is_seen(cluster, broker, tmp_path):
    # A process of Python gets all variables of its TaskManager, and Flink tells of its end.
    job_settings = {"delivery": "exactly_once", "execution": "process"}
    live = made(cluster, tmp_path, broker, job=job_settings, models={"registry": str(tmp_path)})
    users = ("service", "trainer", "person")
    files = {user: file_of(live, broker.security(user), user) for user in users}
    files[JOB] = file_of(live, broker.security(JOB, password_env=VARIABLE), JOB)
    for user in files:
        broker.allow(user, rules_of(user, live))
    job = json.loads(streamgauge("submit", "--settings", files[JOB], "--json"))["job"]
    try:
        alert = used_by_all(live, files, tmp_path)
        assert alert
        assert live.counted(job, "feedback_messages", least=2) == 2
        seen = [*shown(live, job), *stored(live)]
    finally:
        live.rest.cancel(job)
    wait_for(lambda: not job_processes(cluster))
    seen += stored(live)
    assert any(
        "sasl.mechanism = SCRAM-SHA-512" in text for _, text in seen
    )  # it is Kafka's configuration that was looked at
    assert [place for place, text in seen if secrets_in(text)] == []


def job_processes(cluster: Cluster) -> list[psutil.Process]:
    """The processes of Python that TaskManagers have started."""
    taskmanagers = [psutil.Process(one.pid) for one in cluster.roles("taskmanager")]
    return [child for one in taskmanagers for child in one.children(recursive=True)]


def used_by_all(live: Live, files: dict[str, Path], home: Path) -> str:
    """Use everything that reaches Kafka, each with the file of its user. Returns the id of the alert that came."""
    rows = [f"2024-01-01 00:{i // 60:02d}:{i % 60:02d},{9999 if i == 700 else 50 + i % 7}" for i in range(900)]
    (home / "pump.csv").write_text("time,pressure\n" + "\n".join(rows) + "\n")
    person = ("--settings", files["person"])
    streamgauge("replay", home / "pump.csv", *person, "--time-column", "time")
    live.until(live.topics.alerts, lambda records: any(b"9999" in record.value for record in records))
    [line, *_] = streamgauge("alerts", *person, "--from-beginning", "--limit", 1, "--json").splitlines()
    alert = str(json.loads(line)["data"]["alert_id"])
    found = {one["check"]: one["state"] for one in json.loads(streamgauge("doctor", *person, "--json"))}
    assert found["topics"] == "ok"
    streamgauge("feedback", alert, "true", *person)
    streamgauge("train", "--watch", "--once", "--settings", files["trainer"])
    live.file = files["service"]
    with service(live, home) as (address, _):
        wait_for(lambda: alert in known(address))
        call(address, f"/v1/incidents/{alert}/feedback", {"verdict": "true", "why": "test"})
        wait_for(lambda: "The job has" in call(address, "/"))  # it may look at the group of the job
    assert len(live.at_least(live.topics.feedback, 2)) == 2
    return alert


def known(address: str) -> set[str]:
    """The incidents that the service knows."""
    return {one["alert_id"] for one in call(address, "/v1/incidents")["incidents"]}


def test_a_service_that_may_not_read_dead_letters_goes_on_and_counts_them_as_soon_as_it_may(cluster, broker, tmp_path):
    live = made(cluster, tmp_path, broker)
    for topic, message in ((live.topics.dead_letters, letter()), (live.topics.alerts, change("a1"))):
        live.producer.send(topic, json.dumps(message).encode(), b"key").get(PATIENCE)
    live.file, rules = file_of(live, broker.security("service"), "service"), rules_of("service", live)
    counted = live.topics.dead_letters, live.topics.late
    broker.allow("service", [rule for rule in rules if rule[1] not in counted])
    with service(live, tmp_path) as (address, _):
        wait_for(lambda: "a1" in known(address))
        assert all(f"What is on {topic} is not counted" in call(address, "/stream") for topic in counted)
    broker.allow("service", rules)
    with service(live, tmp_path) as (address, _):
        wait_for(lambda: "it is no JSON" in call(address, "/stream"))
        assert "is not counted" not in call(address, "/stream")


def test_a_password_file_and_certificates_give_the_same_alerts(cluster, broker, tmp_path):
    by_password = made(cluster, tmp_path, broker)
    own = broker.authority.issue(ADMIN)
    files = {"ca_file": broker.authority.ca, "cert_file": own.cert, "key_file": own.key}
    security = {"protocol": "SSL", **{key: str(file) for key, file in files.items()}}
    by_certificate = Live(cluster, tmp_path, kafka={"bootstrap": broker.certificates_at, "security": security})
    with together(by_password, by_certificate):
        for live in (by_password, by_certificate):
            live.send(events(1_000))
            expected = live.expected().alerts
            assert expected
            assert values(live.at_least(live.topics.alerts, len(expected))) == expected


def test_commands_say_who_is_not_let_in_and_why(cluster, broker, tmp_path):
    live = made(cluster, tmp_path, broker)
    (tmp_path / "wrong").write_text("flamingo-7700")
    (tmp_path / "one.jsonl").write_text('{"entity": "a", "x": 1}\n')
    wrong = {
        "SaslAuthenticationFailedError": {"password_file": str(tmp_path / "wrong")},
        "CERTIFICATE_VERIFY_FAILED": {"ca_file": str(Authority(tmp_path, "stranger").ca)},
    }
    files = {why: file_of(live, broker.security("person") | keys, why) for why, keys in wrong.items()}
    commands = [("submit",), ("alerts",), ("doctor",), ("replay", tmp_path / "one.jsonl")]
    tried = [(why, (*command, "--settings", file)) for why, file in files.items() for command in commands]
    with ThreadPoolExecutor(
        2
    ) as pool:  # a command gives up after a time, which more of them at once would need to start
        for (why, _), said in zip(tried, pool.map(lambda one: said_by(*one[1]), tried), strict=True):
            # The broker closes the connection after its answer, and sometimes only that is seen.
            closed = "closes the connection while the user 'person' .* signs in"
            assert re.search(f"does not let in the user 'person' .*{why}|{closed}", said), said
            assert "flamingo" not in said
            assert not secrets_in(said)


@pytest.mark.parametrize(
    ("kind", "topic", "operation"),
    [("topic", "events", "Read"), ("transactional_id", None, "Write")],
)
def test_a_job_without_a_rule_fails_and_names_it(cluster, broker, tmp_path, kind, topic, operation):
    live = made(cluster, tmp_path, broker, job={"delivery": "exactly_once"})
    file = file_of(live, broker.security(JOB), JOB)
    missing = None if topic is None else getattr(live.topics, topic)
    rules = [r for r in rules_of(JOB, live) if not (r[0] == kind and r[2] == operation and missing in (None, r[1]))]
    assert len(rules) < len(rules_of(JOB, live))
    if operation == "Read":  # else the job is refused before it is submitted
        rules.append((kind, live.topics.events, "Describe"))
    broker.allow(JOB, rules)
    live.send([("a", b"{broken")])  # a dead letter
    job = submit(load(file), file, jobmanager=cluster.jobmanager, wait=False)
    deadline = time.monotonic() + PATIENCE
    while "AuthorizationException" not in (why := live.rest.failure(job)) and time.monotonic() < deadline:
        time.sleep(0.5)
    live.rest.cancel(job)
    assert re.search("Not authorized to access topics.*" + missing if missing else "TransactionalId", why), why


def test_commands_name_what_is_not_allowed(cluster, broker, tmp_path):
    live = made(cluster, tmp_path, broker)
    settings = ("--settings", file_of(live, broker.security("person"), "person"))
    assert re.search(f"does not allow it to the user 'person' .*{live.topics.alerts}", said_by("alerts", *settings))
    assert "access rules" in said_by("submit", *settings)
