"""Examples that run: each is one command, `python -m examples.iot` and the like, on a local Kafka and Flink."""
