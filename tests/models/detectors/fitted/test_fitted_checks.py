"""Every fitted detector of the catalogue passes every check."""

from __future__ import annotations

import pytest
from streamgauge.models.catalog import FITTED

from tests.checks.fitted import CHECKS, EXEMPT

SMALL = {
    "isolation_forest": {"n_trees": 40, "part": 128},
    "one_class_svm": {},
    "local_outlier_factor": {"events": 500},
    "gaussian_mixture": {},
    "autoencoder": {"hidden": 2, "epochs": 40},
    "variational_autoencoder": {"hidden": 2, "epochs": 40},
    "temporal_cnn": {"steps": 8, "epochs": 30},
    "masked_transformer": {"steps": 8, "hidden": 16, "epochs": 30},
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SMALL)
def test_check(name, check):
    reason = EXEMPT.get(name, {}).get(check)
    if reason:
        pytest.skip(reason)
    CHECKS[check](FITTED[name], SMALL[name])


def test_every_fitted_detector_is_checked_and_every_exemption_is_of_one():
    assert set(SMALL) == set(FITTED)
    assert set(EXEMPT) <= set(FITTED)
    assert {check for checks in EXEMPT.values() for check in checks} <= set(CHECKS)
