"""Decoded pictures and labels on disk, to be mapped into memory: see `python -m datasets.cache --help`."""

from datasets.cache.store import Store

__all__ = ["Store"]
