"""Of a long history, some rows are trained on; none of the entities is left out."""

from __future__ import annotations

import numpy as np
import pytest
from streamgauge.models.detectors.fitted.fitted_detector import windows
from streamgauge.models.detectors.fitted.isolation_forest import IsolationForest

ENTITIES = 3


class Kept(IsolationForest):
    """Keeps the rows that it is to be trained on."""

    max_rows = 1000

    def _train(self, Z, say):
        self.rows = Z


def taking_turns(n):
    """Rows of entities that send one after the other, each its own number, and the entities."""
    entities = np.arange(n) % ENTITIES
    return entities[:, None].astype(float), entities


@pytest.mark.parametrize("n", [1000, 1500, 2000, 3000, 4321])
def test_of_entities_that_take_turns_each_has_its_share(n):
    X, entities = taking_turns(n)
    detector = Kept().fit(X)
    runs = windows(X, entities, 4, 1000)
    for rows in (detector.normalisation.undo(detector.rows)[:, 0], runs[:, -1, 0]):
        assert len(rows) <= 1000
        shares = np.bincount(np.round(rows).astype(int), minlength=ENTITIES) / len(rows)
        assert shares == pytest.approx(np.full(ENTITIES, 1 / ENTITIES), abs=0.07)


def test_the_rows_are_in_order_and_always_the_same():
    X = np.arange(5000.0)[:, None]
    rows = [Kept().fit(X).rows[:, 0] for _ in range(2)]
    assert (np.diff(rows[0]) > 0).all()
    assert rows[0].tolist() == rows[1].tolist()
