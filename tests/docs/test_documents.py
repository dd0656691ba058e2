"""What the documents name exists: links, files, commands, targets, reasons and metrics."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from streamgauge.jobs.commands.app import app
from typer.testing import CliRunner

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ADRS = sorted((DOCS / "adr").glob("*.md"))
LIVING = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("examples/*/README.md")),
]
DOCUMENTS = [*LIVING, ROOT / "CHANGELOG.md"]  # which names files as they were then

LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(
    r"(?<![\w/.])((?:jobs|udfs|models|tests|docs|examples|benchmarks|flink-conf|docker)(?:/[\w.-]+)+|[\w-]+\.(?:sh|toml|xml|txt)\b)"
)
MODULE = re.compile(r"python -m ((?:benchmarks|examples)\.\w+)")
NOT_OURS = {"docker/.env"}  # made by whoever installs
WORDS, LINES, WIDTH = 1200, 45, 120


def ids(file: Path) -> str:
    return str(file.relative_to(ROOT))


def code_in(file: Path) -> Iterator[str]:
    """Lines of code blocks, and code within sentences."""
    text = file.read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        yield from block.splitlines()[1:-1]
    yield from CODE.findall(FENCE.sub("", text))


@cache
def anchors(file: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and the site make them."""
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("file", DOCUMENTS, ids=ids)
def test_every_link_leads_to_a_file_and_a_heading(file):
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    wrong = []
    for link in LINK.findall(CODE.sub("", text)):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        outside = file.is_relative_to(DOCS) and not target.is_relative_to(DOCS)  # is not on the site
        if outside or not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("file", LIVING, ids=ids)
def test_every_file_and_module_that_is_named_exists(file):
    wrong = []
    for code in code_in(file):
        names = [name.rstrip(".") for name in FILE.findall(code)]
        names = [name for name in names if name not in NOT_OURS and not re.search(r"[A-Z]{3}", name)]
        wrong += [name for name in names if not found(name, file)]
        wrong += [name for name in MODULE.findall(code) if find_spec(name) is None]
    assert wrong == []


def found(name: str, file: Path) -> bool:
    return any((folder / name).exists() for folder in (ROOT, file.parent))


@pytest.mark.parametrize("file", LIVING, ids=ids)
def test_every_target_of_make_that_is_named_exists(file):
    named = {target for code in code_in(file) for target in re.findall(r"(?:^|\s)make ([a-z]+)", code)}
    assert named <= targets()


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))


def test_make_help_lists_every_target():
    said = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in said.splitlines() if len(line.split()) > 1} == targets()


@pytest.mark.parametrize("file", LIVING, ids=ids)
def test_every_command_and_option_that_is_named_exists(file):
    wrong = []
    for code in code_in(file):
        for call in re.findall(r"(?<![\w/.])(?:\.venv/bin/)?streamgauge (?=[a-z])([^#|;]*)", code):
            words = [word.rstrip(",.:") for word in call.partition(" -- ")[0].split()]
            options = {word.partition("=")[0] for word in words if word.startswith("--")}
            known = options_of(*[word for word in words[:2] if re.fullmatch(r"[a-z]+", word)])
            if known is None or not options <= known:
                wrong.append(call)
    assert wrong == []


@cache
def options_of(*words: str) -> frozenset[str] | None:
    """Options of the command that is called by some words; None where there is no such command."""
    said = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"})
    return frozenset(re.findall(r"--[a-z][a-z-]*", said.output)) if said.exit_code == 0 else None


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= WORDS


