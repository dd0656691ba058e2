"""A trainer that ends in the middle of a training continues it when it is started again."""

from __future__ import annotations

import pytest
from streamgauge.jobs.studies.train import train
from streamgauge.models.detectors.network import torch_training
from streamgauge.models.persistence.registry import Registry

from tests.jobs.retraining.in_memory import InMemory, past, requested

SETTINGS = {"hidden": 1, "epochs": 8}


@pytest.fixture
def stopped(tmp_path, monkeypatch):
    """A trainer that was stopped when half of the epochs of an autoencoder were done."""
    monkeypatch.setattr(torch_training, "KEPT_EVERY", 0.0)
    registry = Registry(str(tmp_path))
    registry.point("m", "live", train(registry, "m", "autoencoder", past(), SETTINGS).version)
    trainer = InMemory(tmp_path)

    def say(text):
        trainer.said.append(text)
        if text == "autoencoder: training 50%":
            trainer.trainer._stop.set()

    trainer.reports.say = say
    trainer.trainer.candidates._data("m").keep(b"the choice")
    with pytest.raises(SystemExit):
        trainer.handle(requested())
    return trainer


def test_a_training_that_the_trainer_stopped_is_continued_with_the_same_result(stopped, tmp_path):
    assert stopped.registry.versions("m") == [1]
    again = InMemory(tmp_path)
    again.handle(requested())
    assert "autoencoder: continues after epoch 5 of 8" in again.said
    assert again.steps[0][0] == "trained"
    whole = train(again.registry, "whole", "autoencoder", stopped.data, SETTINGS)
    assert again.registry.manifest("m", 2).variants["full"].files == whole.variants["full"].files
    assert list((tmp_path / "m" / "unfinished").iterdir()) == []


def test_other_data_begin_anew_and_the_reason_is_said(stopped, tmp_path):
    again = InMemory(tmp_path)
    again.data = past(centre=2.0, seed=2)
    again.handle(requested())
    assert "autoencoder: begins anew: the training that was interrupted differs in: data" in again.said
    whole = train(again.registry, "whole", "autoencoder", again.data, SETTINGS)
    assert again.registry.manifest("m", 2).variants["full"].files == whole.variants["full"].files


def test_the_choice_of_data_is_kept_over_a_stop_and_forgotten_at_an_end_or_a_failure(stopped, tmp_path):
    choice = tmp_path / "m" / "unfinished" / "data"
    assert choice.exists()
    again = InMemory(tmp_path)
    again.data = ValueError("they are gone")
    again.handle(requested())
    assert [step for step, _ in again.steps] == ["failed"]
    assert not choice.exists()
