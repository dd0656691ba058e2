"""The commands reach Flink's REST endpoint behind TLS and a token, and no message shows the token."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography.hazmat.primitives.serialization import pkcs12
from streamgauge.jobs.cluster.doctor import examine
from streamgauge.jobs.cluster.flink_rest import FlinkRest
from streamgauge.jobs.cluster.rest_security import CLI_LOGGING, HEADERS, LOGGER, java_client
from streamgauge.jobs.settings.flink import RestSettings
from streamgauge.jobs.settings.loading import validated
from streamgauge.models.errors import ClusterError

from tests.integration.certificates import Authority
from tests.jobs.cluster.tls_proxy import tls_proxy

TOKEN = "t0ken-aardvark.7351"
JOBS = {"jobs": [{"jid": "a", "name": "streamgauge", "state": "RUNNING"}, {"jid": "b", "name": "x", "state": "FAILED"}]}


class Upstream(BaseHTTPRequestHandler):
    """Answers as Flink does; and on other paths as what may stand before it."""

    def do_GET(self):
        if self.path == "/jobs/overview":
            self.answer(200, json.dumps(JOBS))
        elif self.path == "/overview":
            self.answer(200, '{"flink-version": "2.3.0"}')
        elif self.path == "/elsewhere":
            self.answer(302, "", Location=f"http://{self.headers['Host']}/jobs/overview")
        elif self.path == "/page":
            self.answer(200, "<html>")
        else:
            self.answer(500, f"you sent {self.headers['Authorization']}")

    def answer(self, status, text, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        """Write nothing."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("known"), "authority")


@pytest.fixture(scope="module")
def upstream():
    with ThreadingHTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def address(authority, upstream):
    with tls_proxy(upstream, TOKEN, authority.issue("flink")) as proxy:
        yield proxy


@pytest.fixture
def token(tmp_path):
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return str(file)


def settings(authority, **more):
    return RestSettings.model_validate({"tls": True, "ca_file": str(authority.ca)} | more)


def refused(rest, path="/jobs/overview"):
    with pytest.raises(ClusterError) as raised:
        rest.call(path)
    text = f"{raised.value} {raised.value.__cause__!r}"
    assert TOKEN not in text
    return text


def test_a_token_from_a_file_or_a_variable_lets_us_in(authority, address, token, monkeypatch):
    assert FlinkRest(address, settings(authority, token_file=token)).running() == JOBS["jobs"][:1]
    monkeypatch.setenv("FLINK_TOKEN", TOKEN)
    assert FlinkRest(address, settings(authority, token_env="FLINK_TOKEN")).running() == JOBS["jobs"][:1]


def test_without_settings_it_is_reached_in_the_open(upstream):
    assert FlinkRest(upstream).running() == JOBS["jobs"][:1]


def test_what_is_no_address_and_what_speaks_no_http_are_named():
    assert "'h:x' is no HOST:PORT of a JobManager" in refused(FlinkRest("h:x"))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as connection:
                connection.recv(65_536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert "not as Flink does: SSH-2.0" in refused(FlinkRest(f"127.0.0.1:{server.getsockname()[1]}"))
        thread.join()


def test_without_the_right_token_the_message_names_the_settings(authority, address, tmp_path):
    assert "does not let us in (401): check flink.rest.token_file" in refused(FlinkRest(address, settings(authority)))
    (tmp_path / "wrong").write_text("wrong")
    wrong = settings(authority, token_file=str(tmp_path / "wrong"))
    assert "does not let us in (401)" in refused(FlinkRest(address, wrong))


def test_a_certificate_of_a_foreign_authority_is_refused(address, token, tmp_path):
    foreign = settings(Authority(tmp_path, "foreign"), token_file=token)
    assert "check flink.rest.ca_file" in refused(FlinkRest(address, foreign))


def test_with_mutual_tls_a_certificate_of_ours_is_needed(authority, upstream, token):
    own = authority.issue("operator")
    pair = {"cert_file": str(own.cert), "key_file": str(own.key)}
    with tls_proxy(upstream, TOKEN, authority.issue("flink"), authority) as proxy:
        assert FlinkRest(proxy, settings(authority, token_file=token, **pair)).running() == JOBS["jobs"][:1]
        assert "check flink.rest" in refused(FlinkRest(proxy, settings(authority, token_file=token)))


def test_nothing_that_answers_makes_the_token_visible_or_leads_it_elsewhere(authority, address, token):
    rest = FlinkRest(address, settings(authority, token_file=token))
    assert "you sent Bearer (hidden)" in refused(rest, "/echo")
    assert "sends us elsewhere (302)" in refused(rest, "/elsewhere")
    assert "not as Flink does" in refused(rest, "/page")


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "is not set, or empty"), ("a\nHost: x", "must hold one token"), (f"{TOKEN}\x00", "must hold one token")],
)
def test_what_is_no_token_is_not_sent_and_not_shown(authority, tmp_path, text, why):
    (tmp_path / "token").write_text(text)
    assert why in refused(FlinkRest("127.0.0.1:1", settings(authority, token_file=str(tmp_path / "token"))))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"token_file": "/t"}, "token_file needs tls: true"),
        ({"ca_file": "/c"}, "ca_file needs tls: true"),
        ({"tls": True, "token_file": "/t", "token_env": "T"}, "only one of token_file and token_env"),
        ({"tls": True, "cert_file": "/c"}, "cert_file needs key_file"),
        ({"address": "https://flink:8081"}, "address"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values, why):
    with pytest.raises(ValueError, match=why):
        RestSettings.model_validate(values)


