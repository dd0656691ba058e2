"""Schemas are fetched once. A registry that is away fails the task, and costs no record."""

from __future__ import annotations

import base64
import ipaddress
import json
import socket
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from streamgauge.models.errors import RegistryError
from streamgauge.udfs.events.records import UnreadableError
from streamgauge.udfs.events.registry import client
from streamgauge.udfs.events.registry.client import Registry
from streamgauge.udfs.settings.registry import RegistrySettings

from tests.udfs.events.registry.small_registry import small_registry

SECRET = "pa$$wörd"


def settings(url, **others):
    return RegistrySettings(**{"url": url, "retry_for": "300 ms", "timeout": "2 s"} | others)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_a_schema_is_fetched_once_and_kept(registry):
    registry.add(7, "syntax = 'proto3';", "PROTOBUF")
    known = Registry(settings(registry.url))
    schemas = {id(known.schema(7)) for _ in range(3)}
    schema = known.schema(7)
    assert len(schemas) == 1
    assert (schema.id, schema.kind, schema.text, schema.references) == (7, "PROTOBUF", "syntax = 'proto3';", {})
    assert registry.asked == ["/schemas/ids/7"]


def test_the_registry_is_first_asked_when_a_schema_is_needed(registry):
    Registry(settings(registry.url))
    assert registry.asked == []


def test_references_come_with_it_and_each_one_is_after_those_that_it_needs(registry):
    registry.add(1, "main", references=[("a", "sub/a"), ("b", "b")])
    registry.add_subject("sub%2Fa", "text of a", references=[("b", "b"), ("c", "c")])
    registry.add_subject("b", "text of b", references=[("a", "sub/a")])  # a circle, which must end
    registry.add_subject("c", "text of c")
    schema = Registry(settings(registry.url)).schema(1)
    assert list(schema.references.items()) == [("b", "text of b"), ("c", "text of c"), ("a", "text of a")]
    assert len(registry.asked) == 4


def test_an_unknown_id_is_said_and_not_asked_for_again_at_once(registry):
    known = Registry(settings(registry.url))
    for _ in range(3):
        with pytest.raises(UnreadableError, match=r"has no schema 5") as raised:
            known.schema(5)
        assert raised.value.reason == "unknown_schema"
    assert len(registry.asked) == 1


def test_an_id_that_becomes_known_later_is_found(registry, monkeypatch):
    monkeypatch.setattr(client, "UNKNOWN_FOR", 0.0)
    known = Registry(settings(registry.url))
    with pytest.raises(UnreadableError):
        known.schema(5)
    registry.add(5, "here now")
    assert known.schema(5).text == "here now"


def test_a_missing_reference_is_an_unknown_schema(registry):
    registry.add(1, "main", references=[("gone", "gone")])
    with pytest.raises(UnreadableError, match="or not all that it refers to"):
        Registry(settings(registry.url)).schema(1)


def test_an_id_that_no_registry_can_have_is_unknown_and_never_asked_for(registry):
    with pytest.raises(UnreadableError) as raised:
        Registry(settings(registry.url)).schema(2**31)
    assert raised.value.reason == "unknown_schema"
    assert registry.asked == []


@pytest.mark.parametrize("status", [401, 403, 408, 429, 500, 503])
def test_a_registry_that_fails_for_a_moment_is_asked_again(registry, status):
    registry.add(7, "text")
    registry.failures = [status]
    assert Registry(settings(registry.url)).schema(7).text == "text"
    assert len(registry.asked) == 2


@pytest.mark.parametrize(("status", "said"), [(503, "status 503"), (401, "refuses the user"), (302, "status 302")])
def test_one_that_goes_on_failing_is_an_error_of_its_own(registry, status, said):
    registry.failures = [status] * 100
    with pytest.raises(RegistryError, match=rf"{said}.*registry\.retry_for"):
        Registry(settings(registry.url)).schema(7)
    assert len(registry.asked) > 1
    assert "/elsewhere" not in registry.asked


def test_one_that_is_away_is_an_error_of_its_own():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(RegistryError, match="cannot be reached"):
        Registry(settings(url)).schema(7)


def test_one_that_never_answers_is_an_error_of_its_own():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RegistryError, match="cannot be reached"):
            Registry(settings(url, timeout="50 ms", retry_for="0 ms")).schema(7)


