"""Settings of the service."""

from __future__ import annotations

from streamgauge.jobs.settings.loading import load


def test_the_password_of_the_database_is_in_no_dump(tmp_path):
    file = tmp_path / "detection.yaml"
    file.write_text("service: {port: 9000}\n")
    url = "postgresql://me:very-secret@host/name"
    settings = load(file, {"STREAMGAUGE__SERVICE__DATABASE": url})
    assert settings.service.database.get_secret_value() == url
    for shown in (settings.model_dump_json(), str(settings), repr(settings.model_dump())):
        assert "very-secret" not in shown
