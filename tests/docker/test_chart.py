"""The Helm chart: its values, and the manifests that Helm makes of it. `./install.sh dev` installs Helm."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from kubernetes_validate import ValidationError, validate
from ruamel.yaml import YAML
from streamgauge.jobs.settings.loading import parsed
from streamgauge.jobs.settings.strict_yaml import write

from tests.docker.read import CHART, DOCKER, ROOT, read_json, read_yaml

SCHEMA = read_json(CHART / "values.schema.json")
VALUES = read_yaml(CHART / "values.yaml")
HELM = shutil.which("helm", path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
DEFINITION = Path(sys.prefix) / "flinkdeployments.flink.apache.org-v1.yml"
needs_helm = pytest.mark.skipif(HELM is None, reason="helm is not installed: ./install.sh dev")


def changed(path: str, value: Any) -> dict[str, Any]:
    """The values with one of them changed."""
    values = copy.deepcopy(VALUES)
    *sections, key = path.split(".")
    inner = values
    for section in sections:
        inner = inner[section]
    inner[key] = value
    return values


def test_the_schema_is_one_and_the_values_keep_it():
    Draft7Validator.check_schema(SCHEMA)
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(VALUES)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("job.upgradeMode", "careless"),
        ("job.parallelism", 0),
        ("job.paralelism", 2),
        ("job.image", "streamgauge/job:latest"),
        ("job.taskManager.memory", "much"),
        ("image.tag", "latest"),
        ("settings.kafka", {}),
        ("storage.url", "flink-data"),
        ("service.replicas", "two"),
        ("service.database", {"url": "postgresql://user:secret@host/db"}),
        ("monitoring.interval", "15"),
    ],
)
def test_the_schema_refuses_wrong_values(path, value):
    assert list(Draft7Validator(SCHEMA).iter_errors(changed(path, value)))


def test_the_schema_knows_every_value():
    def keys(values: dict[str, Any], schema: dict[str, Any], where: str = "") -> list[str]:
        unknown = []
        for key, value in values.items():
            inner = schema.get("properties", {}).get(key)
            if inner is None and schema.get("additionalProperties") is False:
                unknown.append(f"{where}{key}")
            elif inner is not None and isinstance(value, dict):
                unknown += keys(value, inner, f"{where}{key}.")
        return unknown

    assert keys(VALUES, SCHEMA) == []
    assert set(SCHEMA["properties"]) - {"global"} == set(VALUES)


def test_the_settings_are_valid_settings_of_the_job():
    parsed(write(VALUES["settings"]), "values.yaml")


def test_files_that_the_chart_shares_are_the_ones_of_the_repository():
    shared = {
        "flink.yaml": ROOT / "flink-conf" / "config.yaml",
        "rules.yml": DOCKER / "prometheus" / "rules.yml",
        "log4j-console.properties": DOCKER / "images" / "log4j-console.properties",
    }
    assert {file.name: file.resolve() for file in (CHART / "files").iterdir()} == shared


def test_the_chart_has_the_version_of_the_package():
    assert f'version="{read_yaml(CHART / "Chart.yaml")["appVersion"]}"' in (ROOT / "setup.py").read_text()


# ---- with helm ------------------------------------------------------------------------------------------------------


OF_OPERATORS = {"FlinkDeployment", "PodMonitor", "PrometheusRule", "ServiceMonitor"}
VERSIONS = ("1.27", "1.31", "1.37")  # of Kubernetes: the oldest that docs/deploy.md names, and newer ones


def helm(*arguments: str, fails: bool = False) -> str:
    done = subprocess.run([str(HELM), *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr if fails else done.stdout


def manifests(*sets: str, version: str = VERSIONS[1]) -> dict[tuple[str, str], dict[str, Any]]:
    """What the chart makes with some values for a version of Kubernetes, by kind and name."""
    arguments = [word for value in sets for word in ("--set", value)]
    text = helm("template", "sg", str(CHART), "--kube-version", version, *arguments)
    found = [document for document in YAML(typ="safe").load_all(text) if document]
    by_name = {(document["kind"], document["metadata"]["name"]): document for document in found}
    assert len(by_name) == len(found)
    return by_name


EVERYTHING = ("ingress.enabled=true", "monitoring.enabled=true", "monitoring.rules=true", "models.existingClaim=models")
SECRETS = tuple(
    f"{value}.existingSecret={name}"
    for value, name in (("kafkaFiles", "kafka"), ("service.redis", "redis"), ("service.oidc", "oidc"))
)


@needs_helm
def test_people_reach_the_page_also_while_the_history_is_not_up_to_date():
    [service] = [one for (kind, name), one in manifests().items() if kind == "Deployment" and name.endswith("service")]
    [container] = service["spec"]["template"]["spec"]["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/healthz"


@needs_helm
def test_helm_finds_nothing_wrong():
    helm("lint", "--strict", str(CHART))


@needs_helm
def test_the_chart_makes_all_objects():
    kinds = sorted(kind for kind, _ in manifests(*EVERYTHING))
    assert kinds == sorted(
        ["ConfigMap", "Deployment", "Deployment", "FlinkDeployment", "Ingress", "PersistentVolumeClaim"]
        + ["NetworkPolicy"] * 3
        + ["PodDisruptionBudget", "PodMonitor", "PodMonitor", "PrometheusRule", "Service", "ServiceMonitor"]
    )


@needs_helm
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field_of_every_object(version):
    made = manifests(*EVERYTHING, *SECRETS, version=version)
    for (kind, _), one in made.items():
        if kind not in OF_OPERATORS:
            validate(one, version, strict=True)
    pod = {"apiVersion": "v1", "kind": "Pod"} | made["FlinkDeployment", "sg-streamgauge-job"]["spec"]["podTemplate"]
    validate(pod, version, strict=True)
    pod["spec"]["containers"][0]["imagePulPolicy"] = "Always"
    with pytest.raises(ValidationError, match="imagePulPolicy"):
        validate(pod, version, strict=True)


def strict(schema: Any) -> Any:
    """A schema that refuses fields that it does not name."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