@pytest.mark.parametrize("file", ADRS, ids=ids)
def test_a_decision_is_half_a_page_and_has_all_parts(file):
    text = file.read_text(encoding="utf-8")
    assert sum(max(1, -(-len(line) // WIDTH)) for line in text.splitlines()) <= LINES
    assert text.startswith(f"# {int(file.name[:3])}. ")
    for part in ("Context", "Decision", "Figures", "Consequences"):
        assert f"**{part}" in text


def test_every_page_is_on_the_site_once():
    def pages(entries: list[dict[str, object]]) -> Iterator[str]:
        for entry in entries:
            for value in entry.values():
                if isinstance(value, list):
                    yield from pages(value)
                else:
                    yield str(value)

    shown = list(pages(tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]))
    assert sorted(shown) == sorted(str(file.relative_to(DOCS)) for file in DOCS.rglob("*.md"))


@pytest.mark.parametrize(
    ("constant", "one_of_it", "page"),
    [("REASONS", "not_json", "troubleshooting.md"), ("COUNTERS", "schema_changes", "operating.md")],
)
def test_reasons_of_dead_letters_and_counters_are_explained(constant, one_of_it, page):
    sources = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / "udfs").rglob("*.py")))
    tables = re.findall(rf"^{constant}(?:: [^=]+)? = \(([^)]*)\)", sources, re.MULTILINE)
    [names] = [names for table in tables if one_of_it in (names := set(re.findall(r'"(\w+)"', table)))]
    assert names <= set(CODE.findall((DOCS / page).read_text(encoding="utf-8")))


def test_each_type_of_notice_is_explained():
    def types(top: str, call: str, prefix: str) -> set[str]:
        text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / top).rglob("*.py")))
        return {f"{prefix}.{name}" for name in re.findall(rf'{call}\(\s*"(\w+)"', text)}

    written = types("udfs", "(?:SchemaChange|Remark)", "schema") | types("jobs", r"\.tell", "model")
    assert {"schema.added", "model.deferred"} <= written
    assert written <= set(CODE.findall((DOCS / "operating.md").read_text(encoding="utf-8")))


@pytest.mark.parametrize("file", ["output/alert.py", "output/side_records.py", "output/dead_letter.py"])
def test_each_key_of_alerts_scores_and_late_events_is_explained(file):
    text = (ROOT / "udfs" / file).read_text(encoding="utf-8")
    keys = set(re.findall(r'^ {8,}"(\w+)":|(?:data|source|record)\["(\w+)"\] =', text, re.MULTILINE))
    written = {one or other for one, other in keys} - {"change", "field", "message"}  # of notices
    pages = "".join((DOCS / page).read_text(encoding="utf-8") for page in ("operating.md", "troubleshooting.md"))
    assert len(written) >= 4
    assert written <= set(CODE.findall(pages))


# What Java, Kafka and Python's libraries say, not this code.
OF_OTHERS = {"SaslAuthenticationFailedError", "CERTIFICATE_VERIFY_FAILED", "Not authorized to access"}
OF_OTHERS |= {"Could not forward element to next operator", "Topic authorization failed", "loadedLibraryNames"}
OF_OTHERS |= {"No ExecutorFactory found"}


def texts_in_code() -> str:
    """All texts of the code, one a line; a gap is where a value is put in."""
    found = []
    for file in (path for top in ("jobs", "udfs", "models") for path in sorted((ROOT / top).rglob("*.py"))):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_message_that_troubleshooting_explains_is_one_that_the_code_gives():
    said, wrong = texts_in_code(), []
    for line in (DOCS / "troubleshooting.md").read_text(encoding="utf-8").splitlines():
        for message in CODE.findall(line.split(" | ")[0]) if line.startswith("| `") else ():
            # Words between what varies: names in capital letters, numbers, and punctuation that code may put together.
            for words in re.split(r"\.\.\.|\b[A-Z]+\b|\b\d+\b|[][:;,()?%]", message):
                piece = words.strip().strip("'").removeprefix("cannot ")
                if len(piece.split()) > 1 and piece not in said and piece not in OF_OTHERS:
                    wrong.append(f"{message}: {piece!r}")
    assert wrong == []


def test_every_detector_is_in_the_table_of_detectors():
    from streamgauge.models.catalog import CATALOG

    text = (DOCS / "choosing-detectors.md").read_text(encoding="utf-8").partition("## All detectors")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(CATALOG)
    assert f"lists all {len(CATALOG)}" in (ROOT / "README.md").read_text(encoding="utf-8")
