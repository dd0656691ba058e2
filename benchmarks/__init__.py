"""Benchmarks. Each prints a JSON object as its last line. Both sides of a ratio come from the same run, because machines are noisy."""
