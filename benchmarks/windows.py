"""How long the windows of an hour, every ten minutes, hold up the events that come while they end.

One shard in this process takes 1,000 events/s, in batches of 250, until windows of a full hour have ended three times. At each end the
window has 3,600,000 events.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from streamgauge.udfs.events.records import RawBatch
from streamgauge.udfs.pipeline.shard import Shard
from streamgauge.udfs.settings.pipeline import PipelineSettings

from benchmarks.common import finish, say

WINDOW = {"size": "1 h", "every": "10 m", "aggregates": {"amount": ["sum", "mean", "p95"], "country": ["distinct"]}}
COUNTRIES = ("AT", "BR", "CH", "DE", "ES", "FR", "GB", "IT")
BEGIN = 1_760_000_400_000  # a window begins
RATE, BATCH = 1_000, 250
MINUTES, ENDS = 81, 3  # the last ends are those of full hours


def held_up(entities: int) -> dict[str, float]:
    """Seconds of the longest batches, of those with which full windows end, and milliseconds of the one in the middle."""
    shard = Shard(PipelineSettings.model_validate({"windows": {"hour": WINDOW}}))
    random = np.random.default_rng(0)
    seconds = np.empty(MINUTES * 60 * RATE // BATCH)
    for number in range(len(seconds)):
        offsets = np.arange(number * BATCH, (number + 1) * BATCH)
        chosen = zip(
            random.integers(0, entities, BATCH).tolist(),
            random.normal(50, 5, BATCH).tolist(),
            random.integers(0, len(COUNTRIES), BATCH).tolist(),
            strict=True,
        )
        values = [{"entity": f"e{e}", "amount": amount, "country": COUNTRIES[c]} for e, amount, c in chosen]
        payloads = [json.dumps(value).encode() for value in values]
        batch = RawBatch(payloads, np.zeros(BATCH, np.int64), offsets, BEGIN + offsets * 1000 // RATE)
        began = time.perf_counter()
        shard.process(batch)
        seconds[number] = time.perf_counter() - began
    # A window waits five seconds for events that are out of order. It ends with the batch that brings event time past its end.
    ends = [int((minute * 60 + 5) * RATE / BATCH) for minute in range(60, MINUTES, 10)][:ENDS]
    longest = [float(seconds[end - 2 : end + 3].max()) for end in ends]
    return {"entities": entities, "ends": longest, "usual_ms": float(np.median(seconds)) * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, nargs="+", default=[1_000, 10_000])
    runs = []
    for entities in parser.parse_args().entities:
        runs.append(run := held_up(entities))
        ends = ", ".join(f"{seconds:.2f}" for seconds in run["ends"])
        say(f"{entities:,} entities: windows end in {ends} s; a usual batch takes {run['usual_ms']:.1f} ms")
    finish({"runs": runs})


if __name__ == "__main__":
    main()
