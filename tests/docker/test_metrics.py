"""Every metric that rules and dashboards name is one that the job, Flink, the trainer, the service or a rule gives."""

from __future__ import annotations

import re
import zipfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from streamgauge.jobs.retraining.metrics import TrainerMetrics
from streamgauge.jobs.service.app import application
from streamgauge.jobs.service.database import migrate
from streamgauge.udfs.flink.metrics import KINDS, LEVELS, REASONS, STEPS, Metrics

from tests.docker.read import CHART, DOCKER, ROOT, dashboards, expressions, metrics_in, read_yaml, rules
from tests.docs.test_documents import anchors
from tests.jobs.service.telling import SECRET
from tests.jobs.service.test_api import HERE, settings

OPERATOR = "flink_taskmanager_job_task_operator_"
SCOPES = (OPERATOR, "flink_taskmanager_job_task_", "flink_jobmanager_job_", "flink_jobmanager_")
FLINK = (  # classes whose constants are the names of Flink's own metrics
    "org/apache/flink/runtime/metrics/MetricNames.class",
    "org/apache/flink/runtime/checkpoint/DefaultCheckpointStatsTracker.class",
)
PROMETHEUS = {"up", "ALERTS"}


class Group:
    """A group of metrics that notes their names, as Flink's reporter writes them."""

    def __init__(self, prefix: str, names: set[str]) -> None:
        self.prefix, self.names = prefix, names

    def add_group(self, name: str) -> Group:
        return Group(f"{self.prefix}{name}_", self.names)

    def counter(self, name: str) -> None:
        self.names.add(self.prefix + name)

    distribution = counter


@cache
def of_the_job() -> frozenset[str]:
    names: set[str] = set()
    Metrics(Group(OPERATOR, names), ["pumps"], ["levels"])
    return frozenset(names)


@cache
def of_the_trainer() -> frozenset[str]:
    metrics = TrainerMetrics(["pumps"], lambda _: 0.0)
    metrics.note("rejected", "pumps", {"gate": "alerts"})
    return frozenset(re.findall(r"^(\w+)\{", metrics.text(), re.MULTILINE))


@cache
def of_the_service() -> frozenset[str]:
    engine = create_engine("sqlite://", poolclass=StaticPool)  # one connection, or threads would not see the tables
    migrate(engine)
    more = {"redis": "redis://127.0.0.1:1/0", "webhooks": {"one": {"url": "http://127.0.0.1:1", "secret": SECRET}}}
    client = TestClient(application(settings(**more), engine), base_url=HERE)
    client.get("/v1/incidents")
    found = re.findall(r"^(\w+)[{ ]", client.get("/metrics").text, re.MULTILINE)
    engine.dispose()
    return frozenset(found)


@cache
def constants_of_flink() -> bytes:
    [jar] = (Path(str(find_spec("pyflink").origin)).parent / "lib").glob("flink-dist-*.jar")
    with zipfile.ZipFile(jar) as archive:
        return b"".join(archive.read(name) for name in FLINK)


def of_flink(name: str) -> bool:
    scope = next((scope for scope in SCOPES if name.startswith(scope)), None)
    if scope is None:
        return False
    short = name.removeprefix(scope).encode()
    return b"\x01" + len(short).to_bytes(2, "big") + short in constants_of_flink()  # an entry of the constant pool


def is_exported(name: str) -> bool:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    if name in PROMETHEUS | recorded | of_the_job() | of_the_trainer() | of_the_service():
        return True
    return of_flink(name) or ("." in name and any(re.fullmatch(name, known) for known in of_the_job()))


def test_names_are_found_in_expressions():
    expression = (
        'sum by (job_name) (rate(a_b{x="c{d}"}[5m])) > 0.5 * (e:f:g1h offset 1d) and on (h) {__name__=~"i_.+"} or j'
    )
    assert metrics_in(expression) == {"a_b", "e:f:g1h", "i_.+", "j"}


