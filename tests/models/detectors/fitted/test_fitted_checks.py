"""Every fitted detector of the catalogue passes every check."""

from __future__ import annotations

import pytest
from streamgauge.models.catalog import FITTED, LOADED
from streamgauge.models.contract import Floats
from streamgauge.models.detectors.fitted.fitted_detector import Progress
from streamgauge.models.detectors.network.imported_network import ImportedNetwork

from tests.checks.fitted import CHECKS, EXEMPT
from tests.onnx_networks import distance

pytestmark = pytest.mark.slow

SMALL = {
    "isolation_forest": {"n_trees": 40, "part": 128},
    "one_class_svm": {},
    "local_outlier_factor": {"events": 500},
    "gaussian_mixture": {},
    "autoencoder": {"hidden": 2, "epochs": 40},
    "variational_autoencoder": {"hidden": 2, "epochs": 40},
    "temporal_cnn": {"steps": 8, "epochs": 30},
    "masked_transformer": {"steps": 8, "hidden": 16, "epochs": 30},
    "imported_network": {"reads": "score"},
}


class Distance(ImportedNetwork):
    """A network that is made from the history to which it is fitted, so that it can pass the checks of trained detectors."""

    def _train(self, Z: Floats, say: Progress) -> None:
        self.with_network(distance(self.normalisation.centre, self.normalisation.scale))
        super()._train(Z, say)


KINDS = {**FITTED, Distance.name: Distance}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SMALL)
def test_check(name, check):
    reason = EXEMPT.get(name, {}).get(check)
    if reason:
        pytest.skip(reason)
    CHECKS[check](KINDS[name], SMALL[name])


def test_every_fitted_detector_is_checked_and_every_exemption_is_of_one():
    assert set(SMALL) == set(KINDS) == set(LOADED)
    assert set(EXEMPT) <= set(KINDS)
    assert {check for checks in EXEMPT.values() for check in checks} <= set(CHECKS)
