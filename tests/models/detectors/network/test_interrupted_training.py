"""A training that was interrupted continues, and ends with the same network, bit for bit, as one that was not."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.catalog import FITTED
from streamgauge.models.detectors.network import torch_training
from streamgauge.models.persistence.codec import pack, unpack
from streamgauge.models.persistence.unfinished import Unfinished

EPOCHS = 8
SMALL = {
    "autoencoder": {"hidden": 2},
    "variational_autoencoder": {"hidden": 2},
    "temporal_cnn": {"steps": 5},
    "masked_transformer": {"steps": 5},
}
X = np.random.default_rng(0).normal(size=(400, 3))


class Interrupted(BaseException):
    """Ends a training as a kill does: nothing is done afterwards."""


class Place:
    """Where a training saves its state, in memory."""

    def __init__(self):
        self.content, self.said, self.writes = None, [], 0
        self.unfinished = Unfinished(lambda: self.content, self.save, self.said.append)

    def save(self, content):
        self.content, self.writes = content, self.writes + 1


@pytest.fixture
def place(monkeypatch):
    monkeypatch.setattr(torch_training, "KEPT_EVERY", 0.0)
    return Place()


def fitted(name, place=None, interrupted_after=None, data=X, **settings):
    """A detector, trained to the end or, with None as result, to an epoch."""
    detector = FITTED[name](**{"epochs": EPOCHS} | SMALL[name] | settings)
    detector.unfinished = place and place.unfinished

    def say(what, done):
        if what == "training" and interrupted_after is not None and round(done * detector.epochs) == interrupted_after:
            raise Interrupted

    try:
        return detector.fit(data, say=say)
    except Interrupted:
        return None


@pytest.fixture(scope="module")
def whole():
    """Files and curve of a detector whose training was not interrupted."""
    known = {}

    def files(name, **settings):
        key = (name, *settings.items())
        if key not in known:
            known[key] = fitted(name, **settings).to_files()
        return known[key]

    return files


@pytest.mark.parametrize("name", SMALL)
def test_a_training_that_was_interrupted_twice_equals_the_whole_one(name, place, whole):
    for epoch in (3, 5):
        assert fitted(name, place, epoch) is None
    assert fitted(name, place).to_files() == whole(name)
    assert place.said == [f"continues after epoch {epoch} of {EPOCHS}" for epoch in (3, 5)]


@pytest.mark.parametrize("epoch", range(1, EPOCHS + 1))
def test_it_does_not_matter_after_which_epoch_a_training_is_interrupted(epoch, place, whole):
    assert fitted("variational_autoencoder", place, epoch) is None
    assert fitted("variational_autoencoder", place).to_files() == whole("variational_autoencoder")
    assert place.said == [f"continues after epoch {epoch} of {EPOCHS}"]


def test_a_training_that_ends_early_ends_at_the_same_epoch(place, whole, monkeypatch):
    monkeypatch.setattr(torch_training, "PATIENCE", 2)
    more = {"epochs": 200}
    expected = whole("autoencoder", **more)
    ended = len(FITTED["autoencoder"].from_files(expected).curve)
    assert 3 < ended < 200
    for epoch in (ended - 1, ended):
        place.content = None
        assert fitted("autoencoder", place, epoch, **more) is None
        assert fitted("autoencoder", place, **more).to_files() == expected


def test_the_best_epoch_before_the_interruption_is_remembered():
    """The network of the last epoch is not that of the best one; both are kept."""
    module = torch_training.torch.nn.Linear(1, 1)
    state = torch_training.TrainingState(module, 9)
    module.losses = lambda z: module(z).square().mean(dim=1)
    state.optimiser.zero_grad()
    module.losses(torch_training.torch.ones(4, 1)).mean().backward()
    state.optimiser.step()
    for weight, judged in ((4.0, 3.0), (5.0, 1.0), (6.0, 2.0)):
        torch_training.torch.nn.init.constant_(module.weight, weight)
        state.curve.append({"train": 0.0, "held_back": judged})
        state.best.note(judged)
    other = torch_training.torch.nn.Linear(1, 1)
    again = torch_training.TrainingState(other, 9)
    again.continue_from(state.to_bytes({}), {})
    assert other.weight.item() == 6.0
    again.best.note(5.0)
    again.best.restore()
    assert other.weight.item() == 5.0


def same(content):
    return content


def cut(content):
    return content[: len(content) // 2]


def flipped(content):
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


@pytest.mark.parametrize(
    ("damage", "change", "why"),
    [
        (cut, {}, "damaged"),
        (flipped, {}, "damaged"),
        (lambda _: b"", {}, "no unfinished training state"),
        (same, {"data": X + 1e-9 * np.arange(3) ** 2 * X}, "differs in: data"),
        (same, {"data": X[:-1]}, "differs in: data"),
        (same, {"seed": 7}, "differs in: settings"),
        (same, {"epochs": EPOCHS + 1}, "differs in: settings"),
        (same, {"hidden": 3}, "differs in: network"),
    ],
)
def test_a_training_of_something_else_or_with_a_damaged_file_begins_anew(damage, change, why, place):
    assert fitted("autoencoder", place, 4) is None
    place.content = damage(place.content)
    anew = fitted("autoencoder", place, **change)
    assert len(place.said) == 1
    assert place.said[0].startswith("begins anew: ")
    assert why in place.said[0]
    assert anew.to_files() == fitted("autoencoder", **change).to_files()


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("curve", np.zeros((4, 3))),
        ("random", np.zeros(7, np.uint8)),
        ("random", np.full(5056, 255, np.uint8)),
        ("now.0.weight", np.zeros((2, 2), np.float32)),
        ("adam.0.exp_avg", np.zeros(4)),
        ("best.0.bias", None),
    ],
)
def test_a_file_whose_arrays_do_not_fit_begins_anew_and_leaves_no_trace(name, array, place, whole):
    assert fitted("autoencoder", place, 4) is None
    what, arrays = unpack(place.content, torch_training.KIND, torch_training.FORMAT)
    changed = {key: value for key, value in (arrays | {name: array}).items() if value is not None}
    place.content = pack(torch_training.KIND, torch_training.FORMAT, what, changed)
    assert fitted("autoencoder", place).to_files() == whole("autoencoder")
    assert len(place.said) == 1
    assert place.said[0].startswith("begins anew: ")


def test_another_version_of_torch_begins_anew(place, monkeypatch):
    assert fitted("autoencoder", place, 4) is None
    monkeypatch.setattr(torch_training.torch, "__version__", "9.9")
    assert fitted("autoencoder", place) is not None
    assert place.said == ["begins anew: the training that was interrupted differs in: version of torch"]


def test_a_short_training_keeps_nothing(monkeypatch):
    place = Place()
    fitted("autoencoder", place)
    assert (place.writes, place.said) == (0, [])


def test_a_place_that_cannot_be_read_or_written_does_not_end_the_training(place, whole):
    def fails(*_):
        raise PermissionError("not yours")

    said = []
    place.unfinished = Unfinished(fails, fails, said.append)
    assert fitted("autoencoder", place).to_files() == whole("autoencoder")
    assert said[0] == "begins anew: its saved state cannot be read: not yours"
    assert set(said[1:]) == {"its state cannot be saved, so it cannot continue after an interruption: not yours"}
