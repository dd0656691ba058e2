"""`streamgauge train` and `streamgauge models`, on files and a registry in a folder."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from streamgauge.jobs.commands import models
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.settings.loading import Settings
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.persistence.signature import public_text
from streamgauge.udfs.scoring.trained_models import Models
from typer.testing import CliRunner

from tests.onnx_networks import distance

COLUMNS = ("--entity-column", "pump", "--time-column", "ts", "--label-column", "broken")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments):
        chosen = [str(a) for a in arguments]
        return CliRunner().invoke(app, [*chosen, "--registry", "models"], env={"COLUMNS": "200", "NO_COLOR": "1"})

    return invoke


def test_a_model_is_trained_shown_promoted_rolled_back_frozen_and_verified(pumps, run, tmp_path):
    done = run(
        "train", "pumps", "isolation_forest", pumps, *COLUMNS, "--set", "n_trees=20", "--licence", "CC0-1.0", "--json"
    )
    assert done.exit_code == 0, done.output
    manifest = json.loads(done.stdout.strip().splitlines()[-1])
    assert (manifest["version"], manifest["features"], manifest["settings"]["n_trees"]) == (1, ["pressure", "rpm"], 20)
    assert manifest["history"] | {"low": 0, "high": 0} == {
        "source": "pumps.csv",
        "rows": 800,
        "first": 1704067200000,
        "last": 1704115140000,
        "low": 0,
        "high": 0,
        "licence": "CC0-1.0",
        "left_out": "",
    }
    assert manifest["figures"]["roc_auc"] > 0.95
    assert run("train", "pumps", "gaussian_mixture", pumps, *COLUMNS).exit_code == 0
    registry = Registry(str(tmp_path / "models"))
    assert registry.aliases("pumps") == {"candidate": 2}
    for version in (1, "candidate"):
        done = run("models", "promote", "pumps", version, "--why", "test")
        assert done.exit_code == 0, done.output
    assert "no job was informed" in done.output
    assert registry.aliases("pumps") == {"candidate": 2, "live": 2}
    assert "live is version 1" in run("models", "rollback", "pumps").output
    assert "version 1 stays live" in run("models", "freeze", "pumps", "--why", "audit").output
    assert registry.aliases("pumps")["frozen"] == 1
    assert registry.history("pumps", "frozen")[0]["why"] == "audit"
    assert "the trainer may change it again" in run("models", "freeze", "pumps", "--thaw").output
    assert "frozen" not in registry.aliases("pumps")
    shown = run("models", "show", "pumps")
    assert "isolation_forest" in shown.output
    assert "live: version 1" in shown.output
    listed = json.loads(run("models", "list", "--json").stdout.strip().splitlines()[-1])
    assert listed[0]["aliases"] == {"candidate": 2, "live": 1}
    assert run("models", "verify").exit_code == 0
    assert "nothing to delete" in run("models", "gc").output
    next((tmp_path / "models" / "pumps" / "files").iterdir()).write_bytes(b"x")
    broken = run("models", "verify")
    assert broken.exit_code == 1
    assert "was changed" in broken.output


def test_with_trusted_keys_every_alias_is_signed_or_refused(pumps, run, tmp_path, monkeypatch):
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    monkeypatch.setenv("STREAMGAUGE__MODELS__TRUSTED_KEYS", json.dumps([public_text(key)]))
    train = ("train", "pumps", "isolation_forest", pumps, *COLUMNS, "--set", "n_trees=5")
    refused = run(*train)
    assert (refused.exit_code, "must be signed" in refused.output) == (1, True)
    for _ in range(2):
        assert run(*train, "--promote", "--sign-key", "key.pem").exit_code == 0
    for command in (("promote", "pumps", 1), ("rollback", "pumps"), ("freeze", "pumps")):
        refused = run("models", *command)
        assert (refused.exit_code, "name a key with --sign-key" in refused.output) == (1, True)
        done = run("models", *command, "--sign-key", "key.pem")
        assert done.exit_code == 0, done.output
    assert Registry(str(tmp_path / "models"), (public_text(key),)).aliases("pumps") == {
        "candidate": 2,
        "frozen": 2,
        "live": 2,
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("train", "p", "clairvoyant", "FILE"),
            "'clairvoyant' is none that is trained; these are: isolation_forest, one_class",
        ),
        (
            ("train", "p", "isolation_forest", "FILE", "--set", "trees=3"),
            "isolation_forest takes n_trees, part, trim, seed",
        ),
        (("train", "p", "isolation_forest", "FILE", "--set", "trees"), "write NAME=VALUE"),
        (("train", "p", "autoencoder", "FILE", "--set", "epochs=0"), "epochs=0: epochs must be a whole number from 1"),
        (("train", "p", "isolation_forest", "FILE", "--drop", "rmp"), "has no column 'rmp'"),
        (("train", "p", "isolation_forest", "FILE", "--last", "500"), "name files, or these"),
        (("train", "p", "isolation_forest", "FILE", "--last", "500", "--drop", "rpm"), "name files, or these"),
        (("train", "p", "isolation_forest", "--last", "500", "--offsets", "0:1-9"), "exclude each other"),
        (("train", "p", "isolation_forest", "--drop", "rpm"), "--drop belongs to files, and none is named"),
        (("train", "p", "isolation_forest", "--label-column", "x"), "--label-column belongs to files"),
        (("train", "--watch", "--promote"), "--watch takes what the job asks for"),
        (("train", "--watch", "--set", "n_trees=20"), "--watch takes what the job asks for"),
        (("train", "--watch", "--drop", "rpm"), "--watch takes what the job asks for"),
        (("models", "import", "p", "FILE", "FILE", "--features", "rpm", "--last", "500"), "name files, or these"),
        (("models", "import", "p", "FILE", "--features", "rpm", "--thousands", ","), "--thousands belongs to files"),
        (("train", "p", "isolation_forest", "FILE", "--set", "n_trees=10000000"), "a model may take 500 MB"),
        (("train", "../p", "isolation_forest", "FILE"), "cannot be the name of a model"),
        (("train", "p", "isolation_forest", "nofile.csv"), "no such file"),
        (("models", "show", "p"), "p has no alias 'live' in models; aliases: none"),
        (("models", "verify", "p"), "there is no model 'p'"),
        (("models", "gc", "p"), "there is no model 'p' in models; models: none"),
        (("models", "promote", "p", "7"), "there is no p version 7 in models; versions: none"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_is_allowed(pumps, run, arguments, words):
    done = run(*(pumps if a == "FILE" else a for a in arguments))
    assert done.exit_code in (1, 2)
    assert words in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_a_command_without_a_registry_says_how_to_name_one():
    done = CliRunner().invoke(app, ["models", "list"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "name a registry" in done.output


def test_a_network_that_was_made_elsewhere_is_imported_and_may_be_promoted_to_shadow(pumps, run, tmp_path):
    (tmp_path / "pumps.onnx").write_bytes(distance(np.array([0.0, 0.0]), np.array([1.0, 10.0]), sign=-1.0))
    command = ("models", "import", "pumps", "pumps.onnx", pumps, *COLUMNS)
    done = run(*command, "--features", "rpm,pressure", "--low-is-anomalous", "--json")
    assert done.exit_code == 0, done.output
    manifest = json.loads(done.stdout.strip().splitlines()[-1])
    assert (manifest["detector"], manifest["features"]) == ("imported_network", ["rpm", "pressure"])
    assert (manifest["chosen"]["reads"], manifest["settings"]["low_is_anomalous"]) == ("score", True)
    registry = Registry(str(tmp_path / "models"))
    assert registry.aliases("pumps") == {"candidate": 1}
    loaded = registry.load("pumps", 1).detector
    history = pd.read_csv(pumps)[["rpm", "pressure"]].to_numpy(np.float64)
    distances = np.maximum(np.abs(history[:, 0]), np.abs(history[:, 1]) / 10)
    order = np.argsort(loaded.rate_many(history), kind="stable")
    assert distances[order[-1]] >= np.quantile(distances, 0.99)
    assert run("models", "promote", "pumps", "--to", "shadow").exit_code == 0
    assert registry.aliases("pumps") == {"candidate": 1, "shadow": 1}


def test_an_alias_from_before_the_keys_is_signed_whatever_the_others_are(pumps, run, tmp_path, monkeypatch):
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    train = ("train", "pumps", "isolation_forest", pumps, *COLUMNS, "--set", "n_trees=5", "--sign-key", "key.pem")
    assert run(*train).exit_code == 0
    for alias in ("live", "candidate"):
        Registry(str(tmp_path / "models")).point("pumps", alias, 1)
    monkeypatch.setenv("STREAMGAUGE__MODELS__TRUSTED_KEYS", json.dumps([public_text(key)]))
    done = run("models", "promote", "pumps", 1, "--sign-key", "key.pem")
    assert done.exit_code == 0, done.output
    assert Registry(str(tmp_path / "models"), (public_text(key),)).resolve("pumps", "live") == 1


@pytest.fixture
def promoting(pumps, run, tmp_path, monkeypatch):
    """A registry with two versions, settings of a job that uses them, and what is sent to it."""
    for _ in range(2):
        assert run("train", "pumps", "isolation_forest", pumps, *COLUMNS, "--set", "n_trees=5").exit_code == 0
    registry, sent = Registry(str(tmp_path / "models")), []
    monkeypatch.setattr(models, "send_control", lambda kafka, message: sent.append(message))
    use = {"pumps": {"alias": "live", "shadow": "shadow"}}
    return registry, Settings.model_validate({"models": {"registry": str(tmp_path / "models"), "use": use}}), sent


def roles(sent):
    return [(message.role, message.version, *([message.share] if message.share else [])) for message in sent]


def test_a_shadow_that_is_promoted_changes_places_with_the_live_version(promoting):
    registry, loaded, sent = promoting
    for version, alias in ((1, "live"), (2, "shadow"), (2, "live"), (2, "live")):
        models.promote_to(registry, loaded, "pumps", version, alias, "test")
    exchanged = [("live", 2), ("shadow", 1)]
    assert roles(sent) == [("live", 1), ("live", 1), ("shadow", 2), *exchanged, *exchanged]
    assert registry.aliases("pumps") == {"candidate": 2, "live": 2, "shadow": 1}


def test_after_a_rollback_there_is_no_shadow_in_the_job_nor_after_its_restart(promoting, run, monkeypatch):
    registry, loaded, sent = promoting
    for version, alias in ((1, "live"), (2, "shadow")):
        models.promote_to(registry, loaded, "pumps", version, alias, "test")
    job = Models(loaded.models)
    models.promote_to(registry, loaded, "pumps", 2, "live", "test")
    monkeypatch.setattr(models, "load", lambda path: loaded)
    assert run("models", "rollback", "pumps").exit_code == 0
    for message in sent:
        job.take(message)
    assert roles(sent)[-2:] == [("live", 1), ("shadow", None)]
    assert job.versions == Models(loaded.models).versions == {"pumps": "1"}


def test_a_version_that_was_the_canary_becomes_a_shadow_that_counts_for_nobody(promoting):
    registry, loaded, sent = promoting
    registry.point("pumps", "live", 1)
    registry.point("pumps", "canary", 2)
    models.promote_to(registry, loaded, "pumps", 2, "shadow", "test")
    assert roles(sent) == [("live", 1), ("shadow", 2)]
    assert "canary" not in registry.aliases("pumps")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--features", "rpm,flow"), "the history has no numeric field 'flow'; it has: pressure, rpm"),
        (("--features", "rpm,rpm"), "--features names a field twice"),
        (("--features", "rpm,pressure", "--reads", "text"), "allowed: score, reconstruction"),
        (("--features", "rpm,pressure", "--output", "y"), "the network has no output 'y'; it has: scores"),
        (("--features", "rpm"), "cannot be loaded"),
    ],
)
def test_an_import_that_cannot_be_used_is_refused_with_the_reason(pumps, run, tmp_path, options, message):
    (tmp_path / "pumps.onnx").write_bytes(distance(np.array([0.0, 0.0]), np.array([1.0, 10.0])))
    done = run("models", "import", "pumps", "pumps.onnx", pumps, *COLUMNS, *options)
    assert done.exit_code in (1, 2)
    assert message in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "models" / "pumps").exists()


def test_an_import_without_its_file_names_it(pumps, run):
    done = run("models", "import", "pumps", "nowhere.onnx", pumps, "--features", "rpm")
    assert "nowhere.onnx cannot be read: No such file" in done.output
