"""What the tests of the folder docker read: YAML, JSON, Dockerfiles, and the names in expressions of Prometheus."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from streamgauge.jobs.settings.strict_yaml import read

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
CHART = DOCKER / "helm" / "streamgauge"
NO_METRICS = {"and", "or", "unless", "offset", "bool"}


def read_yaml(path: Path) -> Any:
    """A YAML file with one document."""
    return read(path.read_bytes(), path.name)


def read_json(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile, each with its name and its text on one line."""
    lines = [line for line in dockerfile.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    parts = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), text.strip()) for name, _, text in parts]


def rules() -> list[dict[str, Any]]:
    """All rules for Prometheus."""
    return [rule for group in read_yaml(DOCKER / "prometheus" / "rules.yml")["groups"] for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """All dashboards, by file name."""
    return {file.name: read_json(file) for file in sorted((DOCKER / "grafana" / "dashboards").glob("*.json"))}


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """All expressions of a dashboard: of panels, annotations and variables."""
    found = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())]
    found += [annotation["expr"] for annotation in dashboard["annotations"]["list"]]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            found += re.findall(r"label_values\(([^,]+),", variable["definition"])
    return found


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression of Prometheus names; those that it selects by a pattern are that pattern."""
    patterns = set(re.findall(r'__name__=~?"([^"]+)"', expression))
    bare = re.sub(r'"[^"]*"', "", expression)
    for left_out in (r"\{[^}]*\}", r"\[[^\]]*\]", r"\b(?:by|on|without|ignoring)\s*\([^)]*\)"):
        bare = re.sub(left_out, " ", bare)
    names = re.findall(r"(?<![\w.:])[A-Za-z_:][\w:]*+(?!\s*\()", bare)
    return patterns | set(names) - NO_METRICS
