"""Measurements against peers and bounds, as ratios within one run; `python -m benchmarks`, or `make bench`."""
