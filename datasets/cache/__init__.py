"""Decoded pictures and labels on disk, to be mapped into memory: see `lraspp cache --help`."""

from datasets.cache.store import Store

__all__ = ["Store"]
