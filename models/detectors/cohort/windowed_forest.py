"""What is common to half-space trees: all that they know follows from the last two windows of events."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np
from streamgauge.models.calibration.calibration import odds
from streamgauge.models.contract import Floats, checked
from streamgauge.models.detectors.cohort.cohort_detector import CohortDetector, InputKind
from streamgauge.models.errors import NotReadyError
from streamgauge.models.persistence.codec import pack, unpack


class WindowedForest(CohortDetector):
    """A forest whose masses are those of the last full window.

    A window's masses depend on that window alone. So the saved state are the events of the last full window and of the running one; to
    restore is to learn them again.

    Parameters
    ----------
    n_trees : int
        Number of trees.
    height : int
        Levels of splits in each tree, which has ``2 ** (height + 1) - 1`` nodes.
    window_size : int
        Events whose mass is the reference for the next window.
    seed : int
        Seed of the random splits.

    Attributes
    ----------
    learned : int
        Events learned so far.
    """

    state_version = 1
    input_kind: ClassVar[InputKind] = "features"

    def __init__(self, n_trees: int, height: int, window_size: int, seed: int) -> None:
        self.n_trees = n_trees
        self.height = height
        self.window_size = window_size
        self.seed = seed
        self.learned = 0
        self._width: int | None = None

    @property
    def ready(self) -> bool:
        """Whether one window has been learned."""
        return self.learned >= self.window_size

    @property
    def rebuilt_from(self) -> int:
        """Number of events learned before the last full window: they do not matter any more."""
        return max(0, self.learned // self.window_size - 1) * self.window_size

    @abstractmethod
    def recent(self) -> tuple[int, Floats]:
        """`rebuilt_from`, and the events since then, float64[n, d]: all that matters."""

    def replay(self, first: int, X: Floats) -> None:
        """Become the detector that learned `first` events and then `X`; `first` is a multiple of the window size."""
        self.learned = first
        if X.shape[1]:
            self.learn_many(X)

    @abstractmethod
    def score_learn_explain_many(self, X: Floats) -> tuple[Floats, Floats]:
        """Score, then learn, as `score_learn_many`, with each feature's unscaled weight in the score.

        Returns
        -------
        score : float64[n]
        weights : float64[n, d]
            At least 0.
        """

    @property
    def width(self) -> int | None:  # noqa: D102
        return self._width

    def rate_learn_many(self, X: Floats) -> tuple[Floats, Floats]:
        """See `CohortDetector`; the raw score is the odds of the score."""
        unready = max(0, self.window_size - self.learned)
        score, weights = self.score_learn_explain_many(X)
        raw_score = odds(score)
        raw_score[:unready] = np.nan
        return raw_score, weights

    def widened(self, width: int) -> Self:
        """See `CohortDetector`; new trees are drawn, and learn the last events again."""
        first, recent = self.recent()
        wide = np.full((len(recent), width), np.nan)
        wide[:, : recent.shape[1]] = recent
        new = type(self)(**self.settings())
        new.replay(first, wide)
        return new

    def to_state(self) -> bytes:  # noqa: D102
        first, recent = self.recent()
        return pack(self.name, self.state_version, {"settings": self.settings(), "first": first}, {"recent": recent})

    @classmethod
    def from_state(cls, state: bytes) -> Self:  # noqa: D102
        meta, arrays = unpack(state, cls.name, cls.state_version)
        detector = cls(**meta["settings"])
        detector.replay(meta["first"], arrays["recent"])
        return detector

    def _scorable(self, X: Floats) -> Floats:
        X = checked(X, self._width, self.name)
        if not self.ready:
            raise NotReadyError(f"{self.name} needs {self.window_size} events, it has learned {self.learned}")
        return X
