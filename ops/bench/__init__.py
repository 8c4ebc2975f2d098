"""Benchmarks: `python -m ops.bench` runs them all and writes one JSON file of figures."""
