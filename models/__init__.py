"""The library: detectors, calibration, ensemble, training, evaluation, persistence. It knows neither Flink nor Kafka.

In: arrays of values.
Out: scores, fitted models, state as bytes.
"""
