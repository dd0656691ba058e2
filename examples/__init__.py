"""Examples to run on a local Kafka and Flink. Each is one command, such as `python -m examples.iot`."""
