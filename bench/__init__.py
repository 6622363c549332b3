"""Benchmarks: `pytest bench` and `python -m bench.peers`, from the root of the repository."""
