"""Make the saved state of a release: streams, what the pipeline had saved in the middle of each, and what came out of the rest.

``python -m tests.state.make_fixtures tests/state/v1`` in a clone of the release. The next release makes its own folder; what an
earlier release made is never made again. `tests/udfs/pipeline/test_saved_state_of_earlier_releases.py` reads all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, make_candidate
from streamgauge.udfs.control.feedback import parse_feedback
from streamgauge.udfs.control.messages import parse
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.output.result import BatchResult
from streamgauge.udfs.settings.pipeline import PipelineSettings

from tests.state.saved_streams import CONTROL, FEEDBACK, REGISTRY, STREAMS, Stream
from tests.streams import SMALL, Run

BATCH = 64  # events of each batch that is fed, before and after
OUTPUTS = ("alerts", "scores", "dead", "late", "notices", "requests")


class Recorded(Run):
    """A run that keeps the requests to retrain a model, too."""

    def __init__(self, settings: PipelineSettings) -> None:
        super().__init__(settings)
        self.requests: list[tuple[str, bytes]] = []

    def take(self, result: BatchResult) -> None:
        """Keep what came out of a batch."""
        super().take(result)
        self.requests += result.requests


def make_registry(folder: Path) -> None:
    """Two versions of a small forest; the first is at work."""
    X = np.random.default_rng(11).normal(size=(600, 2))
    registry, past = Registry(str(folder)), Past(X, ["b", "a"], np.arange(600, dtype=np.int64) % 3)
    for seed in (1, 2):
        registry.publish(*make_candidate("forest", "isolation_forest", past, {"n_trees": 8, "part": 64, "seed": seed}))
    registry.point("forest", "live", 1)


def settings_of(stream: Stream) -> PipelineSettings:
    """All settings of a stream."""
    values = SMALL.model_dump(mode="json")
    for section, keys in stream.settings.items():
        merged = isinstance(keys, dict) and isinstance(values.get(section), dict) and section != "detectors"
        values[section] = values[section] | keys if merged else keys
    return PipelineSettings.model_validate(values)


def say(run: Recorded, topic: str, offset: int, text: str) -> None:
    """Give the pipeline a message, as the job does."""
    if topic == FEEDBACK:
        run.take(run.shard.hear(parse_feedback(text), offset))
        return
    message = parse(text)
    if message.type == "entity":
        run.take(run.shard.act(message, offset))
    else:
        run.shard.apply(message)


def make(stream: Stream) -> tuple[Recorded, list[tuple[str, int, str]]]:
    """Run a stream until it stops; the run, and what was said: topic, offset and text."""
    run, said = Recorded(settings_of(stream)), []
    edges = sorted({*range(0, stream.stop, BATCH), stream.stop, *(message.at for message in stream.messages)})
    for begin, end in zip(edges, [*edges[1:], stream.stop], strict=True):
        for message in stream.messages:
            if message.at == begin:
                text = message.text(run) if callable(message.text) else message.text
                said.append((message.topic, sum(topic == message.topic for topic, *_ in said), json.dumps(text)))
                say(run, *said[-1])
        run.feed(stream.raw.take(np.arange(begin, end)))
    return run, said


def restored(manifest: dict[str, Any], saved: dict[str, bytes]) -> Recorded:
    """Restore what was saved, as the job does."""
    run = Recorded(PipelineSettings.model_validate(as_written_today(manifest["settings"])))
    for message in manifest["said"]:
        say(run, *message)
    run.shard.restore(saved.items())
    run.saved = dict(saved)
    for topic, offset, text in manifest["said"]:
        if topic == FEEDBACK or json.loads(text)["type"] == "entity":  # was done, and must not be done again
            say(run, topic, offset, text)
    return run


def resume(manifest: dict[str, Any], saved: dict[str, bytes], rest: RawBatch) -> Recorded:
    """Restore what was saved, and feed the rest of the stream."""
    return finish(restored(manifest, saved), manifest, rest)


def finish(run: Recorded, manifest: dict[str, Any], rest: RawBatch) -> Recorded:
    """Feed the rest of a stream; then let time pass, and ask about entities."""
    run.feed(rest, range(0, len(rest), BATCH))
    if manifest["quiet"]:
        run.take(run.shard.tick({int(p): manifest["quiet"] for p in np.unique(rest.partitions)}))
    for offset, entity in enumerate(manifest["shown"], len(manifest["said"])):
        message = {"type": "entity", "entity": entity, "action": "show", "id": f"show {entity}"}
        say(run, CONTROL, offset, json.dumps(message))
    return run


def as_written_today(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of an earlier release, as its user has to write them today."""
    decide = dict(settings["decide"])
    budget = decide.pop("budget", None)  # alerts a day
    if budget is not None:
        decide |= {"promise": f"{budget:g} per day", "threshold": None}
    return settings | {"decide": decide}


