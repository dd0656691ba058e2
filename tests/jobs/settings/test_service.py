"""Settings of the service."""

from __future__ import annotations

import pytest
from streamgauge.jobs.settings.loading import load, validated
from streamgauge.models.errors import SettingsError


def test_the_password_of_the_database_is_in_no_dump(tmp_path):
    file = tmp_path / "detection.yaml"
    file.write_text("service: {port: 9000}\n")
    url = "postgresql://me:very-secret@host/name"
    settings = load(file, {"STREAMGAUGE__SERVICE__DATABASE": url})
    assert settings.service.database.get_secret_value() == url
    for shown in (settings.model_dump_json(), str(settings), repr(settings.model_dump())):
        assert "very-secret" not in shown


OIDC = {"issuer": "https://id.example.com", "audience": "streamgauge", "roles": {"operators": ["read"]}}
SECRET = "very-secret"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"issuer": None}, "service.oidc.issuer"),
        ({"issuer": "http://id.example.com"}, "service.oidc.issuer"),
        ({"roles": {}}, "service.oidc.roles"),
        ({"roles": {"operators": ["everything"]}}, "'read', 'feedback' or 'control'"),
        ({"client_id": "page"}, "service.oidc: client_id needs service.address"),
        ({"ask": "profile"}, "service.oidc.ask: `openid` must be in it"),
    ],
)
def test_a_provider_that_is_not_described_well_is_refused_without_showing_secrets(change, words):
    with pytest.raises(SettingsError) as refused:
        validated({"service": {"oidc": OIDC | {"client_secret": SECRET} | change}}, "test")
    assert words in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_missing_key_shows_no_secret():
    with pytest.raises(SettingsError, match=r"service\.oidc\.issuer: must be given") as refused:
        validated({"service": {"oidc": {"audience": "streamgauge", "client_secret": SECRET}}}, "test")
    assert SECRET not in str(refused.value)


def test_secrets_of_the_environment_join_the_section_of_the_file(tmp_path):
    file = tmp_path / "detection.yaml"
    file.write_text(
        "service: {address: 'https://p.example', oidc: {issuer: 'https://id.example.com', audience: a, roles: {r: [read]}, client_id: c}}"
    )
    given = {"OIDC__CLIENT_SECRET": SECRET, "REDIS": f"redis://:{SECRET}@redis:6379/0"}
    settings = load(file, {f"STREAMGAUGE__SERVICE__{name}": value for name, value in given.items()})
    assert settings.service.oidc.client_secret.get_secret_value() == SECRET
    assert settings.service.redis.get_secret_value() == given["REDIS"]
    assert SECRET not in settings.model_dump_json() + repr(settings)
