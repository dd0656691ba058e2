"""Create the topics of the job that are missing, before the job starts: in application mode there is no `streamgauge submit` to do it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from streamgauge.jobs.kafka.topics import ensure
from streamgauge.jobs.settings.loading import load
from streamgauge.models.errors import SettingsError, StreamgaugeError


def main() -> int:
    """Create the topics, and print their names."""
    parser = argparse.ArgumentParser(description="Create the topics that are missing.")
    parser.add_argument("--settings", type=Path, help="settings file")
    parser.add_argument("--partitions", type=int, default=4, help="of the topics for events, alerts and scores")
    chosen = parser.parse_args()
    try:
        settings = load(chosen.settings)
        created = ensure(settings.kafka, max(chosen.partitions, settings.batch.shards))
    except StreamgaugeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 1
    print(f"created topics {', '.join(created)}" if created else "all topics are there")
    return 0


if __name__ == "__main__":
    sys.exit(main())