def digest(saved: dict[str, bytes]) -> str:
    """A mark of a saved state."""
    mark = hashlib.sha256()
    for key in sorted(saved):
        mark.update(f"{key}\0{len(saved[key])}\0".encode() + saved[key])
    return mark.hexdigest()


def arithmetic() -> str:
    """A mark of how this processor rounds: the last digit of exponentials and logarithms is not the same on all."""
    x = np.linspace(0.001, 30, 5000)
    known = [
        np.exp(-x),
        np.log(x),
        np.log1p(x),
        np.sin(x),
        x**0.3,
        np.array([[math.exp(-v), math.log(v)] for v in x.tolist()]),
    ]
    return hashlib.sha256(b"".join(values.tobytes() for values in known)).hexdigest()


def lines(run: Recorded) -> list[str]:
    """Everything that came out, a JSON a line: output, key and text."""
    return [json.dumps([name, key, text.decode()]) for name in OUTPUTS for key, text in getattr(run, name)]


def manifest_of(stream: Stream, said: list[tuple[str, int, str]], saved: dict[str, bytes]) -> dict[str, Any]:
    """What a fixture says about its stream, but for the state at the end."""
    return {
        "settings": settings_of(stream).model_dump(mode="json"),
        "said": said,
        "shown": stream.shown,
        "quiet": stream.quiet,
        "keys": list(saved),
        "arithmetic": arithmetic(),
    }


def write(path: Path, stream: Stream) -> None:
    """Make one fixture."""
    run, said = make(stream)
    manifest = manifest_of(stream, said, run.saved)
    rest = stream.raw.take(np.arange(stream.stop, len(stream.raw)))
    rows = zip(rest.partitions.tolist(), rest.offsets.tolist(), rest.stamps.tolist(), rest.payloads, strict=True)
    after = resume(manifest, run.saved, rest)
    manifest["digest_after"] = digest(after.saved)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        state = io.BytesIO()  # one file inside, because small values are many and alike
        for value in run.saved.values():
            state.write(len(value).to_bytes(4, "little") + value)
        for name, data in (
            ("manifest.json", json.dumps(manifest, indent=1)),
            ("state.bin", state.getvalue()),
            ("input.jsonl", "\n".join(json.dumps([*row[:3], row[3].decode()]) for row in rows)),
            ("expected.jsonl", "\n".join(lines(after))),
        ):
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_LZMA)
    counts = {name: len(getattr(after, name)) for name in OUTPUTS}
    states = sorted({json.loads(text)["data"]["state"] for _, text in after.alerts})
    print(path.name, path.stat().st_size, len(run.saved), "keys;", f"{len(run.alerts)} alerts before;", counts, states)


def read(path: Path) -> tuple[dict[str, Any], dict[str, bytes], RawBatch, list[str]]:
    """A fixture: manifest, saved state, rest of the stream, and what came out of it, a JSON a line."""
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
        state = io.BytesIO(archive.read("state.bin"))
        saved = {key: state.read(int.from_bytes(state.read(4), "little")) for key in manifest["keys"]}
        rows = [json.loads(line) for line in archive.read("input.jsonl").splitlines()]
        expected = archive.read("expected.jsonl").decode().splitlines()
    partitions, offsets, stamps = (np.array(column, dtype=np.int64) for column in list(zip(*rows, strict=True))[:3])
    return manifest, saved, RawBatch([row[3].encode() for row in rows], partitions, offsets, stamps), expected


def main(folder: Path) -> None:
    """Make all fixtures of a release."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(folder):
        make_registry(Path(REGISTRY))
        for name, stream in STREAMS.items():
            write(Path(f"{name}.zip"), stream())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