def test_a_name_that_nothing_exports_is_told():
    names = {
        f"{OPERATOR}events",
        f"{OPERATOR}evnts",
        "flink_jobmanager_job_numRestarts",
        "flink_jobmanager_job_restart",
    }
    names |= {"streamgauge_retrain_trained_total", "streamgauge_retrain_trained", f"{OPERATOR}model_.+_version"}
    assert {name for name in names if not is_exported(name)} == {
        f"{OPERATOR}evnts",
        "flink_jobmanager_job_restart",
        "streamgauge_retrain_trained",
    }


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("record") or rule["alert"])
def test_every_metric_of_a_rule_is_exported(rule):
    assert [name for name in metrics_in(rule["expr"]) if not is_exported(name)] == []


@pytest.mark.parametrize("name", dashboards())
def test_every_metric_of_a_dashboard_is_exported(name):
    found = {metric for expression in expressions(dashboards()[name]) for metric in metrics_in(expression)}
    assert found
    assert [metric for metric in sorted(found) if not is_exported(metric)] == []


def test_every_reason_of_a_dead_letter_has_its_rule():
    told = {rule["labels"]["reason"] for rule in rules() if rule.get("record") == "streamgauge:dead_letters:rate5m"}
    assert told == set(REASONS)


def test_the_dashboards_show_every_step_kind_and_level_of_the_job():
    shown = {name for board in dashboards().values() for text in expressions(board) for name in metrics_in(text)}
    behind = {metric for rule in rules() if rule.get("record") in shown for metric in metrics_in(rule["expr"])}
    wanted = {f"step_us_{step}" for step in (*STEPS, "total")} | {f"alerts_{kind}" for kind in KINDS} | set(LEVELS)
    assert {f"{OPERATOR}{name}" for name in wanted} <= shown | behind


def test_every_alert_says_what_it_means_and_where_to_read_on():
    for rule in rules():
        if "alert" not in rule:
            continue
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert {"summary", "description", "runbook"} <= set(rule["annotations"]), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor in anchors(ROOT / page), rule["alert"]


def test_every_alert_has_a_unit_test():
    tested = "".join(file.read_text(encoding="utf-8") for file in (DOCKER / "prometheus").glob("*.test.yml"))
    patterns = re.findall(r'alertname=~"([^"]+)"', tested)
    alerts = [rule["alert"] for rule in rules() if "alert" in rule]
    assert [a for a in alerts if a not in tested and not any(re.fullmatch(p, a) for p in patterns)] == []


@pytest.mark.parametrize("name", dashboards())
def test_a_dashboard_takes_its_data_from_the_chosen_prometheus(name):
    board = dashboards()[name]
    assert {"type": "datasource", "query": "prometheus"}.items() <= board["templating"]["list"][0].items()
    panels = [panel for panel in board["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert all(panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for panel in panels)
    assert all(target["datasource"]["uid"] == "${datasource}" for panel in panels for target in panel["targets"])


def test_dashboards_have_names_of_their_own_and_grafana_finds_them():
    boards = dashboards().values()
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(dashboards())
    [provider] = read_yaml(DOCKER / "grafana" / "provisioning" / "dashboards" / "streamgauge.yml")["providers"]
    mounts = read_yaml(DOCKER / "compose.yaml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts


def test_a_task_is_named_by_its_first_operator_in_the_compose_project_and_in_the_chart():
    scrapes = read_yaml(DOCKER / "prometheus" / "prometheus.yml")["scrape_configs"]
    [relabel] = next(job for job in scrapes if job["job_name"] == "streamgauge-flink")["metric_relabel_configs"]
    assert (relabel["source_labels"], relabel["target_label"], relabel["replacement"]) == (
        ["task_name"],
        "task_name",
        "$1",
    )
    for task, head in (("score -> (rows -> late -> commit, rows)", "score"), ("all notices -> notices", "all notices")):
        assert re.fullmatch(relabel["regex"], task)[1] == head
    assert f'regex: "{relabel["regex"]}"' in (CHART / "templates" / "monitoring.yaml").read_text(encoding="utf-8")


def test_every_process_with_rules_about_it_is_scraped():
    scraped = {job["job_name"] for job in read_yaml(DOCKER / "prometheus" / "prometheus.yml")["scrape_configs"]}
    asked = {job for rule in rules() for job in re.findall(r'\bjob="([^"]+)"', rule["expr"])}
    assert asked
    assert asked <= scraped
