"""Detectors that are neural networks over the fields of one event: trained with torch, or imported, scored by ONNX Runtime.

In: a history to fit; then values.
Out: a raw score for each event, from what the network cannot reproduce.
"""

__all__ = [
    "autoencoder",
    "imported_network",
    "network_detector",
    "onnx_session",
    "torch_networks",
    "torch_training",
    "variational_autoencoder",
]
