"""Detectors that are neural networks over the last events of an entity: trained with torch, scored by ONNX Runtime.

In: windows of values: events, steps, fields.
Out: a raw score for each window, from what the network cannot reproduce or forecast.
"""

__all__ = [
    "masked_transformer",
    "temporal_cnn",
    "torch_networks",
]
