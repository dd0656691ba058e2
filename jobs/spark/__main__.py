"""Run the job in Spark: `python -m streamgauge.jobs.spark --settings FILE`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from streamgauge.jobs.cluster.home import default_home, writable
from streamgauge.jobs.cluster.kernels import use_compiled
from streamgauge.jobs.cluster.maven import fetch
from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.loading import Settings, load
from streamgauge.jobs.spark.supported import refuse_unsupported
from streamgauge.models.errors import ClusterError, InputError, StreamgaugeError

MOST = 100_000
PARTITIONS = 4  # of topics that are made
LOOK_SECONDS = 0.5  # between two looks at whether the query has ended


def _arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m streamgauge.jobs.spark",
        description="Run the detection job in Spark Structured Streaming (docs/engines.md).",
    )
    parser.add_argument("--settings", type=Path, help="settings file (default: flink-conf/detection.yaml)")
    parser.add_argument(
        "--checkpoint",
        help="folder, or URL, of offsets and state (default: in the folder STREAMGAUGE_HOME, by job.name)",
    )
    parser.add_argument("--once", action="store_true", help="end when all events that are there now are scored")
    parser.add_argument(
        "--most", type=int, default=MOST, help="largest number of events in a micro-batch (default: %(default)s)"
    )
    parser.add_argument(
        "--conf", action="append", default=[], metavar="KEY=VALUE", help="an option of Spark; repeatable"
    )
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """Start the job, and wait until it ends."""
    chosen = _arguments(given)
    try:
        use_compiled(default_home())  # before anything imports numba
        options = _options(chosen.conf)
        if chosen.most < 1:
            raise InputError(f"--most is {chosen.most}: it must be at least 1")
        settings = load(chosen.settings)
        refuse_unsupported(settings)
        if find_spec("pyspark") is None:
            raise ClusterError(
                "pyspark is not installed here: `make spark` makes an environment with it (docs/engines.md)"
            )
        created = ensure(settings.kafka, max(PARTITIONS, settings.batch.shards))
        if created:
            print(f"created topics {', '.join(created)}", file=sys.stderr)
        _run(settings, chosen, options)
    except StreamgaugeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _options(given: list[str]) -> dict[str, str]:
    """Options of Spark by key."""
    wrong = [text for text in given if not text.startswith("spark.") or "=" not in text]
    if wrong:
        raise InputError(f"--conf {wrong[0]!r}: must be KEY=VALUE with a key of Spark, such as spark.driver.memory=4g")
    return {key: value for key, _, value in (text.partition("=") for text in given)}


def _run(settings: Settings, chosen: argparse.Namespace, options: dict[str, str]) -> None:
    home = writable(None)
    folder = home / "jars" / f"spark-{version('pyspark')}"
    fetch(Path(str(files("streamgauge.jobs.spark") / "pom.xml")), home, folder, ("spark-sql-kafka-*.jar",))
    query = import_module("streamgauge.jobs.spark.query")  # it needs pyspark
    spark = query.session(settings, sorted(folder.glob("*.jar")), options)
    asked = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # after Spark has set its own, which breaks off a call to Java
        signal.signal(number, lambda *_: asked.set())
    try:
        checkpoint = chosen.checkpoint or str(home / "spark" / settings.job.name)
        running = query.start(spark, settings, checkpoint, chosen.most, chosen.once)
        while running.isActive and not asked.wait(LOOK_SECONDS):
            pass
        if asked.is_set():
            running.stop()
        running.awaitTermination()  # raises what made the query fail
    finally:
        spark.stop()


if __name__ == "__main__":
    sys.exit(main())
