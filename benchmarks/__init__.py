"""Measurements that anybody can repeat on their own machine: `python -m benchmarks.NAME`, results under `benchmarks/results/`.

They need a checkout and its development dependencies; the package `seg` never imports them.
"""
