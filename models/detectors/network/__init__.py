"""Detectors that are neural networks over the fields of one event: trained with torch, scored by ONNX Runtime.

In: a history to fit; then values.
Out: a reconstruction error for each event.
"""
