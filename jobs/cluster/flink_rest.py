"""Flink's REST endpoint: jobs and their states, savepoints, metrics."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from streamgauge.models.errors import ClusterError

ENDED = {"FAILED", "CANCELED", "FINISHED"}


@dataclass(frozen=True)
class FlinkRest:
    """Flink's REST endpoint.

    Attributes
    ----------
    address : str
        ``host:port``.
    """

    address: str

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Send a request, and return its answer as decoded JSON.

        Raises
        ------
        ClusterError
            Flink does not answer, or answers with an error.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            data,
            {"Content-Type": "application/json"},
            method=method or ("POST" if data else "GET"),
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise ClusterError(f"Flink at {self.address} answers to {path}: {error.read().decode()[:500]}") from error
        except OSError as error:
            raise ClusterError(
                f"no Flink JobManager answers at {self.address} ({error}): `streamgauge up` starts one"
            ) from error

    def job_state(self, job_id: str) -> str:
        """State of a job. It is RUNNING only if every task runs."""
        job = self.call(f"/jobs/{job_id}")
        short = any(vertex["tasks"]["RUNNING"] < vertex["parallelism"] for vertex in job["vertices"])
        if job["state"] == "RUNNING" and short:
            return "STARTING"
        return str(job["state"])

    def failure(self, job_id: str) -> str:
        """Why a job failed: Flink's own message, without the lines of Java's stack trace."""
        entries = self.call(f"/jobs/{job_id}/exceptions").get("exceptionHistory", {}).get("entries", [])
        lines = str(entries[0]["stacktrace"]).splitlines() if entries else ["no reason is recorded"]
        return "\n".join(line for line in lines if not line.lstrip().startswith(("at ", "... ")))[-2000:]

    def wait_running(self, job_id: str, seconds: float = 120) -> None:
        """Wait until every task runs. Raises ClusterError with the reason if that does not happen."""
        deadline = time.monotonic() + seconds
        while (state := self.job_state(job_id)) != "RUNNING":
            if state in ENDED or time.monotonic() > deadline:
                reason = self.failure(job_id)
                if "NoResourceAvailable" in reason or state in ("CREATED", "STARTING"):
                    reason = "no free slot: one TaskManager is needed for each task (`streamgauge up --taskmanagers N`)"
                raise ClusterError(f"the job is {state} after {seconds:.0f} s: {reason}")
            time.sleep(0.2)

    def stop(self, job_id: str, folder: str | None = None, seconds: float = 120) -> str:
        """Stop a job with a savepoint. Returns the path of the savepoint."""
        body = {"drain": False} | ({"targetDirectory": folder} if folder else {})
        trigger = self.call(f"/jobs/{job_id}/stop", body)["request-id"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answer = self.call(f"/jobs/{job_id}/savepoints/{trigger}")
            if answer["status"]["id"] == "COMPLETED":
                operation = answer["operation"]
                if "location" in operation:
                    self._wait_ended(job_id)
                    return str(operation["location"])
                raise ClusterError(f"the savepoint failed: {str(operation.get('failure-cause'))[:1000]}")
            time.sleep(0.2)
        raise ClusterError(f"no savepoint within {seconds:.0f} s")

    def cancel(self, job_id: str) -> None:
        """Cancel a job unless it has ended, and wait until it has ended."""
        if self.job_state(job_id) in ENDED:
            return
        self.call(f"/jobs/{job_id}?mode=cancel", method="PATCH")
        self._wait_ended(job_id)

    def _wait_ended(self, job_id: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.job_state(job_id) not in ENDED and time.monotonic() < deadline:
            time.sleep(0.1)

    def operator_counter(self, job_id: str, name: str) -> int:
        """Sum of a counter over all operators and tasks of a job; 0 if there is no such counter yet."""
        return sum(map(int, self.operator_values(job_id, name)))

    def operator_values(self, job_id: str, name: str) -> list[float]:
        """Values of a metric, of all operators and tasks of a job that have it."""
        values: list[float] = []
        for vertex in self.call(f"/jobs/{job_id}")["vertices"]:
            path = f"/jobs/{job_id}/vertices/{vertex['id']}/metrics"
            names = [m["id"] for m in self.call(path) if m["id"].endswith(f".{name}") and "Source" not in m["id"]]
            values += [float(m["value"]) for m in (self.call(f"{path}?get={','.join(names)}") if names else ())]
        return values

    def running(self) -> list[dict[str, Any]]:
        """Jobs that have not ended."""
        return [job for job in self.call("/jobs/overview")["jobs"] if job["state"] not in ENDED]