@needs_helm
@pytest.mark.parametrize("sets", [(), (*EVERYTHING, *SECRETS)], ids=["defaults", "everything"])
def test_flinks_operator_knows_every_field_of_the_deployment(sets):
    [version] = read_yaml(DEFINITION)["spec"]["versions"]
    operator = Draft7Validator(strict(version["schema"]["openAPIV3Schema"]["properties"]["spec"]))
    spec = manifests(*sets)["FlinkDeployment", "sg-streamgauge-job"]["spec"]
    # The operator of this definition is older than Flink 2. docs/deploy.md says that a newer one is needed.
    assert [error.json_path for error in operator.iter_errors(spec)] == ["$.flinkVersion"]
    spec["job"]["paralelism"] = 2
    assert [error for error in operator.iter_errors(spec) if "paralelism" in error.message]


@needs_helm
@pytest.mark.parametrize("component", ["job", "trainer", "service"])
def test_a_component_can_be_left_out(component):
    left = manifests(f"{component}.enabled=false", *EVERYTHING)
    assert not [name for kind, name in left if name.endswith(f"-{component}") and kind != "PersistentVolumeClaim"]
    assert any(name == "sg-streamgauge-settings" for _, name in left)


@needs_helm
def test_the_job_has_flinks_options_and_upgrades_by_savepoint():
    deployment = manifests()["FlinkDeployment", "sg-streamgauge-job"]["spec"]
    options = deployment["flinkConfiguration"]
    needed = {k: v for k, v in read_yaml(ROOT / "flink-conf" / "config.yaml").items() if "host" not in k}
    needed = {k: v for k, v in needed.items() if "address" not in k and ".process.size" not in k}
    assert {key: options.get(key) for key in needed} == {key: helm_text(value) for key, value in needed.items()}
    assert options["high-availability.type"] == "kubernetes"
    assert all(isinstance(value, str) for value in options.values())
    assert deployment["job"]["upgradeMode"] == "savepoint"
    assert deployment["podTemplate"]["spec"]["securityContext"]["runAsNonRoot"] is True


def helm_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@needs_helm
def test_the_settings_in_the_cluster_are_valid_and_have_the_parallelism_of_the_job(tmp_path: Path):
    made = manifests("job.parallelism=2", "settings.decide.promise=2 per day")
    text = made["ConfigMap", "sg-streamgauge-settings"]["data"]["detection.yaml"]
    settings = parsed(text, "the ConfigMap")
    assert (settings.job.parallelism, settings.models.registry) == (2, "/models")
    assert made["FlinkDeployment", "sg-streamgauge-job"]["spec"]["job"]["parallelism"] == 2


@needs_helm
def test_secrets_come_by_reference():
    made = manifests(*SECRETS)
    [service] = made["Deployment", "sg-streamgauge-service"]["spec"]["template"]["spec"]["containers"]
    assert {"STREAMGAUGE__SERVICE__REDIS", "STREAMGAUGE__SERVICE__OIDC__CLIENT_SECRET"} <= {
        v["name"] for v in service["env"]
    }
    for kind, name in (("Deployment", "sg-streamgauge-service"), ("Deployment", "sg-streamgauge-trainer")):
        [container] = made[kind, name]["spec"]["template"]["spec"]["containers"]
        assert all("valueFrom" in variable for variable in container.get("env", ()))
    deployments = [made["Deployment", f"sg-streamgauge-{name}"]["spec"]["template"] for name in ("service", "trainer")]
    for pod in (*deployments, made["FlinkDeployment", "sg-streamgauge-job"]["spec"]["podTemplate"]):
        assert {"name": "kafka", "secret": {"secretName": "kafka"}} in pod["spec"]["volumes"]
        [container] = pod["spec"]["containers"]
        assert {"name": "kafka", "mountPath": "/etc/kafka", "readOnly": True} in container["volumeMounts"]
    assert not [kind for kind, _ in made if kind == "Secret"]


@needs_helm
def test_policies_and_monitors_select_the_pods():
    made = manifests(*EVERYTHING)
    pods = {
        "trainer": made["Deployment", "sg-streamgauge-trainer"]["spec"]["template"]["metadata"]["labels"],
        "service": made["Deployment", "sg-streamgauge-service"]["spec"]["template"]["metadata"]["labels"],
        "job": made["FlinkDeployment", "sg-streamgauge-job"]["spec"]["podTemplate"]["metadata"]["labels"],
    }
    for component, labels in pods.items():
        policy = made["NetworkPolicy", f"sg-streamgauge-{component}"]["spec"]["podSelector"]["matchLabels"]
        assert policy.items() <= labels.items()
        kind = "ServiceMonitor" if component == "service" else "PodMonitor"
        assert made[kind, f"sg-streamgauge-{component}"]["spec"]["selector"]["matchLabels"].items() <= labels.items()


@needs_helm
def test_wrong_values_stop_the_installation_with_the_key():
    said = helm("template", "sg", str(CHART), "--set", "job.upgradeMode=careless", fails=True)
    assert "upgradeMode" in said
