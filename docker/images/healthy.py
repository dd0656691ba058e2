"""Whether a process of this container is well: exit code 0 if it answers, and with --running if its Flink job runs, too.

healthy.py http://127.0.0.1:9249/metrics
healthy.py --running http://127.0.0.1:8081/jobs/overview
"""

from __future__ import annotations

import argparse
import json
import sys
import urllib.request

SECONDS = 5


def why_not(url: str, running: bool) -> str | None:
    """Why the process is not well; None if it is."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            body = answer.read()
        states = [job["state"] for job in json.loads(body)["jobs"]] if running else ["RUNNING"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{url}: {error}"
    return None if "RUNNING" in states else f"{url}: no job is RUNNING, but {', '.join(states) or 'there is none'}"


def main() -> int:
    """Read the arguments, and ask the process."""
    parser = argparse.ArgumentParser(description="Ask a process of this container whether it is well.")
    parser.add_argument("url")
    parser.add_argument("--running", action="store_true", help="the URL is Flink's list of jobs; one of them must run")
    chosen = parser.parse_args()
    reason = why_not(chosen.url, chosen.running)
    if reason is not None:
        print(reason, file=sys.stderr)
    return int(reason is not None)


if __name__ == "__main__":
    sys.exit(main())
