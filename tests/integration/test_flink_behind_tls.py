"""The commands submit and stop a job at a JobManager behind TLS and a token, and the token is nowhere to be read."""

from __future__ import annotations

import json

import pytest
from streamgauge.jobs.cluster.submit import submit
from streamgauge.jobs.settings.loading import load
from streamgauge.models.errors import ClusterError

from tests.integration.certificates import Authority
from tests.integration.live import Live, streamgauge
from tests.jobs.cluster.tls_proxy import tls_proxy

pytestmark = pytest.mark.slow
TOKEN = "t0ken-aardvark.7351"


def test_a_job_is_submitted_and_stopped_through_tls_with_a_token_that_nobody_sees(cluster, tmp_path):
    authority = Authority(tmp_path, "authority")
    own, token = authority.issue("operator"), tmp_path / "token"
    token.write_text(TOKEN)
    files = {"ca_file": authority.ca, "cert_file": own.cert, "key_file": own.key, "token_file": token}
    with tls_proxy(cluster.jobmanager, TOKEN, authority.issue("flink"), authority) as proxy:
        rest = {"address": proxy, "tls": True} | {key: str(file) for key, file in files.items()}
        live = Live(cluster, tmp_path, flink={"rest": rest})
        job = json.loads(streamgauge("submit", "--settings", live.file, "--json"))["job"]
        paths = ["/config", "/jobmanager/config", "/jobmanager/environment", f"/jobs/{job}", f"/jobs/{job}/config"]
        shown = "".join(json.dumps(live.rest.call(path)) for path in [*paths, f"/jobs/{job}/jobmanager/config"])
        stopped = json.loads(streamgauge("stop", "--settings", live.file, "--json"))
        assert stopped["job"] == job
        token.write_text("wrong-" + TOKEN)
        with pytest.raises(ClusterError) as refused:
            submit(load(live.file), live.file)
    logs = "".join(file.read_text(errors="replace") for file in (cluster.home / "logs").iterdir() if file.is_file())
    assert TOKEN not in f"{shown} {logs} {refused.value}"
