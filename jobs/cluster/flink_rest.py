"""Flink's REST endpoint: jobs and their states, savepoints, metrics."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from streamgauge.jobs.cluster.rest_security import context_of, token_of
from streamgauge.jobs.settings.flink import RestSettings
from streamgauge.models.errors import ClusterError

REDIRECTS = (301, 302, 303, 307, 308)
ENDED = {"FAILED", "CANCELED", "FINISHED"}


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: the token is for this address only."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


@dataclass(frozen=True)
class FlinkRest:
    """Flink's REST endpoint.

    Attributes
    ----------
    address : str
        ``host:port``.
    security : RestSettings
        How it is reached: in the open by default.
    """

    address: str
    security: RestSettings = field(default_factory=RestSettings)

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """Send a request, and return its answer as decoded JSON.

        Raises
        ------
        ClusterError
            Flink does not answer, or answers with an error. The message does not show the token.
        """
        data = None if body is None else json.dumps(body).encode()
        headers, token = {"Content-Type": "application/json"}, token_of(self.security)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        scheme, method = "https" if self.security.tls else "http", method or ("POST" if data else "GET")
        request = urllib.request.Request(f"{scheme}://{self.address}{path}", data, headers, method=method)
        handlers = [urllib.request.HTTPSHandler(context=context_of(self.security))] if self.security.tls else []
        try:
            with urllib.request.build_opener(_NoRedirect, *handlers).open(request, timeout=30) as answer:
                return json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                words = self._words(error, path, token)
            raise ClusterError(f"Flink at {self.address} {words}") from None
        except OSError as error:
            raise ClusterError(f"no Flink JobManager answers at {self.address} ({error}){self._hint(error)}") from error
        except http.client.InvalidURL as error:
            raise ClusterError(f"{self.address!r} is no HOST:PORT of a JobManager: {error}") from error
        except (ValueError, http.client.HTTPException) as error:
            raise ClusterError(f"{self.address} answers {path}, but not as Flink does: {error}") from error

    def _words(self, error: urllib.error.HTTPError, path: str, token: str | None) -> str:
        """What an answer with an error says. The text may repeat what was sent."""
        if error.code in (401, 403):
            return f"does not let us in ({error.code}): check flink.rest.token_file or token_env, and cert_file"
        if error.code in REDIRECTS:
            return f"sends us elsewhere ({error.code}), which is not followed: check flink.rest.address and tls"
        text = error.read().decode(errors="replace")
        return f"answers to {path}: {(text if token is None else text.replace(token, '(hidden)'))[:500]}"

    def _hint(self, error: OSError) -> str:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            return ": check flink.rest.ca_file, and whether the certificate is for this name"
        return ": check flink.rest" if self.security.tls else ": `streamgauge up` starts one"

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

    def _wait_ended(self, job_id: str) -> None:
        deadline = time.monotonic() + 60
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
