"""A network that was made elsewhere, calibrated and judged on a history, and published in the registry."""

from __future__ import annotations

from dataclasses import replace

from streamgauge.jobs.studies.train import CANDIDATE
from streamgauge.models.contract import MOST_BYTES
from streamgauge.models.detectors.fitted.fitted_detector import Progress, silent
from streamgauge.models.detectors.network.imported_network import ImportedNetwork
from streamgauge.models.errors import InputError, StateError
from streamgauge.models.persistence.manifest import Manifest
from streamgauge.models.persistence.registry import Registry
from streamgauge.models.training.candidate import Past, candidate_of


def import_network(
    registry: Registry,
    name: str,
    network: bytes,
    how: ImportedNetwork,
    past: Past,
    say: Progress = silent,
) -> Manifest:
    """Publish a network as a version, and point the alias `candidate` at it.

    Parameters
    ----------
    registry : Registry
    name : str
        Of the model.
    network : bytes
        ONNX.
    how : ImportedNetwork
        Which of its outputs is used, and how it is read.
    past : Past
        A history of the fields that the network takes, in its order. The first three quarters say what is usual, the last one judges.
    say : callable
        Is called with what is being done, and the share of the work that is done.

    Raises
    ------
    InputError
        The network cannot be used, or not so.
    NotReadyError
        The history is too short.
    """
    memory = 2 * len(network) + how.bytes_for(past.X.shape[1])
    if memory > MOST_BYTES:
        raise InputError(
            f"the network has {len(network) / 1e6:.0f} MB: a model may take {MOST_BYTES / 2e6:.0f} MB twice"
        )
    try:
        live = registry.aliases(name).get("live")
        manifest, variants = candidate_of(name, how.with_network(network), past, memory, live, say=say)
    except StateError as error:
        raise InputError(str(error)) from error
    published = registry.publish(manifest, variants)
    registry.point(name, CANDIDATE, published.version, "import", f"judged on {past.source}")
    return published


def with_features(past: Past, features: list[str]) -> Past:
    """The history of these fields only, in this order.

    Raises
    ------
    InputError
        The history does not have one of them, or one is named twice.
    """
    if missing := [name for name in features if name not in past.features]:
        raise InputError(f"the history has no numeric field {missing[0]!r}; it has: {', '.join(past.features)}")
    if len(set(features)) < len(features):
        raise InputError("--features names a field twice")
    return replace(past, X=past.X[:, [past.features.index(name) for name in features]], features=list(features))
