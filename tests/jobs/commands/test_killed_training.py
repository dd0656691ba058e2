"""`streamgauge train` after a kill: it continues, says so, and publishes the same model."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from streamgauge.jobs.commands.app import app
from streamgauge.jobs.studies.train import train
from streamgauge.models.detectors.network import torch_training
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past
from typer.testing import CliRunner

SETTINGS = {"hidden": 2, "epochs": 6}
COMMAND = [
    "train",
    "autoencoder",
    "pumps.csv",
    "--entity-column",
    "pump",
    "--time-column",
    "ts",
    "--registry",
    "models",
]
COMMAND += ["--label-column", "broken", "--set", "hidden=2", "--set", "epochs=6"]
KILLED = """
import os, signal
from streamgauge.jobs.commands import history
from streamgauge.jobs.commands.app import app
from streamgauge.models.detectors.network import torch_training

def trained(self, what, done):
    if what == "training" and done > 0.4:
        os.kill(os.getpid(), signal.SIGKILL)

torch_training.KEPT_EVERY, history.Reading.trained = 0.0, trained
app({arguments})
"""


def named(name):
    return [COMMAND[0], name, *COMMAND[1:]]


def test_a_command_that_was_killed_continues_and_publishes_what_it_would_have_published(pumps, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED.format(arguments=named("pumps"))], cwd=tmp_path, capture_output=True, check=False
    )
    assert killed.returncode == -9, killed.stderr
    registry = Registry(str(tmp_path / "models"))
    assert registry.versions("pumps") == []
    done = [CliRunner().invoke(app, named(name), env={"COLUMNS": "200"}) for name in ("pumps", "whole")]
    assert [one.exit_code for one in done] == [0, 0], done[0].output
    assert ["autoencoder: continues after epoch 3 of 6" in one.output for one in done] == [True, False]
    resumed, whole = (registry.manifest(name, 1) for name in ("pumps", "whole"))
    assert (resumed.variants["full"].files, resumed.curve) == (whole.variants["full"].files, whole.curve)
    assert os.listdir(tmp_path / "models" / "pumps" / "unfinished") == []


def interrupt(what, done):
    if what == "training" and done > 0.4:
        raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_what_was_kept_is_removed_when_the_training_has_ended_on_every_kind_of_registry(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_training, "KEPT_EVERY", 0.0)
    url = str(tmp_path) if kind == "file" else f"memory://kept-{tmp_path.name}-{time.time_ns()}"
    registry, said = Registry(url), []
    past = Past(np.random.default_rng(0).normal(size=(400, 3)), ["a", "b", "c"], np.zeros(400, np.int64))
    with pytest.raises(KeyboardInterrupt):
        train(registry, "pumps", "autoencoder", past, SETTINGS, interrupt)
    place = registry.unfinished("pumps", "autoencoder", said.append)
    assert place.kept() is not None
    for _ in range(2):
        train(Registry(url), "pumps", "autoencoder", past, SETTINGS, tell=said.append)
        assert place.kept() is None
    assert said == ["autoencoder: continues after epoch 3 of 6"]