@pytest.mark.parametrize("found", ["a page", {"hello": 1}, {"schema": 5}, ["schema"]])
def test_what_is_no_registry_is_said_and_costs_no_record(registry, found):
    registry.answers["/schemas/ids/7"] = found
    with pytest.raises(RegistryError, match="is the url that of a registry"):
        Registry(settings(registry.url)).schema(7)


def test_a_missing_page_is_no_unknown_schema(registry, monkeypatch):
    monkeypatch.setattr("tests.udfs.events.registry.small_registry.UNKNOWN", {"error": "no such page"})
    with pytest.raises(RegistryError, match="status 404"):
        Registry(settings(registry.url)).schema(7)


def test_user_and_password_come_from_a_variable_or_a_file_that_is_read_anew(registry, monkeypatch, tmp_path):
    registry.add(7, "text")
    registry.add(8, "text")
    registry.authorization = basic("streamgauge", SECRET)
    monkeypatch.setenv("REGISTRY_PASSWORD", SECRET)
    variable = settings(registry.url, user="streamgauge", password_env="REGISTRY_PASSWORD")
    assert Registry(variable).schema(7).text == "text"
    file = tmp_path / "password"
    file.write_text(f"{SECRET}\n", encoding="utf-8")
    by_file = Registry(settings(registry.url, user="streamgauge", password_file=str(file)))
    assert by_file.schema(7).text == "text"
    file.write_text("another", encoding="utf-8")
    registry.authorization = basic("streamgauge", "another")
    assert by_file.schema(8).text == "text"


def test_a_token_comes_from_a_variable_or_a_file(registry, monkeypatch, tmp_path):
    registry.add(7, "text")
    registry.authorization = "Bearer abc.def"
    monkeypatch.setenv("REGISTRY_TOKEN", "abc.def")
    assert Registry(settings(registry.url, token_env="REGISTRY_TOKEN")).schema(7).text == "text"
    file = tmp_path / "token"
    file.write_text("abc.def\n", encoding="utf-8")
    assert Registry(settings(registry.url, token_file=str(file))).schema(7).text == "text"


@pytest.mark.parametrize(
    ("value", "said"),
    [("wrong " + SECRET, "spaces"), ("two\nlines", "spaces"), (SECRET, "no token may have"), ("", "REGISTRY_TOKEN")],
)
def test_a_token_that_cannot_be_sent_is_refused_at_once_and_not_shown(registry, monkeypatch, value, said):
    monkeypatch.setenv("REGISTRY_TOKEN", value)
    with pytest.raises(RegistryError, match=said) as raised:
        Registry(settings(registry.url, token_env="REGISTRY_TOKEN")).schema(7)
    assert SECRET not in str(raised.value)
    assert registry.asked == []


def test_a_secret_that_is_nowhere_is_named(registry, tmp_path):
    with pytest.raises(RegistryError, match=r"NOT_SET_HERE \(registry\.password_env\)"):
        Registry(settings(registry.url, user="a", password_env="NOT_SET_HERE")).schema(7)
    with pytest.raises(RegistryError, match=r"missing \(registry\.token_file\): FileNotFoundError"):
        Registry(settings(registry.url, token_file=str(tmp_path / "missing"))).schema(7)


def test_a_wrong_password_is_shown_nowhere(registry, monkeypatch, caplog):
    registry.authorization = basic("streamgauge", "right")
    monkeypatch.setenv("REGISTRY_PASSWORD", SECRET)
    given = settings(registry.url, user="streamgauge", password_env="REGISTRY_PASSWORD")
    known = Registry(given)
    with caplog.at_level("DEBUG"), pytest.raises(RegistryError, match="refuses the user") as raised:
        known.schema(7)
    everything = "".join((caplog.text, str(raised.value), repr(given), repr(vars(known)), given.model_dump_json()))
    for form in (SECRET, json.dumps(SECRET), basic("streamgauge", SECRET).removeprefix("Basic ")):
        assert form not in everything


def test_tls_is_checked_with_the_certificates_of_the_settings(tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    with small_registry((str(certificate), str(key))) as registry:
        registry.add(7, "text")
        assert Registry(settings(registry.url, ca_file=str(certificate))).schema(7).text == "text"
        with pytest.raises(RegistryError, match="cannot be reached"):
            Registry(settings(registry.url)).schema(7)
        with pytest.raises(RegistryError, match="cannot be reached"):
            Registry(settings(registry.url, ca_file=str(tmp_path / "missing.pem"))).schema(7)
