"""The Dockerfiles keep the rules that make an image small, repeatable and safe."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.docker.read import DOCKER, ROOT, instructions

FILES = sorted(DOCKER.glob("*.Dockerfile"))
MINE = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def last_stage(file: Path) -> list[tuple[str, str]]:
    whole = instructions(file)
    start = max(i for i, (name, _) in enumerate(whole) if name == "FROM")
    return whole[start:]


def arguments(file: Path) -> dict[str, str]:
    """Defaults of the build arguments."""
    return dict(text.split("=", 1) for name, text in instructions(file) if name == "ARG" and "=" in text)


def allowed_in_context() -> list[str]:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    return [line[1:] for line in lines if line.startswith("!")]


def test_there_is_one_for_each_process():
    assert [file.name for file in FILES] == ["job.Dockerfile", "service.Dockerfile", "trainer.Dockerfile"]


@MINE
def test_every_base_is_an_image_with_its_version_or_a_stage(file):
    given, stages = arguments(file), set()
    for name, text in instructions(file):
        if name != "FROM":
            continue
        image = re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], text.split()[0])
        assert image in stages or re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", image), image
        if " AS " in text:
            stages.add(text.split(" AS ")[1])


@MINE
def test_the_process_is_not_root(file):
    users = [text for name, text in last_stage(file) if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")
    assert any(f"useradd --uid {uid}" in text for _, text in last_stage(file) for uid in (9999, 10001))


@MINE
def test_nothing_is_fetched_by_add_or_piped_into_a_shell(file):
    assert "ADD" not in {name for name, _ in instructions(file)}
    assert not any(re.search(r"(curl|wget)\b", text) for _, text in instructions(file))


@MINE
def test_it_says_whether_it_is_well(file):
    checks = [text for name, text in last_stage(file) if name == "HEALTHCHECK"]
    assert len(checks) == 1
    port = re.search(r"127\.0\.0\.1:(\d+)/", checks[0])[1]
    exposed = " ".join(text for name, text in last_stage(file) if name == "EXPOSE").split()
    assert port in exposed


@MINE
def test_every_package_has_a_version(file):
    for name, text in instructions(file):
        for call in re.findall(r"pip install ([^&]*)", text) if name == "RUN" else ():
            assert "-c " in call or "--no-deps" in call, call


@MINE
def test_no_layer_keeps_lists_of_packages_or_caches(file):
    for name, text in instructions(file):
        if name == "RUN" and "apt-get install" in text:
            assert "--no-install-recommends" in text
            assert "rm -rf /var/lib/apt/lists/*" in text
    pips = [text for name, text in last_stage(file) if name == "RUN" and "pip install" in text]
    assert pips
    assert all("--no-cache-dir" in text for text in pips)


@MINE
def test_no_secret_is_in_it(file):
    for name, text in instructions(file):
        assert name not in ("ENV", "ARG") or not re.search(r"(?i)password|secret|token|_key\b", text)


@MINE
def test_every_file_that_is_copied_exists_and_is_in_the_context(file):
    for name, text in instructions(file):
        if name != "COPY" or "--from=" in text:
            continue
        *sources, _ = text.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            inside = allowed_in_context()
            assert source == "." or any(fnmatch(source, entry) or source.startswith(f"{entry}/") for entry in inside)


def test_the_context_has_all_that_the_wheel_is_made_of():
    script = (ROOT / "setup.py").read_text(encoding="utf-8")
    folders = set(re.findall(r'"(jobs|udfs|models|flink-conf|examples/nab)"', script))
    assert len(folders) == 5
    assert folders | {"setup.py", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"} <= set(
        allowed_in_context()
    )


def test_kernels_are_compiled_in_every_image_and_found_by_its_processes():
    for file in FILES:
        texts = [text for _, text in last_stage(file)]
        warm = next(i for i, text in enumerate(texts) if "streamgauge warm" in text)
        assert any("touch -d @" in text for text in texts[:warm]), file.name
        assert any("NUMBA_CACHE_DIR=/opt/streamgauge/kernels/current" in text for text in texts[warm:]), file.name


@MINE
def test_builders_that_do_not_look_into_mounts_see_that_our_code_has_changed(file):
    texts = [text for _, text in last_stage(file)]
    mounted = next(i for i, text in enumerate(texts) if "--mount=" in text)
    assert any(text.startswith("--from=wheel /dist/wheel.sha256") for text in texts[:mounted])


def test_the_job_has_the_flink_that_is_pinned():
    pinned = dict(re.findall(r"^(apache-flink[\w-]*)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    version = arguments(DOCKER / "job.Dockerfile")["FLINK_VERSION"]
    assert set(pinned.values()) == {version}
    assert f"flink-python-{version}.jar" in (DOCKER / "helm/streamgauge/templates/job.yaml").read_text()
