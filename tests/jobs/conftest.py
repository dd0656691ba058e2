"""Fixtures that several tests of jobs/ need."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from streamgauge.jobs.studies.train import train
from streamgauge.models.persistence.registry import Registry

from tests.jobs.retraining.in_memory import InMemory, past


@pytest.fixture
def pumps(tmp_path):
    """A file of 800 events of three pumps; 21 of them are anomalous and labelled so."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "ts": pd.date_range("2024-01-01", periods=800, freq="min").astype(str),
            "pump": [f"p{i % 3}" for i in range(800)],
            "pressure": random.normal(4, 0.5, 800),
            "rpm": random.normal(1500, 50, 800),
            "site": "north",
            "broken": 0,
        }
    )
    frame.loc[700:720, ["pressure", "broken"]] = [9.0, 1]
    frame.to_csv(tmp_path / "pumps.csv", index=False)
    return tmp_path / "pumps.csv"


@pytest.fixture
def table(tmp_path):
    """A file of 3,000 payments with three cards; three of the payments are anomalous and labelled so."""
    random = np.random.default_rng(0)
    n = 3000
    frame = pd.DataFrame(
        {
            "ts": pd.date_range("2024-01-01", periods=n, freq="min").astype(str),
            "card": [f"c{i % 3}" for i in range(n)],
            "amount": random.normal(100, 10, n).round(3),
            "items": random.normal(3, 1, n).round(3),
            "label": 0,
        }
    )
    frame.loc[2500:2502, ["amount", "label"]] = [900.0, 1]
    file = tmp_path / "cards.csv"
    frame.to_csv(file, index=False)
    return file


@pytest.fixture
def payments(tmp_path):
    """A file with three payments: one without an amount, the last one earlier than the one before, and no final line break."""
    path = tmp_path / "cards.csv"
    rows = (
        "ts,card,amount,fraud",
        "2024-01-01 00:00:00,a,1.5,0",
        "2024-01-01 00:01:00,b,,",
        "2024-01-01 00:00:30,a,3,1",
    )
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def trainer(tmp_path):
    registry = Registry(str(tmp_path))
    registry.point("m", "live", train(registry, "m", "isolation_forest", past(), {"n_trees": 20}).version)
    return InMemory(tmp_path)
