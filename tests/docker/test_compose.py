"""The compose project: what it starts is pinned, checked, bound to this machine, and has no secrets."""

from __future__ import annotations

import re

import pytest
from streamgauge.jobs.commands.app import FILES
from streamgauge.jobs.settings.loading import load

from tests.docker.read import DOCKER, ROOT, instructions, read_yaml
from tests.docs.test_documents import options_of

COMPOSE = read_yaml(DOCKER / "compose.yaml")
SERVICES = COMPOSE["services"]
EACH = pytest.mark.parametrize("name", SERVICES)
# What the compose specification allows, as far as it is used here.
TOP = {"name", "services", "volumes"}
KEYS = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "deploy",
    "environment",
    "healthcheck",
    "image",
    "init",
    "logging",
}
KEYS |= {"ports", "restart", "security_opt", "volumes"}
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
OURS = {"job", "service", "trainer"}
ONCE = {"load", "topics"}  # these end


def words(name: str) -> list[str]:
    return [str(word) for word in SERVICES[name].get("command", [])]


def test_it_has_all_processes():
    wanted = {"kafka", "jobmanager", "taskmanager", "trainer", "service", "postgres", "prometheus", "alertmanager"}
    assert wanted | {"grafana"} | ONCE == set(SERVICES)


@EACH
def test_it_uses_what_the_specification_allows(name):
    assert {key for key in COMPOSE if not key.startswith("x-")} <= TOP
    service = SERVICES[name]
    assert set(service) <= KEYS
    assert service["restart"] in ("no", "unless-stopped")
    for other, how in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] in CONDITIONS
        if how["condition"] == "service_completed_successfully":
            assert SERVICES[other]["restart"] == "no"


@EACH
def test_every_image_has_its_version(name):
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?[\w.-]*", tag)
    if image.startswith("streamgauge/"):
        build = SERVICES[name]["build"]
        assert (DOCKER / build["context"] / build["dockerfile"]).is_file()
        assert build["dockerfile"] == f"docker/{image.removeprefix('streamgauge/')}.Dockerfile"
    else:
        assert "build" not in SERVICES[name]


@EACH
def test_every_process_that_stays_says_whether_it_is_well(name):
    service = SERVICES[name]
    if name in ONCE:
        assert service["healthcheck"] == {"disable": True}
    elif "healthcheck" in service:
        assert service["healthcheck"]["test"][0] == "CMD"
    else:
        assert "HEALTHCHECK" in dict(instructions(DOCKER / service["build"]["dockerfile"].removeprefix("docker/")))


@EACH
def test_every_port_is_bound_to_this_machine_and_taken_once(name):
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))
    assert len({port.split(":")[1] for port in ports}) == len(ports)


@EACH
def test_every_volume_is_declared_or_a_file_of_ours(name):
    for volume in SERVICES[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DOCKER / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


def test_no_secret_is_in_the_file_and_every_variable_is_in_the_example():
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    variables = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    example = (DOCKER / ".env.example").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in example if "=" in line and not line.startswith("#"))
    assert variables == set(given)
    assert not any(given.values())
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|TOKEN", key):
                assert re.fullmatch(r"\$\{\w+:\?.+\}", str(value)), key
    assert "/docker/.env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_the_settings_are_valid_and_lead_to_the_broker_and_the_volume_of_the_project():
    settings = load(DOCKER / "detection.yaml", {})
    host, port = settings.kafka.bootstrap.split(":")
    listeners = SERVICES[host]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INSIDE://{host}:{port}" in listeners
    for name in ("jobmanager", "taskmanager", "trainer"):
        assert f"models:{settings.models.registry}" in SERVICES[name]["volumes"]


def test_incidents_are_told_to_the_alertmanager_and_links_lead_to_the_page_of_the_project():
    settings = load(DOCKER / "detection.yaml", {})
    [target] = settings.service.alertmanagers.values()
    host, port = target.url.get_secret_value().removeprefix("http://").split(":")
    assert f"127.0.0.1:{port}:{port}" in SERVICES[host]["ports"]
    assert settings.service.address == f"http://{SERVICES['service']['ports'][0].rpartition(':')[0]}"


def test_the_broker_is_the_version_that_the_tests_run_with():
    pom = (ROOT / "flink-conf" / "pom.xml").read_text(encoding="utf-8")
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{re.search('<kafka.version>(.+)</kafka.version>', pom)[1]}"


@pytest.mark.parametrize("role", ["jobmanager", "taskmanager"])
def test_a_container_has_the_memory_that_flink_takes(role):
    flink = read_yaml(ROOT / "flink-conf" / "config.yaml")
    limit = SERVICES[role]["deploy"]["resources"]["limits"]["memory"]
    assert int(limit.removesuffix("m")) > int(flink[f"{role}.memory.process.size"].removesuffix("m"))


@pytest.mark.parametrize("name", ["load", "service", "trainer"])
def test_every_command_and_option_exists(name):
    text = " ".join(words(name)).removeprefix("bash -c ")
    call = text.removeprefix("streamgauge ").split()
    if call[0] == "serve" and not any("serve" in commands for commands in FILES.values()):
        pytest.skip("this version has no service")
    known = options_of(call[0])
    assert known is not None
    assert {word for word in call if word.startswith("--")} <= known
