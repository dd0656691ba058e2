"""Checks of what the job needs. Each gives one line, which says what to do if the check fails."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from kafka.admin import ConfigResource, ConfigResourceType
from streamgauge.jobs.cluster.event_findings import Finding, about_events
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.home import existing_or_new
from streamgauge.jobs.cluster.local_cluster import PORTS, Cluster, java, port_in_use
from streamgauge.jobs.cluster.resources import constraints
from streamgauge.jobs.kafka import clients
from streamgauge.jobs.kafka.event_topics import named, places, there
from streamgauge.jobs.kafka.read_range import newest, raw_batch
from streamgauge.jobs.kafka.topics import partitions_of, wanted
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.errors import ClusterError, InputError, StreamgaugeError

PINNED = ("apache-flink", "numpy", "numba", "river", "kafka-python", "msgspec", "pydantic")
UNLIMITED = 10**15  # milliseconds: the default of Kafka 3 is larger
LOOK_AT = 5_000  # number of newest records that are looked at


def examine(settings: Settings, home: Path | None = None) -> list[Finding]:
    """Run all checks.

    Parameters
    ----------
    settings : Settings
    home : Path, optional
        Folder of the local cluster.
    """
    checks: list[tuple[str, Callable[[Settings], Finding | list[Finding]]]] = [
        ("Java", lambda _: Finding("Java", "ok", java())),
        ("Maven", lambda _: _maven()),
        ("Python packages", lambda _: _packages()),
        ("memory", lambda _: _memory()),
        ("disk", lambda _: _disk(home)),
        ("ports", lambda _: _ports(home)),
        ("Flink", _flink),
        ("topics", _topics),
        ("events", _events),
    ]
    findings: list[Finding] = []
    for name, check in checks:
        try:
            found = check(settings)
        except clients.NoBrokerError as error:  # what follows would wait for it, too
            return [*findings, Finding("Kafka", "failure", str(error))]
        except StreamgaugeError as error:
            found = Finding(name, "failure", str(error))
        findings += found if isinstance(found, list) else [found]
    return findings


def _maven() -> Finding:
    path = shutil.which("mvn")
    if path:
        return Finding("Maven", "ok", path)
    return Finding("Maven", "warning", "not found: needed once, for the jars of the local cluster (apt install maven)")


def _packages() -> Finding:
    if sys.version_info[:2] != (3, 11):
        return Finding("Python packages", "failure", f"Python {sys.version.split()[0]}: 3.11 is needed")
    lines = (line.split("#")[0].strip() for line in constraints().read_text().splitlines())
    pins = {name.lower(): pin for name, _, pin in (line.partition("==") for line in lines if line)}
    wrong = []
    for name in PINNED:
        try:
            have = version(name)
        except PackageNotFoundError:
            have = "missing"
        if name in pins and have != pins[name]:
            wrong.append(f"{name} is {have}, wanted {pins[name]}")
    if wrong:
        return Finding("Python packages", "failure", f"{'; '.join(wrong)}: pip install -c {constraints()} streamgauge")
    return Finding("Python packages", "ok", ", ".join(f"{name} {version(name)}" for name in PINNED[:3]))


def _memory() -> Finding:
    free = psutil.virtual_memory().available / 2**30
    state = "ok" if free >= 6 else "warning"
    return Finding(
        "memory", state, f"{free:.1f} GiB free; the local cluster takes 2.5, and 4 for each TaskManager under load"
    )


def _disk(home: Path | None) -> Finding:
    state = existing_or_new(home)
    there = next(folder for folder in (state, *state.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free / 2**30
    return Finding("disk", "ok" if free >= 5 else "warning", f"{free:.0f} GiB free for {state}; 5 are comfortable")


def _ports(home: Path | None) -> Finding:
    cluster = Cluster.load(home)
    if cluster is not None and cluster.processes:
        dead = cluster.dead()
        if dead:
            return Finding(
                "ports", "failure", f"the local cluster lost {', '.join(dead)}: `streamgauge down`, then `up`"
            )
        return Finding("ports", "ok", f"the local cluster has them: Kafka {cluster.bootstrap}, Flink UI {cluster.ui}")
    taken = [f"{port} ({name}) by {who}" for name, port in PORTS.items() if (who := port_in_use(port))]
    if taken:
        return Finding("ports", "warning", f"in use: {'; '.join(taken)}: choose others for `streamgauge up`")
    return Finding("ports", "ok", "free: " + ", ".join(map(str, PORTS.values())))


def _flink(settings: Settings) -> list[Finding]:
    """Ask the JobManager that the settings name, if they name one."""
    rest = settings.flink.rest
    if rest.address is None:
        return []
    version = FlinkRest(rest.address, rest).call("/overview").get("flink-version")
    return [Finding("Flink", "ok", f"version {version} answers at {rest.address}")]


def _events(settings: Settings) -> list[Finding]:
    """Read the newest events of each topic as the job does, and say what it will make of them."""
    topics, findings = settings.kafka.topics.event_topics, []
    names = topics.names or there(settings.kafka)
    for topic in names:
        for finding in _events_of(topic, settings):
            name = f"{finding.check} of {topic}" if topics.several else finding.check
            findings.append(Finding(name, finding.state, finding.message))
    return findings or [Finding("events", "warning", f"there is no {named(settings.kafka)} yet")]


def _events_of(topic: str, settings: Settings) -> list[Finding]:
    try:
        records = newest(settings.kafka, topic, LOOK_AT)
    except InputError as error:
        return [Finding("events", "warning", str(error))]
    if not records:
        return [Finding("events", "warning", f"{topic} is empty: nothing can be said of its events")]
    return [*about_events(raw_batch(records), settings), *_stamps_of(topic, settings)]


def _stamps_of(topic: str, settings: Settings) -> list[Finding]:
    """Who sets Kafka's timestamps: the clock of a partition goes at most as far as they do."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    try:
        with clients.admin(settings.kafka, f"read the configuration of {topic!r}") as client:
            found = client.describe_configs([resource], config_filter="all")
        values = {name: one["value"] for name, one in next(iter(found.values()))[topic].items()}
        by_broker, ahead = (
            values["message.timestamp.type"] == "LogAppendTime",
            values.get("message.timestamp.after.max.ms"),
        )
    except (ClusterError, KeyError, StopIteration):  # a person needs no right to read the configuration
        return []
    if by_broker:
        return [Finding("timestamps", "ok", "set by the broker")]
    limit = (
        f"at most {int(ahead) / 3_600_000:g} h" if ahead is not None and int(ahead) < UNLIMITED else "without a limit"
    )
    message = (
        f"set by producers, {limit} ahead (message.timestamp.after.max.ms): a producer whose clock is ahead moves the clock of its "
        "partition as far, if it sends most of nine records in a row. message.timestamp.type=LogAppendTime prevents this"
    )
    return [Finding("timestamps", "ok", message)]


def _topics(settings: Settings) -> list[Finding]:
    kafka = settings.kafka
    findings = []
    with clients.admin(kafka, "list the topics") as client:
        there = set(client.list_topics())
    missing = [name for name in wanted(kafka, 1) if name not in there]
    if missing:
        findings.append(Finding("topics", "warning", f"missing: {', '.join(missing)}; `streamgauge submit` makes them"))
    control = len(partitions_of(kafka, kafka.topics.control))
    if control > 1:
        message = f"{kafka.topics.control} has {control} partitions; its order needs one"
        findings.append(Finding("topics", "failure", message))
    with clients.consumer(kafka, "look at the topics of events") as consumer:
        events = len(places(consumer, kafka))
    if events and settings.batch.sharding == "partition" and events < settings.batch.shards:
        message = f"{kafka.topics.event_topics.text} has {events} partitions for {settings.batch.shards} shards: some stay idle"
        findings.append(Finding("topics", "warning", message))
    return findings or [Finding("topics", "ok", f"all {len(wanted(kafka, 1))} there at {kafka.bootstrap}")]