def test_the_doctor_asks_the_jobmanager_of_the_settings(authority, address, token):
    rest = settings(authority, address=address, token_file=token).model_dump(exclude_none=True)
    found = examine(validated({"flink": {"rest": rest}, "kafka": {"bootstrap": "127.0.0.1:1"}}, "the test"))
    flink, kafka = found[-2:]  # topics and events are not looked for where no broker answers
    assert (flink.check, flink.state, flink.message) == ("Flink", "ok", f"version 2.3.0 answers at {address}")
    assert (kafka.check, kafka.state) == ("Kafka", "failure")
    assert "no Kafka broker answers at 127.0.0.1:1" in kafka.message


# ---- Flink's own client -----------------------------------------------------------------------------------------------


def test_flinks_client_gets_stores_of_java_and_the_token_in_a_variable_until_it_has_ended(authority, token, tmp_path):
    own = authority.issue("operator")
    (tmp_path / CLI_LOGGING).write_text("rootLogger.level=WARN\n")
    rest = settings(authority, token_file=token, cert_file=str(own.cert), key_file=str(own.key))
    with java_client(rest, tmp_path) as java:
        options = dict(option.removeprefix("-Dsecurity.ssl.").split("=", 1) for option in java.options)
        assert options["algorithms"].startswith("TLS_ECDHE_ECDSA_")
        options = {name.removeprefix("rest."): value for name, value in options.items()}
        assert (options["enabled"], options["authentication-enabled"]) == ("true", "true")
        with open(options["keystore"], "rb") as file:
            stored = pkcs12.load_pkcs12(file.read(), options["keystore-password"].encode())
        assert stored.cert.certificate.subject.rfc4514_string() == "CN=operator"
        assert java.environment == {HEADERS: f"Authorization:Bearer {TOKEN}"}
        assert TOKEN not in f"{java!r} {java.options}"
        assert java.hidden(f"headers: Bearer {TOKEN}") == "headers: Bearer (hidden)"
    with pytest.raises(FileNotFoundError):
        open(options["truststore"], "rb")  # noqa: SIM115  it does not open


@pytest.mark.parametrize(
    ("logging", "written"),
    [
        (None, True),
        ("rootLogger.level = INFO", True),
        (f"rootLogger.level = WARN\nlogger.a.name = {LOGGER}\nlogger.a.level = INFO", True),
        (f"rootLogger.level = INFO\nlogger.a.name={LOGGER}\nlogger.a.level=WARN", False),
    ],
)
def test_the_token_is_not_given_to_a_client_that_would_write_it_to_its_log(
    authority, token, tmp_path, logging, written
):
    if logging is not None:
        (tmp_path / CLI_LOGGING).write_text(logging)
    rest = settings(authority, token_file=token)
    if not written:
        with java_client(rest, tmp_path) as java:
            assert HEADERS in java.environment
        return
    with pytest.raises(ClusterError, match="would write the token to its log: add to"), java_client(rest, tmp_path):
        pass
