"""Benchmarks: each prints one JSON object as its last line; ratios come from one run, since machines are noisy."""
