"""One setting becomes the options of both Kafka clients. Java's hold no secret, and no message does."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from streamgauge.jobs.kafka.security import OF_KAFKA, java_properties, python_options
from streamgauge.jobs.settings.kafka import SecuritySettings
from streamgauge.models.errors import ClusterError

from tests.integration.certificates import Authority

WORD = "hunter2"
SASL = {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-512", "username": "u"}


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{WORD}\r\n")
    return file


def test_without_security_flink_gets_no_property():
    assert java_properties(SecuritySettings()) == {}
    assert python_options(SecuritySettings()) == {"security_protocol": "PLAINTEXT"}


def test_the_password_comes_from_the_environment_or_a_file(monkeypatch, password_file):
    monkeypatch.setenv("KAFKA_WORD", WORD)
    variable = SecuritySettings(**SASL, password_env="KAFKA_WORD")
    file = SecuritySettings(**SASL, password_file=str(password_file))
    for security in (variable, file):
        options = python_options(security)
        assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("u", WORD)
    assert '"${env:KAFKA_WORD}' in java_properties(variable)["sasl.jaas.config"]
    assert f'"${{directory:{password_file.parent}:password}}' in java_properties(file)["sasl.jaas.config"]
    assert WORD not in f"{java_properties(variable)} {java_properties(file)} {variable!r} {file!r}"


@pytest.mark.parametrize(("mechanism", "module"), [("PLAIN", "plain.Plain"), ("SCRAM-SHA-256", "scram.Scram")])
def test_each_mechanism_has_its_login_module(mechanism, module):
    security = SecuritySettings(**SASL | {"mechanism": mechanism}, password_env="P")
    login = f"org.apache.kafka.common.security.{module}LoginModule required"
    assert java_properties(security, OF_KAFKA)["sasl.jaas.config"].startswith(login)
    # Flink's connector brings the same classes under other names
    of_flink = login.replace("org.apache.kafka", "org.apache.flink.kafka.shaded.org.apache.kafka")
    assert java_properties(security)["sasl.jaas.config"].startswith(of_flink)


@pytest.mark.parametrize("content", ["", "\n", f'{WORD}"', f"{WORD}\\", f"{WORD}\nx"])
def test_a_password_that_cannot_be_used_is_refused_and_not_shown(password_file, content):
    password_file.write_text(content)
    with pytest.raises(ClusterError, match=r"kafka\.security\.password_file: .*password") as refused:
        python_options(SecuritySettings(**SASL, password_file=str(password_file)))
    assert WORD not in str(refused.value)


def test_a_missing_variable_or_file_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("KAFKA_WORD", raising=False)
    with pytest.raises(ClusterError, match=r"password_env: the environment variable KAFKA_WORD is not set"):
        python_options(SecuritySettings(**SASL, password_env="KAFKA_WORD"))
    with pytest.raises(ClusterError, match=r"password_file: .*nowhere cannot be read: No such file"):
        python_options(SecuritySettings(**SASL, password_file=str(tmp_path / "nowhere")))
    with pytest.raises(ClusterError, match=r"ca_file: .*nowhere cannot be read: No such file"):
        python_options(SecuritySettings(protocol="SSL", ca_file=str(tmp_path / "nowhere")))


def test_certificates_and_keys_are_read(tmp_path):
    authority = Authority(tmp_path, "authority")
    one, other = authority.issue("one"), authority.issue("other")

    def tls(ca=authority.ca, cert=one.cert, key=one.key):
        return SecuritySettings(protocol="SSL", ca_file=str(ca), cert_file=str(cert), key_file=str(key))

    context = python_options(tls())["ssl_context"]
    assert context.check_hostname
    assert len(context.get_ca_certs()) == 1
    assert java_properties(tls())["ssl.keystore.key"] == f"${{directory:{tmp_path}:one.key}}"
    with pytest.raises(ClusterError, match=r"cert_file.*key_file.*are no pair"):
        python_options(tls(key=other.key))
    with pytest.raises(ClusterError, match=r"ca_file: .* holds no certificates"):
        python_options(tls(ca=one.key))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
@pytest.mark.parametrize("form", [["-traditional"], ["-aes256", "-passout", f"pass:{WORD}"]])
def test_a_key_that_flink_cannot_read_is_refused_with_the_remedy(tmp_path, form):
    authority = Authority(tmp_path, "authority")
    own, key = authority.issue("own"), tmp_path / "old.key"
    subprocess.run(["openssl", "pkey", "-in", own.key, "-out", key, *form], check=True, capture_output=True)
    security = SecuritySettings(protocol="SSL", cert_file=str(own.cert), key_file=str(key))
    with pytest.raises(ClusterError, match="openssl pkcs8 -topk8 -nodes"):
        python_options(security)
